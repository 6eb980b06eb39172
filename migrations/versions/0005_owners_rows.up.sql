-- Row-level security, the second wall between owners: behind it the API sees and changes the rows of one owner only,
-- whatever its queries say. The owner is a setting of the transaction, so that nothing stays on a pooled connection.
--
-- telemetry_api      nobody signs in as it; the functions take it on for a transaction, with telemetry.owner_user_id set
-- telemetry_service  what the functions' own role is a member of: worker, janitor and receipts see every row
--
-- The tables' owner is not held by policies. Roles belong to the whole server, so each is made only where it is missing.

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['telemetry_api', 'telemetry_service'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- another database of this server has it already
        END;
        IF NOT pg_has_role(current_user, wanted, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
        END IF;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA public TO telemetry_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON telemetry_sessions TO telemetry_api;
GRANT SELECT, INSERT, UPDATE ON telemetry_artifacts, telemetry_processing_runs, telemetry_jobs TO telemetry_api;
GRANT SELECT, DELETE ON telemetry_datasets TO telemetry_api;
GRANT SELECT ON telemetry_laps, telemetry_devices TO telemetry_api;

ALTER TABLE telemetry_sessions ENABLE ROW LEVEL SECURITY;
CREATE POLICY telemetry_sessions_of_owner ON telemetry_sessions TO telemetry_api
    USING (owner_user_id = current_setting('telemetry.owner_user_id', true));
CREATE POLICY telemetry_sessions_all ON telemetry_sessions TO telemetry_service USING (true);

ALTER TABLE telemetry_artifacts ENABLE ROW LEVEL SECURITY;
CREATE POLICY telemetry_artifacts_of_owner ON telemetry_artifacts TO telemetry_api
    USING (owner_user_id = current_setting('telemetry.owner_user_id', true));
CREATE POLICY telemetry_artifacts_all ON telemetry_artifacts TO telemetry_service USING (true);

ALTER TABLE telemetry_devices ENABLE ROW LEVEL SECURITY;
CREATE POLICY telemetry_devices_of_owner ON telemetry_devices TO telemetry_api
    USING (owner_user_id = current_setting('telemetry.owner_user_id', true));
CREATE POLICY telemetry_devices_all ON telemetry_devices TO telemetry_service USING (true);

ALTER TABLE telemetry_processing_runs ENABLE ROW LEVEL SECURITY;
CREATE POLICY telemetry_processing_runs_of_owner ON telemetry_processing_runs TO telemetry_api
    USING (EXISTS (SELECT FROM telemetry_sessions AS session WHERE session.id = telemetry_processing_runs.session_id));
CREATE POLICY telemetry_processing_runs_all ON telemetry_processing_runs TO telemetry_service USING (true);

ALTER TABLE telemetry_jobs ENABLE ROW LEVEL SECURITY;
CREATE POLICY telemetry_jobs_of_owner ON telemetry_jobs TO telemetry_api
    USING (EXISTS (SELECT FROM telemetry_processing_runs AS run WHERE run.id = telemetry_jobs.run_id));
CREATE POLICY telemetry_jobs_all ON telemetry_jobs TO telemetry_service USING (true);

ALTER TABLE telemetry_datasets ENABLE ROW LEVEL SECURITY;
CREATE POLICY telemetry_datasets_of_owner ON telemetry_datasets TO telemetry_api
    USING (EXISTS (SELECT FROM telemetry_sessions AS session WHERE session.id = telemetry_datasets.session_id));
CREATE POLICY telemetry_datasets_all ON telemetry_datasets TO telemetry_service USING (true);

ALTER TABLE telemetry_laps ENABLE ROW LEVEL SECURITY;
CREATE POLICY telemetry_laps_of_owner ON telemetry_laps TO telemetry_api
    USING (EXISTS (SELECT FROM telemetry_sessions AS session WHERE session.id = telemetry_laps.session_id));
CREATE POLICY telemetry_laps_all ON telemetry_laps TO telemetry_service USING (true);

COMMENT ON POLICY telemetry_sessions_of_owner ON telemetry_sessions IS 'The wall itself; without an owner set, nothing is seen.';
COMMENT ON POLICY telemetry_processing_runs_of_owner ON telemetry_processing_runs IS 'Through the session, which is behind its own policy. Likewise datasets and laps, and jobs through their run.';
