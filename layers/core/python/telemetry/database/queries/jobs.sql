-- The verbs of telemetry/queue.py over telemetry_jobs. Every write of a worker carries the fence: id, status RUNNING,
-- locked_by and attempt_count. The database's clock is the only clock.

-- name: claim
-- Takes the oldest job that is due, steps over those that another worker holds, and counts the attempt.
WITH due AS (
    SELECT id
    FROM telemetry_jobs
    WHERE status = 'QUEUED' AND (next_retry_at IS NULL OR next_retry_at <= now())
    ORDER BY created_at
    FOR UPDATE SKIP LOCKED
    LIMIT 1
)
UPDATE telemetry_jobs AS job
SET status = 'RUNNING',
    attempt_count = job.attempt_count + 1,
    locked_at = now(),
    locked_by = :locked_by,
    next_retry_at = NULL
FROM due
WHERE job.id = due.id
RETURNING job.id, job.run_id, job.job_type, job.payload, job.attempt_count, job.max_attempts, job.locked_by,
    job.created_at;

-- name: retry_is_near
-- Whether a job that was tried before is among those that a claim takes next: of so many as may be taken by others in between. Where since is given, jobs created before are passed over unseen.
SELECT coalesce(bool_or(attempt_count > 0), false) AS retry
FROM (
    SELECT attempt_count
    FROM telemetry_jobs
    WHERE status = 'QUEUED' AND (next_retry_at IS NULL OR next_retry_at <= now())
        AND created_at >= coalesce(CAST(:since AS timestamptz), '-infinity')
    ORDER BY created_at
    LIMIT :near
) AS near;

-- name: claimed
-- The job that a claim took, while it still holds it.
SELECT id, run_id, job_type, payload, attempt_count, max_attempts, locked_by, created_at
FROM telemetry_jobs
WHERE (status = 'RUNNING') IS TRUE AND locked_by = :locked_by;

-- name: state
-- What became of a job, once whoever writes it has ended.
SELECT status, attempt_count
FROM telemetry_jobs
WHERE id = :id
FOR SHARE;

-- name: heartbeat
-- Renews the lease of a job that makes progress.
UPDATE telemetry_jobs
SET locked_at = now()
WHERE id = :id AND status = 'RUNNING' AND locked_by = :locked_by AND attempt_count = :attempt_count
RETURNING id;

-- name: complete_and_claim
-- Ends a job that succeeded, adds its successor with the same payload, and takes the oldest due job, in one round
-- trip and under the fence of the first: no row, and nothing of the rest, when the job is no longer ours. Without
-- a next locked_by nothing is taken. Where since is given, jobs created before are passed over unseen. The successor is
-- younger than every due job and not seen here.
WITH done AS (
    UPDATE telemetry_jobs
    SET status = 'SUCCEEDED', locked_at = NULL, locked_by = NULL
    WHERE id = :id AND status = 'RUNNING' AND locked_by = :locked_by AND attempt_count = :attempt_count
    RETURNING run_id, payload
),
successor AS (
    INSERT INTO telemetry_jobs (run_id, job_type, payload)
    SELECT run_id, CAST(:successor AS text), payload FROM done
    WHERE CAST(:successor AS text) IS NOT NULL
),
due AS (
    SELECT id
    FROM telemetry_jobs
    WHERE status = 'QUEUED' AND (next_retry_at IS NULL OR next_retry_at <= now())
        AND created_at >= coalesce(CAST(:since AS timestamptz), '-infinity')
        AND CAST(:next_locked_by AS text) IS NOT NULL AND EXISTS (SELECT FROM done)
    ORDER BY created_at
    FOR UPDATE SKIP LOCKED
    LIMIT 1
),
claimed AS (
    UPDATE telemetry_jobs AS job
    SET status = 'RUNNING',
        attempt_count = job.attempt_count + 1,
        locked_at = now(),
        locked_by = :next_locked_by,
        next_retry_at = NULL
    FROM due
    WHERE job.id = due.id
    RETURNING job.id, job.run_id, job.job_type, job.payload, job.attempt_count, job.max_attempts, job.locked_by,
        job.created_at
)
SELECT claimed.* FROM done LEFT JOIN claimed ON true;

-- name: retry_later
-- Gives a job back to the queue with backoff and the error that stopped it.
UPDATE telemetry_jobs
SET status = 'QUEUED',
    locked_at = NULL,
    locked_by = NULL,
    next_retry_at = now() + telemetry_backoff(attempt_count, random()),
    last_error_code = :error_code,
    last_error_message = :error_message
WHERE id = :id AND status = 'RUNNING' AND locked_by = :locked_by AND attempt_count = :attempt_count
RETURNING next_retry_at;

-- name: fail
-- Ends a job that failed for good, with its error.
UPDATE telemetry_jobs
SET status = 'FAILED',
    locked_at = NULL,
    locked_by = NULL,
    last_error_code = :error_code,
    last_error_message = :error_message
WHERE id = :id AND status = 'RUNNING' AND locked_by = :locked_by AND attempt_count = :attempt_count
RETURNING id;

-- name: enqueue
-- Adds a job that is due at once. Its time is that of the insert: its transaction may have waited for another's.
INSERT INTO telemetry_jobs (run_id, job_type, payload, created_at)
VALUES (:run_id, :job_type, :payload, clock_timestamp())
RETURNING id;

-- name: cancel_live
-- Cancels the run's jobs that are queued or running; a running one finds itself fenced out.
UPDATE telemetry_jobs
SET status = 'CANCELLED', locked_at = NULL, locked_by = NULL, next_retry_at = NULL
WHERE run_id = :run_id AND status IN ('QUEUED', 'RUNNING')
RETURNING id;

-- name: count_live
-- How many of the run's jobs are queued or running.
SELECT count(*) AS live
FROM telemetry_jobs
WHERE run_id = :run_id AND status IN ('QUEUED', 'RUNNING');

-- name: rescue
-- Takes jobs whose lease has passed from their silent workers: back to the queue, or failed after the last attempt.
WITH lost AS (
    SELECT id
    FROM telemetry_jobs
    WHERE (status = 'RUNNING') IS TRUE AND locked_at < now() - make_interval(secs => :lease_s)
    ORDER BY locked_at
    FOR UPDATE SKIP LOCKED
    LIMIT :batch
)
UPDATE telemetry_jobs AS job
SET status = CASE WHEN job.attempt_count < job.max_attempts THEN 'QUEUED' ELSE 'FAILED' END,
    next_retry_at = CASE
        WHEN job.attempt_count < job.max_attempts THEN now() + telemetry_backoff(job.attempt_count, random())
    END,
    locked_at = NULL,
    locked_by = NULL,
    last_error_code = :error_code,
    last_error_message = :error_message
FROM lost
WHERE job.id = lost.id
RETURNING job.id, job.run_id, job.job_type, job.payload, job.status, job.attempt_count, job.next_retry_at;

-- name: depth
-- How many jobs are due, waiting for their retry, and running, and for how long the oldest due one has waited.
SELECT
    count(*) FILTER (WHERE next_retry_at IS NULL OR next_retry_at <= now()) AS due,
    count(*) FILTER (WHERE next_retry_at > now()) AS waiting,
    (SELECT count(*) FROM telemetry_jobs WHERE (status = 'RUNNING') IS TRUE) AS running,
    coalesce(
        extract(epoch FROM now() - min(coalesce(next_retry_at, created_at)) FILTER (
            WHERE next_retry_at IS NULL OR next_retry_at <= now()
        )),
        0
    )::double precision AS oldest_due_s
FROM telemetry_jobs
WHERE status = 'QUEUED';
