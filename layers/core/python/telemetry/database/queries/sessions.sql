-- name: create_session
-- A session being processed; its times are placeholders, equal to created_at, until a run succeeds.
INSERT INTO telemetry_sessions (id, tenant_id, owner_user_id, name, status, start_time_utc, end_time_utc, created_at)
VALUES (:id, :tenant_id, :owner_user_id, :name, 'PROCESSING', now(), now(), now());

-- name: create_run
-- A run that waits for its first job to be claimed. Its time is that of the insert, by then in turn behind the session's row: of two calls that race, the transaction that began first may well make the later run.
INSERT INTO telemetry_processing_runs (id, session_id, status, pipeline_version, created_at)
VALUES (:id, :session_id, 'QUEUED', :pipeline_version, clock_timestamp());

-- name: latest_run
-- The newest run of a session.
SELECT id
FROM telemetry_processing_runs
WHERE session_id = :session_id
ORDER BY created_at DESC
LIMIT 1;

-- name: list_sessions
-- One page of an owner's sessions, newest first, after a position, and how the newest run of each that failed ended; each
-- filter counts only when given.
SELECT id, name, status, start_time_utc, end_time_utc, device_id, summary, created_at, updated_at,
       run.error_code, run.error_detail
FROM telemetry_sessions AS session
LEFT JOIN LATERAL (
    SELECT error_code, error_detail
    FROM telemetry_processing_runs
    WHERE session_id = session.id AND session.status = 'FAILED'
    ORDER BY created_at DESC
    LIMIT 1
) AS run ON true
WHERE owner_user_id = :owner_user_id
  AND (created_at, id) < (CAST(:after_created_at AS timestamptz), CAST(:after_id AS uuid))
  AND (CAST(:status AS text) IS NULL OR status = :status)
  AND (CAST(:device_id AS uuid) IS NULL OR device_id = :device_id)
  AND (CAST(:from_time AS timestamptz) IS NULL OR end_time_utc >= :from_time)
  AND (CAST(:to_time AS timestamptz) IS NULL OR start_time_utc < :to_time)
ORDER BY created_at DESC, id DESC
LIMIT :page_size;

-- name: session
-- One session of an owner with its newest run, that run's live job, and how its latest search for laps went.
SELECT session.id, session.name, session.status, session.start_time_utc, session.end_time_utc, session.device_id,
       session.summary, session.gate, session.created_at, session.updated_at,
       run.id AS run_id, run.error_code, run.error_detail,
       job.job_type, job.status AS job_status, job.attempt_count, job.max_attempts, job.next_retry_at,
       search.status AS search_status, search.last_error_code AS search_error_code
FROM telemetry_sessions AS session
LEFT JOIN LATERAL (
    SELECT id, error_code, error_detail
    FROM telemetry_processing_runs
    WHERE session_id = session.id
    ORDER BY created_at DESC
    LIMIT 1
) AS run ON true
LEFT JOIN LATERAL (
    SELECT job_type, status, attempt_count, max_attempts, next_retry_at
    FROM telemetry_jobs
    WHERE run_id = run.id AND status IN ('QUEUED', 'RUNNING')
    ORDER BY created_at DESC
    LIMIT 1
) AS job ON true
LEFT JOIN LATERAL (
    SELECT status, last_error_code
    FROM telemetry_jobs
    WHERE run_id = run.id AND job_type = 'detect_laps'
    ORDER BY created_at DESC
    LIMIT 1
) AS search ON true
WHERE session.id = :id AND session.owner_user_id = :owner_user_id;

-- name: files_of_session
-- The uploaded files of an owner's session.
SELECT artifact.id, artifact.original_file_name, artifact.byte_size, artifact.sha256, artifact.status, artifact.format,
       artifact.compression, artifact.received_at, artifact.discarded_at
FROM telemetry_artifacts AS artifact
JOIN telemetry_sessions AS session ON session.id = artifact.session_id
WHERE session.id = :session_id AND session.owner_user_id = :owner_user_id
ORDER BY artifact.uploaded_at, artifact.id;

-- name: datasets_of_session
-- The canonical files of an owner's session, as far as their run succeeded.
SELECT dataset.id, dataset.artifact_id, dataset.stream, dataset.storage_path, dataset.schema_version,
       dataset.row_count, dataset.byte_size, dataset.sha256, dataset.start_time_utc, dataset.end_time_utc,
       dataset.quality
FROM telemetry_datasets AS dataset
JOIN telemetry_processing_runs AS run ON run.id = dataset.run_id AND run.status = 'SUCCEEDED'
JOIN telemetry_sessions AS session ON session.id = dataset.session_id
WHERE session.id = :session_id AND session.owner_user_id = :owner_user_id
ORDER BY dataset.stream, dataset.start_time_utc, dataset.id;

-- name: laps_of_session
-- The first laps of an owner's session in order, as far as their run succeeded; older versions recorded more than are shown.
SELECT lap.lap_number, lap.kind, lap.start_time_utc, lap.end_time_utc, lap.duration_ms, lap.duration_uncertainty_ms,
       lap.distance_m, lap.max_speed_mps, lap.source,
       lap.sectors_ms
FROM telemetry_laps AS lap
JOIN telemetry_processing_runs AS run ON run.id = lap.run_id AND run.status = 'SUCCEEDED'
JOIN telemetry_sessions AS session ON session.id = lap.session_id
WHERE session.id = :session_id AND session.owner_user_id = :owner_user_id
ORDER BY lap.start_time_utc, lap.lap_number, lap.source
LIMIT :most;

-- name: list_devices
-- An owner's devices, the one used last first.
SELECT id, manufacturer, model, serial_number, name, first_seen_at, last_seen_at
FROM telemetry_devices
WHERE owner_user_id = :owner_user_id
ORDER BY last_seen_at DESC, id
LIMIT 1000;

-- name: rename_session
-- Gives an owner's session another name.
UPDATE telemetry_sessions
SET name = :name
WHERE id = :id AND owner_user_id = :owner_user_id
RETURNING id;

-- name: cancel_run
-- Ends a run that has not ended, after its jobs were cancelled.
UPDATE telemetry_processing_runs
SET status = 'CANCELLED', finished_at = now()
WHERE id = :id AND status IN ('QUEUED', 'RUNNING')
RETURNING id;

-- name: cancel_session
-- The session of a cancelled run.
UPDATE telemetry_sessions
SET status = 'CANCELLED'
WHERE id = :id AND owner_user_id = :owner_user_id AND status = 'PROCESSING'
RETURNING id;

-- name: reopen_session
-- A failed session is processed once more.
UPDATE telemetry_sessions
SET status = 'PROCESSING'
WHERE id = :id AND owner_user_id = :owner_user_id AND status = 'FAILED'
RETURNING id;

-- name: lock_artifacts
-- Holds the artifacts of a session until the transaction ends, and tells whether their raw bytes are kept.
SELECT artifact.id, artifact.discarded_at
FROM telemetry_artifacts AS artifact
JOIN telemetry_sessions AS session ON session.id = artifact.session_id
WHERE session.id = :session_id AND session.owner_user_id = :owner_user_id
ORDER BY artifact.id
FOR UPDATE OF artifact;

-- name: readmit_artifacts
-- Takes the refused artifacts of a session back, for another run over the same bytes.
UPDATE telemetry_artifacts
SET status = 'UPLOADED'
WHERE session_id = :session_id AND status = 'REJECTED';

-- name: runs_to_delete
-- The runs of an owner's session; no row also when it is not the owner's.
SELECT run.id
FROM telemetry_processing_runs AS run
JOIN telemetry_sessions AS session ON session.id = run.session_id
WHERE session.id = :session_id AND session.owner_user_id = :owner_user_id
ORDER BY run.created_at;

-- name: lock_runs
-- Waits for whoever writes a run of a session and keeps others from it.
SELECT run.id
FROM telemetry_processing_runs AS run
JOIN telemetry_sessions AS session ON session.id = run.session_id
WHERE session.id = :session_id AND session.owner_user_id = :owner_user_id
ORDER BY run.id
FOR UPDATE OF run;

-- name: lock_session
-- Waits for whoever writes an owner's session and keeps others from it.
SELECT id
FROM telemetry_sessions
WHERE id = :id AND owner_user_id = :owner_user_id
FOR UPDATE;

-- name: paths_of_session
-- Where the raw and canonical files of an owner's session lie.
SELECT artifact.storage_path AS path, 'raw' AS store, NULL AS stream
FROM telemetry_artifacts AS artifact
JOIN telemetry_sessions AS session ON session.id = artifact.session_id
WHERE session.id = :session_id AND session.owner_user_id = :owner_user_id AND artifact.storage_path IS NOT NULL
UNION ALL
SELECT dataset.storage_path, 'canonical', dataset.stream
FROM telemetry_datasets AS dataset
JOIN telemetry_sessions AS session ON session.id = dataset.session_id
WHERE session.id = :session_id AND session.owner_user_id = :owner_user_id;

-- name: delete_session
-- Removes an owner's session; its runs, jobs, artifacts, datasets and laps go with it.
DELETE FROM telemetry_sessions
WHERE id = :id AND owner_user_id = :owner_user_id
RETURNING tenant_id;
