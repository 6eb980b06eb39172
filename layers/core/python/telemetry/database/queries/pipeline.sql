-- name: work_of_job
-- The run of a job with its session and owner, once for each artifact that the job's payload names, only as far as
-- they belong to the job's own session; one row without an artifact when none does, and none once the session was
-- deleted.
SELECT run.status AS run_status, session.id AS session_id, session.tenant_id, session.owner_user_id,
       artifact.id, artifact.original_file_name, artifact.byte_size, artifact.sha256, artifact.status,
       artifact.storage_path, artifact.object_etag, artifact.format, artifact.compression, artifact.uploaded_at,
       artifact.discarded_at
FROM telemetry_processing_runs AS run
JOIN telemetry_sessions AS session ON session.id = run.session_id
LEFT JOIN telemetry_artifacts AS artifact
    ON artifact.session_id = session.id AND artifact.id = ANY (CAST(:artifact_ids AS uuid[]))
WHERE run.id = :run_id
ORDER BY artifact.uploaded_at, artifact.id;

-- name: start_run
-- Marks the run as begun, at the first claim of any of its jobs.
UPDATE telemetry_processing_runs
SET status = 'RUNNING', started_at = now()
WHERE id = :run_id AND status = 'QUEUED';

-- name: parsed_by
-- The version that wrote the run's canonical files, which a deployment since its enqueueing may have made another.
UPDATE telemetry_processing_runs
SET pipeline_version = :pipeline_version
WHERE id = :run_id AND status = 'RUNNING'
RETURNING id;

-- name: validate_artifact
-- The bytes are the announced ones; an artifact that an earlier run brought further stays where it is.
UPDATE telemetry_artifacts
SET status = CASE status WHEN 'UPLOADED' THEN 'VALIDATED' ELSE status END,
    object_etag = :object_etag, object_version = :object_version,
    received_at = coalesce(received_at, now())
WHERE id = :artifact_id AND status IN ('UPLOADED', 'VALIDATED', 'CLASSIFIED', 'PARSED')
RETURNING id;

-- name: classify_artifact
-- The format is known; an artifact that an earlier run brought further stays where it is.
UPDATE telemetry_artifacts
SET status = CASE status WHEN 'VALIDATED' THEN 'CLASSIFIED' ELSE status END,
    format = :format, compression = :compression
WHERE id = :artifact_id AND status IN ('VALIDATED', 'CLASSIFIED', 'PARSED')
RETURNING id;

-- name: parse_artifact
-- Its canonical files are recorded in this same transaction; an archive's format is known only now.
UPDATE telemetry_artifacts
SET status = 'PARSED', format = :format, compression = :compression
WHERE id = :artifact_id AND status IN ('CLASSIFIED', 'PARSED')
RETURNING id;

-- name: discard_artifact
-- Its raw bytes are gone.
UPDATE telemetry_artifacts
SET status = 'DISCARDED', discarded_at = coalesce(discarded_at, now())
WHERE id = :artifact_id AND status IN ('PARSED', 'DISCARDED')
RETURNING id;

-- name: reject_artifact
-- The input was bad; past parsing it no longer can be.
UPDATE telemetry_artifacts
SET status = 'REJECTED'
WHERE id = :artifact_id AND status IN ('UPLOADED', 'VALIDATED', 'CLASSIFIED');

-- name: succeed_run
-- Ends the run, which makes its datasets and laps visible.
UPDATE telemetry_processing_runs
SET status = 'SUCCEEDED', finished_at = now()
WHERE id = :run_id AND status = 'RUNNING'
RETURNING id;

-- name: ready_session
-- The session gets its true time range and its summary.
UPDATE telemetry_sessions
SET status = 'READY', start_time_utc = :start_time_utc, end_time_utc = :end_time_utc,
    summary = CAST(:summary AS jsonb)
WHERE id = :session_id AND status = 'PROCESSING'
RETURNING id;

-- name: fail_run
-- Ends a run that has not ended yet, with its error; one that succeeded (its raw file could not be discarded) stays so.
UPDATE telemetry_processing_runs
SET status = 'FAILED', error_code = :error_code, error_detail = :error_detail, finished_at = now()
WHERE id = :run_id AND status IN ('QUEUED', 'RUNNING')
RETURNING session_id;

-- name: fail_session
-- The session of a run that failed.
UPDATE telemetry_sessions
SET status = 'FAILED'
WHERE id = :session_id AND status = 'PROCESSING';

-- name: upsert_device
-- One row per real device of an owner, seen from its earliest recording to its latest; a name it has is kept.
INSERT INTO telemetry_devices AS device (owner_user_id, manufacturer, model, serial_number, name, first_seen_at,
                                         last_seen_at)
VALUES (:owner_user_id, :manufacturer, :model, :serial_number, :name, :first_seen_at, :last_seen_at)
ON CONFLICT ON CONSTRAINT telemetry_devices_one_per_real_device
DO UPDATE SET first_seen_at = least(device.first_seen_at, excluded.first_seen_at),
              last_seen_at = greatest(device.last_seen_at, excluded.last_seen_at),
              name = coalesce(device.name, excluded.name)
RETURNING id;

-- name: set_session_device
-- The device that made the session's first recording that names one.
UPDATE telemetry_sessions
SET device_id = :device_id
WHERE id = :session_id AND status = 'PROCESSING'
RETURNING id;
