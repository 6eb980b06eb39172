CREATE INDEX telemetry_artifacts_owner_newest_idx ON telemetry_artifacts (owner_user_id, created_at DESC, id DESC);
COMMENT ON INDEX telemetry_artifacts_owner_newest_idx IS 'Serves the search for an owner''s uploads, newest first.';
CREATE INDEX telemetry_artifacts_discarded_idx ON telemetry_artifacts (discarded_at) WHERE discarded_at IS NOT NULL;
COMMENT ON INDEX telemetry_artifacts_discarded_idx IS 'Serves the second look at raw bytes discarded lately, which a still valid upload address could revive.';
COMMENT ON COLUMN telemetry_laps.kind IS 'OUT before the first crossing, TIMED between two, IN after the last.';
COMMENT ON COLUMN telemetry_laps.duration_uncertainty_ms IS 'Standard uncertainty of the duration in milliseconds; null when unknown.';
