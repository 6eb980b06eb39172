-- The role that the functions sign in as: made when it is missing, and given rows to read and write, nothing else.
-- Its name comes in the setting telemetry.application_role of this transaction. On RDS it signs in with IAM.
DO $$
DECLARE
    application_role text := current_setting('telemetry.application_role');
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = application_role) THEN
        EXECUTE format('CREATE ROLE %I LOGIN', application_role);
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
        EXECUTE format('GRANT rds_iam TO %I', application_role);
    END IF;
    EXECUTE format('GRANT telemetry_api, telemetry_service TO %I', application_role);
    EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', application_role);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO %I', application_role);
    EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON telemetry_schema_version FROM %I', application_role);
    EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO %I', application_role);
END
$$;
