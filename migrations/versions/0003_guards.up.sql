-- Triggers: the time of the last change, the transitions that exist, and the count of attempts that never falls.
-- The transitions equal those of the service's own state maps; a test tries every pair.

CREATE FUNCTION telemetry_touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION telemetry_touch_updated_at IS 'Sets updated_at to the time of the transaction.';

CREATE FUNCTION telemetry_guard_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.status || ' > ' || NEW.status) = ANY (TG_ARGV) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'transition % > % does not exist', OLD.status, NEW.status
        USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
END
$$;
COMMENT ON FUNCTION telemetry_guard_transition IS 'Refuses a change of status that its arguments, each of the form FROM > TO, do not name.';

CREATE FUNCTION telemetry_guard_attempt_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'attempt_count never falls'
        USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
END
$$;
COMMENT ON FUNCTION telemetry_guard_attempt_count IS 'Refuses the change.';

CREATE TRIGGER telemetry_devices_touch BEFORE UPDATE ON telemetry_devices
    FOR EACH ROW EXECUTE FUNCTION telemetry_touch_updated_at();
CREATE TRIGGER telemetry_sessions_touch BEFORE UPDATE ON telemetry_sessions
    FOR EACH ROW EXECUTE FUNCTION telemetry_touch_updated_at();
CREATE TRIGGER telemetry_artifacts_touch BEFORE UPDATE ON telemetry_artifacts
    FOR EACH ROW EXECUTE FUNCTION telemetry_touch_updated_at();
CREATE TRIGGER telemetry_processing_runs_touch BEFORE UPDATE ON telemetry_processing_runs
    FOR EACH ROW EXECUTE FUNCTION telemetry_touch_updated_at();
CREATE TRIGGER telemetry_jobs_touch BEFORE UPDATE ON telemetry_jobs
    FOR EACH ROW EXECUTE FUNCTION telemetry_touch_updated_at();
CREATE TRIGGER telemetry_datasets_touch BEFORE UPDATE ON telemetry_datasets
    FOR EACH ROW EXECUTE FUNCTION telemetry_touch_updated_at();
CREATE TRIGGER telemetry_laps_touch BEFORE UPDATE ON telemetry_laps
    FOR EACH ROW EXECUTE FUNCTION telemetry_touch_updated_at();

CREATE TRIGGER telemetry_artifacts_transition BEFORE UPDATE ON telemetry_artifacts
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
    EXECUTE FUNCTION telemetry_guard_transition(
        'UPLOADED > VALIDATED', 'UPLOADED > REJECTED', 'UPLOADED > EXPIRED',
        'VALIDATED > CLASSIFIED', 'VALIDATED > REJECTED',
        'CLASSIFIED > PARSED', 'CLASSIFIED > REJECTED',
        'PARSED > DISCARDED',
        'REJECTED > UPLOADED'
    );

CREATE TRIGGER telemetry_processing_runs_transition BEFORE UPDATE ON telemetry_processing_runs
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
    EXECUTE FUNCTION telemetry_guard_transition(
        'QUEUED > RUNNING', 'QUEUED > FAILED', 'QUEUED > CANCELLED',
        'RUNNING > SUCCEEDED', 'RUNNING > FAILED', 'RUNNING > CANCELLED'
    );

CREATE TRIGGER telemetry_sessions_transition BEFORE UPDATE ON telemetry_sessions
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
    EXECUTE FUNCTION telemetry_guard_transition(
        'PROCESSING > READY', 'PROCESSING > FAILED', 'PROCESSING > CANCELLED',
        'FAILED > PROCESSING'
    );

CREATE TRIGGER telemetry_jobs_transition BEFORE UPDATE ON telemetry_jobs
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
    EXECUTE FUNCTION telemetry_guard_transition(
        'QUEUED > RUNNING', 'QUEUED > CANCELLED',
        'RUNNING > SUCCEEDED', 'RUNNING > QUEUED', 'RUNNING > FAILED', 'RUNNING > CANCELLED'
    );

CREATE TRIGGER telemetry_jobs_attempt_count BEFORE UPDATE ON telemetry_jobs
    FOR EACH ROW WHEN (NEW.attempt_count < OLD.attempt_count)
    EXECUTE FUNCTION telemetry_guard_attempt_count();
