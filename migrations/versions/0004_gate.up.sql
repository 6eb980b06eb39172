-- The start/finish line that an owner gives a session, and the sectors that lines divide a lap into.

ALTER TABLE telemetry_sessions
    ADD COLUMN gate jsonb,
    ADD CONSTRAINT telemetry_sessions_gate_is_object CHECK (jsonb_typeof(gate) = 'object');
COMMENT ON COLUMN telemetry_sessions.gate IS 'Start/finish line that the owner gave, with its sector lines, in the API''s own names; null where laps are found without.';

ALTER TABLE telemetry_laps
    ADD COLUMN sectors_ms jsonb NOT NULL DEFAULT '[]',
    ADD CONSTRAINT telemetry_laps_sectors_is_array CHECK (jsonb_typeof(sectors_ms) = 'array');
COMMENT ON COLUMN telemetry_laps.sectors_ms IS 'Durations from line to line in milliseconds, null where a line was missed; empty without sector lines.';
