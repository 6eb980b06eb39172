"""What the FIT profile says of the messages that are read: base types, record fields, makers. Data only.

Source: FIT Protocol D00001275 (base types, invalid values) and the Global FIT Profile (message and field numbers,
scales, offsets, units).
"""

from dataclasses import dataclass

FIT_EPOCH_S = 631_065_600
"""Unix time of FIT's second 0, 1989-12-31T00:00:00Z."""
FIRST_ABSOLUTE_S = 0x10000000
"""Smaller timestamps are seconds since the device was switched on."""

FILE_ID = 0
LAP = 19
RECORD = 20
DEVICE_INFO = 23
GPS_METADATA = 160
TIMESTAMP_CORRELATION = 162
FIELD_DESCRIPTION = 206

TIMESTAMP_FIELD = 253

COURSE = 6
"""A file's type in its file_id."""


@dataclass(frozen=True, slots=True)
class BaseType:
    """One base type: `code` of the struct module, size in bytes, and the value that means "none"."""

    code: str
    size: int
    invalid: int | float | None


BASE_TYPES: dict[int, BaseType] = {
    0x00: BaseType("B", 1, 0xFF),  # enum
    0x01: BaseType("b", 1, 0x7F),
    0x02: BaseType("B", 1, 0xFF),
    0x83: BaseType("h", 2, 0x7FFF),
    0x84: BaseType("H", 2, 0xFFFF),
    0x85: BaseType("i", 4, 0x7FFFFFFF),
    0x86: BaseType("I", 4, 0xFFFFFFFF),
    0x07: BaseType("s", 1, None),  # string
    0x88: BaseType("f", 4, None),  # NaN
    0x89: BaseType("d", 8, None),  # NaN
    0x0A: BaseType("B", 1, 0),  # uint8z
    0x8B: BaseType("H", 2, 0),  # uint16z
    0x8C: BaseType("I", 4, 0),  # uint32z
    0x0D: BaseType("s", 1, None),  # byte
    0x8E: BaseType("q", 8, 0x7FFFFFFFFFFFFFFF),
    0x8F: BaseType("Q", 8, 0xFFFFFFFFFFFFFFFF),
    0x90: BaseType("Q", 8, 0),  # uint64z
}
BYTES = BaseType("s", 1, None)

SEMICIRCLES_PER_DEGREE = 2**31 / 180


@dataclass(frozen=True, slots=True)
class ProfileField:
    """One field: channel = raw / scale - offset."""

    channel: str
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0


RECORD_FIELDS: dict[int, ProfileField] = {
    0: ProfileField("latitude_deg", "deg", SEMICIRCLES_PER_DEGREE),
    1: ProfileField("longitude_deg", "deg", SEMICIRCLES_PER_DEGREE),
    2: ProfileField("altitude", "m", 5, 500),
    3: ProfileField("heart_rate_bpm", "bpm"),
    4: ProfileField("cadence", "rpm"),
    5: ProfileField("distance", "m", 100),
    6: ProfileField("speed", "m/s", 1000),
    7: ProfileField("power_w", "W"),
    9: ProfileField("grade", "%", 100),
    10: ProfileField("resistance"),
    11: ProfileField("time_from_course", "s", 1000),
    12: ProfileField("cycle_length", "m", 100),
    13: ProfileField("temperature_degc", "°C"),
    17: ProfileField("speed_1s", "m/s", 16),
    18: ProfileField("cycles", "cycles"),
    19: ProfileField("total_cycles", "cycles"),
    28: ProfileField("compressed_accumulated_power", "W"),
    29: ProfileField("accumulated_power", "W"),
    30: ProfileField("left_right_balance"),
    31: ProfileField("horizontal_accuracy_m", "m"),
    32: ProfileField("vertical_speed_mps", "m/s", 1000),
    33: ProfileField("calories", "kcal"),
    39: ProfileField("vertical_oscillation", "mm", 10),
    40: ProfileField("stance_time_percent", "%", 100),
    41: ProfileField("stance_time", "ms", 10),
    42: ProfileField("activity_type"),
    43: ProfileField("left_torque_effectiveness", "%", 2),
    44: ProfileField("right_torque_effectiveness", "%", 2),
    45: ProfileField("left_pedal_smoothness", "%", 2),
    46: ProfileField("right_pedal_smoothness", "%", 2),
    47: ProfileField("combined_pedal_smoothness", "%", 2),
    48: ProfileField("time128", "s", 128),
    49: ProfileField("stroke_type"),
    50: ProfileField("zone"),
    51: ProfileField("ball_speed", "m/s", 100),
    52: ProfileField("cadence256", "rpm", 256),
    53: ProfileField("fractional_cadence", "rpm", 128),
    54: ProfileField("total_hemoglobin_conc", "g/dL", 100),
    55: ProfileField("total_hemoglobin_conc_min", "g/dL", 100),
    56: ProfileField("total_hemoglobin_conc_max", "g/dL", 100),
    57: ProfileField("saturated_hemoglobin_percent", "%", 10),
    58: ProfileField("saturated_hemoglobin_percent_min", "%", 10),
    59: ProfileField("saturated_hemoglobin_percent_max", "%", 10),
    62: ProfileField("device_index"),
    67: ProfileField("left_pco", "mm"),
    68: ProfileField("right_pco", "mm"),
    69: ProfileField("left_power_phase", "deg", 0.7111111),
    70: ProfileField("left_power_phase_peak", "deg", 0.7111111),
    71: ProfileField("right_power_phase", "deg", 0.7111111),
    72: ProfileField("right_power_phase_peak", "deg", 0.7111111),
    73: ProfileField("enhanced_speed", "m/s", 1000),
    78: ProfileField("enhanced_altitude", "m", 5, 500),
    81: ProfileField("battery_soc", "%", 2),
    82: ProfileField("motor_power", "W"),
    83: ProfileField("vertical_ratio", "%", 100),
    84: ProfileField("stance_time_balance", "%", 100),
    85: ProfileField("step_length", "mm", 10),
    87: ProfileField("cycle_length16", "m", 100),
    91: ProfileField("absolute_pressure", "Pa"),
    92: ProfileField("depth", "m", 1000),
    93: ProfileField("next_stop_depth", "m", 1000),
    94: ProfileField("next_stop_time", "s"),
    95: ProfileField("time_to_surface", "s"),
    96: ProfileField("ndl_time", "s"),
    97: ProfileField("cns_load", "%"),
    98: ProfileField("n2_load", "%"),
    99: ProfileField("respiration_rate", "breaths/min"),
    108: ProfileField("enhanced_respiration_rate", "breaths/min", 100),
    114: ProfileField("grit"),
    115: ProfileField("flow"),
    116: ProfileField("current_stress", "", 100),
    117: ProfileField("ebike_travel_range", "km"),
    118: ProfileField("ebike_battery_level", "%"),
    119: ProfileField("ebike_assist_mode"),
    120: ProfileField("ebike_assist_level_percent", "%"),
    123: ProfileField("air_time_remaining", "s"),
    124: ProfileField("pressure_sac", "bar/min", 100),
    125: ProfileField("volume_sac", "L/min", 100),
    126: ProfileField("rmv", "L/min", 100),
    127: ProfileField("ascent_rate", "m/s", 1000),
    129: ProfileField("po2", "%", 100),
    139: ProfileField("core_temperature", "°C", 100),
}

# The faster fixes of cameras. Kept under names that say where they come from, unless they are the track.
GPS_METADATA_FIELDS: dict[int, ProfileField] = {
    1: ProfileField("gps_metadata_latitude", "deg", SEMICIRCLES_PER_DEGREE),
    2: ProfileField("gps_metadata_longitude", "deg", SEMICIRCLES_PER_DEGREE),
    3: ProfileField("gps_metadata_altitude", "m", 5, 500),
    4: ProfileField("gps_metadata_speed", "m/s", 1000),
    5: ProfileField("gps_metadata_heading", "deg", 100),
    7: ProfileField("gps_metadata_velocity", "m/s", 100),
}

COMPRESSED_SPEED_DISTANCE = 8

MANUFACTURERS: dict[int, str] = {
    1: "Garmin", 6: "SRM", 15: "Dynastream", 16: "Timex", 23: "Suunto", 32: "Wahoo Fitness", 37: "Magellan",
    38: "o-synce", 39: "Holux", 41: "Shimano", 45: "Xplova", 48: "Pioneer", 68: "CatEye", 70: "Sigma Sport",
    71: "TomTom", 76: "Moxy", 89: "Tacx", 95: "Stryd", 107: "Magene", 112: "Bryton", 115: "iGPSPORT",
    123: "Polar Electro", 129: "COROS", 132: "CYCPLUS", 135: "CooSpo", 137: "Bosch", 140: "Decathlon",
    142: "TAG Heuer", 145: "Porsche eBike Performance", 255: "Development", 258: "Lezyne", 260: "Zwift",
    263: "Favero Electronics", 265: "Strava", 267: "Bryton", 268: "SRAM", 269: "Navman", 270: "COBI",
    272: "Mio Magellan", 286: "Omata", 289: "Hammerhead", 294: "COROS", 299: "Mahle ebikemotion", 305: "WHOOP",
    307: "Onelap", 309: "FORM", 310: "Decathlon", 327: "Magicshine", 331: "MyWhoosh", 339: "Zepp", 348: "Huawei",
}  # fmt: skip
