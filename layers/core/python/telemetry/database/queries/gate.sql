-- name: run_to_detect_again
-- The latest run of an owner's session, with the session's status; no row when it is not the owner's.
SELECT session.status, run.id AS run_id, run.status AS run_status
FROM telemetry_sessions AS session
LEFT JOIN LATERAL (
    SELECT id, status FROM telemetry_processing_runs WHERE session_id = session.id ORDER BY created_at DESC LIMIT 1
) AS run ON true
WHERE session.id = :id AND session.owner_user_id = :owner_user_id;

-- name: lock_detection
-- Holds the live lap detection of a run: it cannot complete before the transaction ends, and sees its line then.
SELECT id FROM telemetry_jobs
WHERE run_id = :run_id AND job_type = 'detect_laps' AND status IN ('QUEUED', 'RUNNING')
FOR UPDATE;

-- name: hold_run
-- Keeps a run from being deleted until the transaction ends; no row when it is gone.
SELECT id FROM telemetry_processing_runs WHERE id = :run_id FOR KEY SHARE;

-- name: artifacts_of_run
-- The artifacts whose tracks a run recorded.
SELECT DISTINCT artifact_id FROM telemetry_datasets WHERE run_id = :run_id AND stream = 'gnss_pvt';

-- name: set_gate
-- The owner's line.
UPDATE telemetry_sessions
SET gate = CAST(:gate AS jsonb)
WHERE id = :id AND owner_user_id = :owner_user_id AND status = 'READY'
RETURNING id;

-- name: gate_of_session
-- The line that the owner gave, if any.
SELECT gate FROM telemetry_sessions WHERE id = :session_id;

-- name: lock_gate_of_session
-- The same, and nobody changes it until the transaction ends.
SELECT gate FROM telemetry_sessions WHERE id = :session_id FOR UPDATE;
