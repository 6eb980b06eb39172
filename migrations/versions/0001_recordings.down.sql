DROP TABLE telemetry_artifacts;
DROP TABLE telemetry_sessions;
DROP TABLE telemetry_devices;
