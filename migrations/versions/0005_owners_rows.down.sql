-- The roles stay where another database of the server still uses them.
DROP POLICY telemetry_sessions_of_owner ON telemetry_sessions;
DROP POLICY telemetry_sessions_all ON telemetry_sessions;
ALTER TABLE telemetry_sessions DISABLE ROW LEVEL SECURITY;
DROP POLICY telemetry_artifacts_of_owner ON telemetry_artifacts;
DROP POLICY telemetry_artifacts_all ON telemetry_artifacts;
ALTER TABLE telemetry_artifacts DISABLE ROW LEVEL SECURITY;
DROP POLICY telemetry_devices_of_owner ON telemetry_devices;
DROP POLICY telemetry_devices_all ON telemetry_devices;
ALTER TABLE telemetry_devices DISABLE ROW LEVEL SECURITY;
DROP POLICY telemetry_processing_runs_of_owner ON telemetry_processing_runs;
DROP POLICY telemetry_processing_runs_all ON telemetry_processing_runs;
ALTER TABLE telemetry_processing_runs DISABLE ROW LEVEL SECURITY;
DROP POLICY telemetry_jobs_of_owner ON telemetry_jobs;
DROP POLICY telemetry_jobs_all ON telemetry_jobs;
ALTER TABLE telemetry_jobs DISABLE ROW LEVEL SECURITY;
DROP POLICY telemetry_datasets_of_owner ON telemetry_datasets;
DROP POLICY telemetry_datasets_all ON telemetry_datasets;
ALTER TABLE telemetry_datasets DISABLE ROW LEVEL SECURITY;
DROP POLICY telemetry_laps_of_owner ON telemetry_laps;
DROP POLICY telemetry_laps_all ON telemetry_laps;
ALTER TABLE telemetry_laps DISABLE ROW LEVEL SECURITY;

DO $$
DECLARE
    unwanted text;
BEGIN
    FOREACH unwanted IN ARRAY ARRAY['telemetry_api', 'telemetry_service'] LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = unwanted) THEN
            EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', unwanted);
            EXECUTE format('REVOKE ALL ON SCHEMA public FROM %I', unwanted);
            BEGIN
                EXECUTE format('DROP ROLE %I', unwanted);
            EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
                NULL;
            END;
        END IF;
    END LOOP;
END
$$;
