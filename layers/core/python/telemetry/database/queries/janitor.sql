-- name: expire_uploads
-- Uploads never finalised in time; the oldest first, stepping over those that are being finalised now.
WITH due AS (
    SELECT id
    FROM telemetry_artifacts
    WHERE status = 'UPLOADED' AND session_id IS NULL AND expires_at < now()
    ORDER BY expires_at
    LIMIT :batch
    FOR UPDATE SKIP LOCKED
)
UPDATE telemetry_artifacts AS artifact
SET status = 'EXPIRED', discarded_at = now()
FROM due
WHERE artifact.id = due.id
RETURNING artifact.id, artifact.storage_path, artifact.multipart_id;

-- name: uploads_on_receipt
-- Open uploads that are to be finalised on receipt, behind an id, up to another: those in parts, of which no event tells, and those whose event should have come. Found by the index of open uploads alone, however many finished ones lie between two ids.
WITH open AS MATERIALIZED (
    SELECT id, tenant_id, owner_user_id, created_at, multipart_id
    FROM telemetry_artifacts
    WHERE status = 'UPLOADED' AND session_id IS NULL AND finalise_on_receipt AND expires_at > now()
)
SELECT id, tenant_id, owner_user_id
FROM open
WHERE id > :after AND id <= :last
  AND (multipart_id IS NOT NULL OR created_at < now() - make_interval(mins => :event_minutes))
ORDER BY id
LIMIT :batch;

-- name: discard_retained
-- Raw files of ended sessions whose retention has passed, those received first first: of a READY session when no job is left that discards them, of a FAILED or CANCELLED one from the end of its latest run. From here on a retry is refused, so the bytes can go after the commit.
WITH due AS (
    SELECT artifact.id
    FROM telemetry_artifacts AS artifact
    JOIN telemetry_sessions AS session ON session.id = artifact.session_id
    CROSS JOIN LATERAL (
        SELECT run.id, run.finished_at
        FROM telemetry_processing_runs AS run
        WHERE run.session_id = session.id
        ORDER BY run.created_at DESC
        LIMIT 1
    ) AS latest
    WHERE artifact.discarded_at IS NULL AND artifact.received_at IS NOT NULL
      AND latest.finished_at < now() - CASE session.status
              WHEN 'READY' THEN make_interval(days => CAST(:ready_days AS integer))
              ELSE make_interval(days => CAST(:failed_days AS integer))
          END
      AND session.status IN ('READY', 'FAILED', 'CANCELLED')
      AND NOT EXISTS (
          SELECT FROM telemetry_jobs AS job WHERE job.run_id = latest.id AND job.status IN ('QUEUED', 'RUNNING')
      )
    ORDER BY artifact.received_at
    LIMIT :batch
    FOR UPDATE OF session, artifact SKIP LOCKED
)
UPDATE telemetry_artifacts AS artifact
SET status = CASE artifact.status WHEN 'PARSED' THEN 'DISCARDED' ELSE 'REJECTED' END, discarded_at = now()
FROM due
WHERE artifact.id = due.id
RETURNING artifact.id, artifact.storage_path;

-- name: known_uploads
-- Where these artifacts' bytes lie, and whether they are unwanted: a discarded or expired one's bytes that came back through a still valid upload address are.
SELECT storage_path, discarded_at IS NOT NULL AS discarded
FROM telemetry_artifacts
WHERE id = ANY (CAST(:artifact_ids AS uuid[])) AND storage_path IS NOT NULL;

-- name: kept_datasets
-- Of these paths, those that a dataset of a run points to that succeeded or may yet succeed.
SELECT dataset.storage_path
FROM telemetry_datasets AS dataset
JOIN telemetry_processing_runs AS run ON run.id = dataset.run_id
WHERE dataset.storage_path = ANY (CAST(:paths AS text[])) AND run.status NOT IN ('FAILED', 'CANCELLED');

-- name: lap_deltas_replaced
-- Of these runs, those whose laps were found again lately: the addresses of the lap deltas that this replaced may still be in use.
SELECT run.id
FROM telemetry_processing_runs AS run
WHERE run.id = ANY (CAST(:run_ids AS uuid[])) AND EXISTS (
    SELECT FROM telemetry_jobs AS search
    WHERE search.run_id = run.id AND search.created_at > run.finished_at AND search.job_type = 'detect_laps'
      AND search.updated_at > now() - make_interval(secs => CAST(:seconds AS double precision))
);

-- name: upload_from
-- Where the bytes of the first artifact from an id on lie: with an id drawn at random, of any artifact.
SELECT storage_path
FROM telemetry_artifacts
WHERE id >= :id AND storage_path IS NOT NULL
ORDER BY id
LIMIT 1;

-- name: dataset_from
-- Where the first dataset from an id on lies: with an id drawn at random, any dataset.
SELECT storage_path
FROM telemetry_datasets
WHERE id >= :id
ORDER BY id
LIMIT 1;

-- name: database_now
-- The one clock.
SELECT now() AS now;
