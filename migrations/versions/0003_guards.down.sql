-- The triggers go with their functions.
DROP FUNCTION telemetry_guard_attempt_count CASCADE;
DROP FUNCTION telemetry_guard_transition CASCADE;
DROP FUNCTION telemetry_touch_updated_at CASCADE;
