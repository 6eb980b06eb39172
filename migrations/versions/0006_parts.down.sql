DROP INDEX telemetry_artifacts_open_idx;
ALTER TABLE telemetry_artifacts DROP COLUMN multipart_id;
