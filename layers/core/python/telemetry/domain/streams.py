"""The names of the canonical streams. What needs a name alone imports it here, without Arrow."""

GNSS_PVT = "gnss_pvt"
IMU = "imu"
BIOMETRICS = "biometrics"
VEHICLE = "vehicle"
STREAMS = (GNSS_PVT, IMU, BIOMETRICS, VEHICLE)
"""The streams that a recording is parted into."""
LAP_DELTA = "lap_delta"
"""Each comparable lap against the best, computed from `gnss_pvt`."""
