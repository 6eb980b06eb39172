-- Two indexes that no query uses cost a write for each upload and for each discard. And two comments said less, or other,
-- than what is stored.
DROP INDEX telemetry_artifacts_owner_newest_idx;
DROP INDEX telemetry_artifacts_discarded_idx;
COMMENT ON COLUMN telemetry_laps.kind IS 'OUT: a partial lap before a first crossing. TIMED: from one crossing to the next. IN: a partial lap after a last one.';
COMMENT ON COLUMN telemetry_laps.duration_uncertainty_ms IS 'Expanded uncertainty of the duration in milliseconds, coverage factor 1.75; null when unknown.';
