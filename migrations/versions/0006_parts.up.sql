-- Uploads in parts, and how many uploads an owner has open.

ALTER TABLE telemetry_artifacts ADD COLUMN multipart_id text;
COMMENT ON COLUMN telemetry_artifacts.multipart_id IS 'The store''s id of the upload in parts; null where none was begun.';

CREATE INDEX telemetry_artifacts_open_idx ON telemetry_artifacts (owner_user_id)
    WHERE status = 'UPLOADED' AND session_id IS NULL;
COMMENT ON INDEX telemetry_artifacts_open_idx IS 'Serves the limit on an owner''s open uploads.';
