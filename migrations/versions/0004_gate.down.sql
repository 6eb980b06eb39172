ALTER TABLE telemetry_laps DROP COLUMN sectors_ms;
ALTER TABLE telemetry_sessions DROP COLUMN gate;
