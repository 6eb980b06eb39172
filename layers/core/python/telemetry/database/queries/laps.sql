-- name: insert_laps
-- Records the laps of a run; they stay unseen until it succeeded.
INSERT INTO telemetry_laps (session_id, run_id, lap_number, kind, start_time_utc, end_time_utc, duration_ms,
                            duration_uncertainty_ms, distance_m, max_speed_mps, source, sectors_ms)
SELECT CAST(:session_id AS uuid), CAST(:run_id AS uuid), lap.lap_number, lap.kind, lap.start_time_utc, lap.end_time_utc, lap.duration_ms,
       lap.duration_uncertainty_ms, lap.distance_m, lap.max_speed_mps, lap.source, coalesce(lap.sectors_ms, '[]')
FROM jsonb_to_recordset(CAST(:laps AS jsonb)) AS lap (
    lap_number integer, kind text, start_time_utc timestamptz, end_time_utc timestamptz,
    duration_ms double precision, duration_uncertainty_ms double precision, distance_m double precision,
    max_speed_mps double precision, source text, sectors_ms jsonb);

-- name: delete_laps
-- Makes room for laps found again at another line.
DELETE FROM telemetry_laps WHERE run_id = :run_id;

-- name: set_summary
-- The summary of a session whose laps were found again.
UPDATE telemetry_sessions SET summary = CAST(:summary AS jsonb) WHERE id = :session_id AND status = 'READY';
