-- Runs, their jobs, and what a run makes: datasets and laps.

CREATE TABLE telemetry_processing_runs (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    session_id uuid NOT NULL,
    status text NOT NULL DEFAULT 'QUEUED',
    pipeline_version text NOT NULL,
    error_code text,
    error_detail text,
    started_at timestamptz,
    finished_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT telemetry_processing_runs_pkey PRIMARY KEY (id),
    CONSTRAINT telemetry_processing_runs_session_id_fkey FOREIGN KEY (session_id)
        REFERENCES telemetry_sessions (id) ON DELETE CASCADE,
    CONSTRAINT telemetry_processing_runs_status_known CHECK (
        status IN ('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')
    ),
    CONSTRAINT telemetry_processing_runs_failed_has_error_code CHECK ((status = 'FAILED') = (error_code IS NOT NULL)),
    CONSTRAINT telemetry_processing_runs_started_has_time CHECK (
        status NOT IN ('RUNNING', 'SUCCEEDED') OR started_at IS NOT NULL
    ),
    CONSTRAINT telemetry_processing_runs_finished_has_time CHECK (
        (status IN ('SUCCEEDED', 'FAILED', 'CANCELLED')) = (finished_at IS NOT NULL)
    )
);

COMMENT ON TABLE telemetry_processing_runs IS 'One attempt to process a session with one pipeline version; a retry is a new run.';
COMMENT ON COLUMN telemetry_processing_runs.id IS 'Identity.';
COMMENT ON COLUMN telemetry_processing_runs.session_id IS 'Session it works for.';
COMMENT ON COLUMN telemetry_processing_runs.status IS 'QUEUED, RUNNING, SUCCEEDED, FAILED or CANCELLED; transitions are guarded by a trigger.';
COMMENT ON COLUMN telemetry_processing_runs.pipeline_version IS 'Version of the pipeline; the same bytes and version give the same canonical bytes.';
COMMENT ON COLUMN telemetry_processing_runs.error_code IS 'Code of the error catalogue when FAILED, else null.';
COMMENT ON COLUMN telemetry_processing_runs.error_detail IS 'Line, byte, element or column where it went wrong; never coordinates.';
COMMENT ON COLUMN telemetry_processing_runs.started_at IS 'When its first job was claimed.';
COMMENT ON COLUMN telemetry_processing_runs.finished_at IS 'When it succeeded, failed or was cancelled.';
COMMENT ON COLUMN telemetry_processing_runs.created_at IS 'When the row was made.';
COMMENT ON COLUMN telemetry_processing_runs.updated_at IS 'When the row last changed; kept by a trigger.';

CREATE INDEX telemetry_processing_runs_session_newest_idx ON telemetry_processing_runs (session_id, created_at DESC);
COMMENT ON INDEX telemetry_processing_runs_session_newest_idx IS 'Serves the search for a session''s latest run.';
CREATE UNIQUE INDEX telemetry_processing_runs_one_live_per_session ON telemetry_processing_runs (session_id)
    WHERE status IN ('QUEUED', 'RUNNING');
COMMENT ON INDEX telemetry_processing_runs_one_live_per_session IS 'Two retries that race make one run. Serves the search for a session''s live run.';

CREATE TABLE telemetry_jobs (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    run_id uuid NOT NULL,
    job_type text NOT NULL,
    status text NOT NULL DEFAULT 'QUEUED',
    payload jsonb NOT NULL DEFAULT '{}',
    attempt_count integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL DEFAULT 3,
    locked_at timestamptz,
    locked_by text,
    last_error_code text,
    last_error_message text,
    next_retry_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT telemetry_jobs_pkey PRIMARY KEY (id),
    CONSTRAINT telemetry_jobs_run_id_fkey FOREIGN KEY (run_id)
        REFERENCES telemetry_processing_runs (id) ON DELETE CASCADE,
    CONSTRAINT telemetry_jobs_job_type_known CHECK (
        job_type IN ('artifact_validate', 'artifact_classify', 'parse_raw', 'detect_laps', 'discard_raw')
    ),
    CONSTRAINT telemetry_jobs_status_known CHECK (status IN ('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
    CONSTRAINT telemetry_jobs_payload_is_object CHECK (jsonb_typeof(payload) = 'object'),
    CONSTRAINT telemetry_jobs_max_attempts_positive CHECK (max_attempts > 0),
    CONSTRAINT telemetry_jobs_attempt_count_in_range CHECK (attempt_count BETWEEN 0 AND max_attempts),
    CONSTRAINT telemetry_jobs_queued_has_attempt_left CHECK (status <> 'QUEUED' OR attempt_count < max_attempts),
    CONSTRAINT telemetry_jobs_locked_at_iff_running CHECK ((status = 'RUNNING') = (locked_at IS NOT NULL)),
    CONSTRAINT telemetry_jobs_locked_by_iff_running CHECK ((status = 'RUNNING') = (locked_by IS NOT NULL)),
    CONSTRAINT telemetry_jobs_retry_only_queued CHECK (next_retry_at IS NULL OR status = 'QUEUED'),
    CONSTRAINT telemetry_jobs_failed_has_error_code CHECK (status <> 'FAILED' OR last_error_code IS NOT NULL)
)
-- A row is updated a few times within minutes and then never again. Free room keeps its versions on one page, and
-- vacuum comes by the number of dead versions, not by their share, which a million finished rows would hide.
WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 5000
);

COMMENT ON TABLE telemetry_jobs IS 'The queue: one step of a run per row.';
COMMENT ON COLUMN telemetry_jobs.id IS 'Identity.';
COMMENT ON COLUMN telemetry_jobs.run_id IS 'Run it belongs to.';
COMMENT ON COLUMN telemetry_jobs.job_type IS 'Step: artifact_validate, artifact_classify, parse_raw, detect_laps or discard_raw.';
COMMENT ON COLUMN telemetry_jobs.status IS 'QUEUED, RUNNING, SUCCEEDED, FAILED or CANCELLED; transitions are guarded by a trigger.';
COMMENT ON COLUMN telemetry_jobs.payload IS 'What to work on, for example artifactIds.';
COMMENT ON COLUMN telemetry_jobs.attempt_count IS 'How often it was claimed; never falls.';
COMMENT ON COLUMN telemetry_jobs.max_attempts IS 'How often it may be claimed.';
COMMENT ON COLUMN telemetry_jobs.locked_at IS 'When it was claimed, renewed by heartbeats; null when not claimed.';
COMMENT ON COLUMN telemetry_jobs.locked_by IS 'Worker and claim that hold it; null when not claimed.';
COMMENT ON COLUMN telemetry_jobs.last_error_code IS 'Code of the error catalogue that ended the latest failed attempt.';
COMMENT ON COLUMN telemetry_jobs.last_error_message IS 'Detail of that error, for operators.';
COMMENT ON COLUMN telemetry_jobs.next_retry_at IS 'Not due before this time; null when not retrying.';
COMMENT ON COLUMN telemetry_jobs.created_at IS 'When the row was made; the order of claims.';
COMMENT ON COLUMN telemetry_jobs.updated_at IS 'When the row last changed; kept by a trigger.';

CREATE INDEX telemetry_jobs_claim_idx ON telemetry_jobs (created_at) WHERE status = 'QUEUED';
COMMENT ON INDEX telemetry_jobs_claim_idx IS 'Serves the claim: the oldest queued job, at the same cost however many have finished.';
CREATE INDEX telemetry_jobs_rescue_idx ON telemetry_jobs (locked_at) WHERE status = 'RUNNING';
COMMENT ON INDEX telemetry_jobs_rescue_idx IS 'Serves the rescue: running jobs by their latest sign of life.';
-- IS TRUE keeps the planner from taking this index for a claim or a rescue: while few jobs live it costs the same, and
-- a plan kept from then would sort the whole queue at every claim once many do.
CREATE UNIQUE INDEX telemetry_jobs_one_live_per_run_and_type ON telemetry_jobs (run_id, job_type)
    WHERE (status IN ('QUEUED', 'RUNNING')) IS TRUE;
COMMENT ON INDEX telemetry_jobs_one_live_per_run_and_type IS 'Serves the enqueueing of a job: a step of a run lives at most once.';
CREATE INDEX telemetry_jobs_run_idx ON telemetry_jobs (run_id, created_at);
COMMENT ON INDEX telemetry_jobs_run_idx IS 'Serves a run''s progress, the cancelling of a run, and the foreign key when a run is deleted.';

CREATE FUNCTION telemetry_backoff(attempt integer, random_fraction double precision) RETURNS interval
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (0.5 + 0.5 * random_fraction) * least(900.0, 30.0 * power(2.0, least(attempt - 1, 10))) * interval '1 second';
COMMENT ON FUNCTION telemetry_backoff IS 'How long a job waits after failed attempt number attempt (1, 2, ...): half of it fixed, half jittered by random_fraction in [0, 1).';

CREATE TABLE telemetry_datasets (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    session_id uuid NOT NULL,
    run_id uuid NOT NULL,
    artifact_id uuid NOT NULL,
    stream text NOT NULL,
    storage_path text NOT NULL,
    schema_version integer NOT NULL,
    row_count bigint NOT NULL,
    byte_size bigint NOT NULL,
    sha256 text NOT NULL,
    start_time_utc timestamptz NOT NULL,
    end_time_utc timestamptz NOT NULL,
    quality jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT telemetry_datasets_pkey PRIMARY KEY (id),
    CONSTRAINT telemetry_datasets_session_id_fkey FOREIGN KEY (session_id)
        REFERENCES telemetry_sessions (id) ON DELETE CASCADE,
    CONSTRAINT telemetry_datasets_run_id_fkey FOREIGN KEY (run_id)
        REFERENCES telemetry_processing_runs (id) ON DELETE CASCADE,
    CONSTRAINT telemetry_datasets_artifact_id_fkey FOREIGN KEY (artifact_id)
        REFERENCES telemetry_artifacts (id) ON DELETE CASCADE,
    CONSTRAINT telemetry_datasets_one_per_run_artifact_stream UNIQUE (run_id, artifact_id, stream),
    CONSTRAINT telemetry_datasets_stream_is_name CHECK (stream ~ '^[a-z][a-z0-9_]*$'),
    CONSTRAINT telemetry_datasets_schema_version_positive CHECK (schema_version > 0),
    CONSTRAINT telemetry_datasets_row_count_positive CHECK (row_count > 0),
    CONSTRAINT telemetry_datasets_byte_size_positive CHECK (byte_size > 0),
    CONSTRAINT telemetry_datasets_sha256_is_hex CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    CONSTRAINT telemetry_datasets_start_before_end CHECK (start_time_utc <= end_time_utc),
    CONSTRAINT telemetry_datasets_quality_is_object CHECK (jsonb_typeof(quality) = 'object')
);

COMMENT ON TABLE telemetry_datasets IS 'One canonical Parquet file: a stream of an artifact, made by a run. Shown only when the run succeeded.';
COMMENT ON COLUMN telemetry_datasets.id IS 'Identity.';
COMMENT ON COLUMN telemetry_datasets.session_id IS 'Session it belongs to.';
COMMENT ON COLUMN telemetry_datasets.run_id IS 'Run that made it.';
COMMENT ON COLUMN telemetry_datasets.artifact_id IS 'Artifact it was made from.';
COMMENT ON COLUMN telemetry_datasets.stream IS 'Canonical stream, for example gnss_pvt.';
COMMENT ON COLUMN telemetry_datasets.storage_path IS 'Where the file lies: an object key, or a local path. Its key was never written by another attempt.';
COMMENT ON COLUMN telemetry_datasets.schema_version IS 'Version of the stream''s schema.';
COMMENT ON COLUMN telemetry_datasets.row_count IS 'Rows in the file.';
COMMENT ON COLUMN telemetry_datasets.byte_size IS 'Size of the file in bytes.';
COMMENT ON COLUMN telemetry_datasets.sha256 IS 'SHA-256 of the file, 64 lower-case hex digits.';
COMMENT ON COLUMN telemetry_datasets.start_time_utc IS 'First time in the file.';
COMMENT ON COLUMN telemetry_datasets.end_time_utc IS 'Last time in the file.';
COMMENT ON COLUMN telemetry_datasets.quality IS 'Quality report, in the API''s own names.';
COMMENT ON COLUMN telemetry_datasets.created_at IS 'When the row was made.';
COMMENT ON COLUMN telemetry_datasets.updated_at IS 'When the row last changed; kept by a trigger.';
COMMENT ON CONSTRAINT telemetry_datasets_one_per_run_artifact_stream ON telemetry_datasets
    IS 'One file counts per stream. Serves the search for a run''s datasets.';

CREATE INDEX telemetry_datasets_session_idx ON telemetry_datasets (session_id);
COMMENT ON INDEX telemetry_datasets_session_idx IS 'Serves a session''s datasets, and the foreign key when a session is deleted.';
CREATE INDEX telemetry_datasets_artifact_idx ON telemetry_datasets (artifact_id);
COMMENT ON INDEX telemetry_datasets_artifact_idx IS 'Serves the foreign key when an artifact is deleted.';
CREATE INDEX telemetry_datasets_storage_path_idx ON telemetry_datasets (storage_path);
COMMENT ON INDEX telemetry_datasets_storage_path_idx IS 'Serves the sweep of files that no row points to.';

CREATE TABLE telemetry_laps (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    session_id uuid NOT NULL,
    run_id uuid NOT NULL,
    lap_number integer NOT NULL,
    kind text NOT NULL,
    start_time_utc timestamptz NOT NULL,
    end_time_utc timestamptz NOT NULL,
    duration_ms double precision NOT NULL,
    duration_uncertainty_ms double precision,
    distance_m double precision,
    max_speed_mps double precision,
    source text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT telemetry_laps_pkey PRIMARY KEY (id),
    CONSTRAINT telemetry_laps_session_id_fkey FOREIGN KEY (session_id)
        REFERENCES telemetry_sessions (id) ON DELETE CASCADE,
    CONSTRAINT telemetry_laps_run_id_fkey FOREIGN KEY (run_id)
        REFERENCES telemetry_processing_runs (id) ON DELETE CASCADE,
    CONSTRAINT telemetry_laps_one_per_run_source_number UNIQUE (run_id, source, lap_number),
    CONSTRAINT telemetry_laps_kind_known CHECK (kind IN ('OUT', 'TIMED', 'IN')),
    CONSTRAINT telemetry_laps_source_known CHECK (source IN ('FILE', 'DETECTED')),
    CONSTRAINT telemetry_laps_lap_number_not_negative CHECK (lap_number >= 0),
    CONSTRAINT telemetry_laps_start_before_end CHECK (start_time_utc <= end_time_utc),
    -- NaN counts as greater than infinity, so the upper bound refuses both.
    CONSTRAINT telemetry_laps_duration_not_negative CHECK (duration_ms >= 0 AND duration_ms < 'Infinity'),
    CONSTRAINT telemetry_laps_duration_uncertainty_not_negative CHECK (
        duration_uncertainty_ms >= 0 AND duration_uncertainty_ms < 'Infinity'
    ),
    CONSTRAINT telemetry_laps_distance_not_negative CHECK (distance_m >= 0 AND distance_m < 'Infinity'),
    CONSTRAINT telemetry_laps_max_speed_not_negative CHECK (max_speed_mps >= 0 AND max_speed_mps < 'Infinity')
);

COMMENT ON TABLE telemetry_laps IS 'One lap of a session, as the file brings it or as a run found it. Shown only when the run succeeded.';
COMMENT ON COLUMN telemetry_laps.id IS 'Identity.';
COMMENT ON COLUMN telemetry_laps.session_id IS 'Session it belongs to.';
COMMENT ON COLUMN telemetry_laps.run_id IS 'Run that made it.';
COMMENT ON COLUMN telemetry_laps.lap_number IS 'Number within the session, in order of time.';
COMMENT ON COLUMN telemetry_laps.kind IS 'OUT before the first crossing, TIMED between two, IN after the last.';
COMMENT ON COLUMN telemetry_laps.start_time_utc IS 'Start, interpolated at the line.';
COMMENT ON COLUMN telemetry_laps.end_time_utc IS 'End, interpolated at the line.';
COMMENT ON COLUMN telemetry_laps.duration_ms IS 'Duration in milliseconds, with its fraction.';
COMMENT ON COLUMN telemetry_laps.duration_uncertainty_ms IS 'Standard uncertainty of the duration in milliseconds; null when unknown.';
COMMENT ON COLUMN telemetry_laps.distance_m IS 'Distance along the track in metres; null when unknown.';
COMMENT ON COLUMN telemetry_laps.max_speed_mps IS 'Highest speed in metres per second; null when unknown.';
COMMENT ON COLUMN telemetry_laps.source IS 'FILE: the recording brought it. DETECTED: found from positions.';
COMMENT ON COLUMN telemetry_laps.created_at IS 'When the row was made.';
COMMENT ON COLUMN telemetry_laps.updated_at IS 'When the row last changed; kept by a trigger.';
COMMENT ON CONSTRAINT telemetry_laps_one_per_run_source_number ON telemetry_laps
    IS 'A lap is counted once. Serves the search for a run''s laps.';

CREATE INDEX telemetry_laps_session_idx ON telemetry_laps (session_id, lap_number);
COMMENT ON INDEX telemetry_laps_session_idx IS 'Serves a session''s laps in order, and the foreign key when a session is deleted.';
