-- name: insert_datasets
-- Records the canonical files of one attempt; they stay unseen until their run succeeded.
INSERT INTO telemetry_datasets (session_id, run_id, artifact_id, stream, storage_path, schema_version, row_count,
                                byte_size, sha256, start_time_utc, end_time_utc, quality)
SELECT CAST(:session_id AS uuid), CAST(:run_id AS uuid), file.artifact_id, file.stream, file.storage_path, file.schema_version,
       file.row_count, file.byte_size, file.sha256, file.start_time_utc, file.end_time_utc, file.quality
FROM jsonb_to_recordset(CAST(:files AS jsonb)) AS file (
    artifact_id uuid, stream text, storage_path text, schema_version integer, row_count bigint,
    byte_size bigint, sha256 text, start_time_utc timestamptz, end_time_utc timestamptz, quality jsonb);

-- name: streams_of_run
-- The files of one stream of a run, by start time.
SELECT id, artifact_id, storage_path, row_count, byte_size, sha256, start_time_utc, end_time_utc, quality
FROM telemetry_datasets
WHERE run_id = :run_id AND stream = :stream_name
ORDER BY start_time_utc, artifact_id;

-- name: delete_stream_of_run
-- The files of one stream of a run are replaced; without their rows they are orphans, which the janitor sweeps.
DELETE FROM telemetry_datasets WHERE run_id = :run_id AND stream = :stream_name;

-- name: delete_datasets_of_run
-- A run that did not succeed shows nothing; without their rows its files are orphans, which the janitor sweeps.
DELETE FROM telemetry_datasets WHERE run_id = :run_id;
