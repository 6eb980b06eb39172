"""Phone apps and trackers: GPSLogger, OpenTracks, phyphox, Sensor Logger, Traccar.

Sources: GPSLogger for Android (`time,lat,lon,elevation,accuracy,bearing,speed,…`, m/s); OpenTracks CSV export
(`#time,trackpoint_type,…`, m/s); phyphox location experiment (seconds since its start, which stands in another file);
Sensor Logger (`time` in nanoseconds, `seconds_elapsed`); Traccar's CSV export (`fixTime` beside the times of the device
and of the server; knots).
"""

from telemetry.formats.csv_dialects.program import Program, has_columns

_SI = {"speed_mps": "m/s", "altitude_m": "m"}

PROGRAMS = (
    Program(
        title="GPSLogger CSV",
        matches=has_columns(
            "time", "lat", "lon", "elevation", "accuracy", "bearing", "speed", "satellites", "provider"
        ),
        units=_SI,
        time_keys=("time",),
    ),
    Program(title="OpenTracks CSV", matches=has_columns("time", "trackpoint_type", "latitude"), units=_SI),
    Program(
        title="phyphox CSV",
        matches=has_columns("Time", "Latitude", "Longitude", "Height", "Velocity", "Direction"),
        units=_SI,
    ),
    Program(
        title="Sensor Logger CSV",
        matches=has_columns("time", "seconds_elapsed", "latitude"),
        units=_SI,
        time_keys=("time",),
    ),
    Program(
        title="Traccar CSV",
        matches=has_columns("serverTime", "deviceTime", "fixTime", "latitude"),
        units={"speed_mps": "kn", "altitude_m": "m"},
        time_keys=("fix time",),
    ),
)
