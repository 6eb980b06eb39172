"""Recordings that keep to the outer form of their format and to nothing else: names, values and sizes by chance.

Each takes its chances from `rng`, so that hypothesis can shrink them and the long run can go on and on.
"""

import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from random import Random

from telemetry.formats.fit_messages import crc16
from tests.unit.test_ubx_reader import frame

_NUMBERS = (
    *("0", "-0", "1", "-1", "52.5", "0.1234567", "89.9999999", "-179.5", "180", "181", "525000000", "1714557600"),
    *(
        "1714557600123",
        "1e3",
        "1e308",
        "-1e400",
        "NaN",
        "inf",
        "",
        " ",
        "x",
        "1,5",
        "1.2.3",
        "9" * 40,
        "0x10",
        "½",
        "٣",
    ),
)
_TIMES = (
    *("2024-05-01T10:00:00Z", "2024-05-01T10:00:00.123456789+05:30", "2024-05-01 10:00:00", "2024-02-30T00:00:00Z"),
    *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "10:00:00", "24:00:00", "235959.99", "01/05/2024", "1.5.24", ""),
)
_TEXTS = (*_NUMBERS, *_TIMES, "3d", "A", "V", "N", "W", "Lap 1", "a\u00a0b", "\ufeff", "&amp;", "&#0;", "\x00", "\x7f")
_COLUMNS = (
    *("time", "timestamp", "UTC", "Date", "utc_d", "lat", "latitude", "Latitude (deg)", "lon", "lng", "longitude"),
    *("speed", "Speed (km/h)", "alt", "Altitude [ft]", "lap", "N/S", "E/W", "g", "heart_rate", "", "time", "x" * 300),
)
_EXTENSIONS = ("hr", "cad", "Speed", "Watts", "power", "gear", "speed", "q:hr", "g:hr", "Position", "Value")


def text_table(rng: Random) -> bytes:
    """A table with any columns, delimiters, quotes and ragged rows."""
    delimiter = rng.choice(",;\t|")
    lines = [rng.choice(("# note", "sep=;", "a,b", "")) for _ in range(rng.randint(0, 3))]
    width = rng.randint(1, 8)
    lines.append(delimiter.join(rng.choice(_COLUMNS) for _ in range(width)))
    fixed = [rng.choice((_NUMBERS, _TIMES, _TEXTS)) for _ in range(width)]
    for _ in range(rng.randint(0, 30)):
        cells = [rng.choice(values) for values in fixed]
        if rng.random() < 0.1:
            cells = [*cells[: rng.randint(0, width)], rng.choice(('"', '"a', '""', "'", "\n"))]
        lines.append(delimiter.join(cells))
    encoding = rng.choice(("utf-8", "utf-8-sig", "utf-16", "latin-1"))
    return rng.choice(("\n", "\r\n", "\r")).join(lines).encode(encoding, "replace")


def _leaf(rng: Random, name: str) -> str:
    text = rng.choice(_TEXTS).replace("<", "").replace("\x00", "").replace("\x7f", "")
    attribute = f' a="{rng.choice(_NUMBERS)}"' if rng.random() < 0.1 else ""
    return f"<{name}/>" if rng.random() < 0.05 else f"<{name}{attribute}>{text}</{name}>"


def _points(rng: Random, point: Callable[[], str], between: tuple[str, ...]) -> str:
    shapes = [point() for _ in range(rng.randint(1, 4))]
    pieces = []
    for _ in range(rng.randint(0, 40)):
        pieces.append(rng.choice(shapes) if rng.random() < 0.8 else point())
        if rng.random() < 0.1:
            pieces.append(rng.choice(between))
    return "\n".join(pieces)


def gpx(rng: Random) -> bytes:
    """Track points with any children."""

    def point() -> str:
        inner = "".join(_leaf(rng, name) for name in rng.sample(("ele", "time", "sat", "fix", "hdop", "name"), 3))
        extensions = "".join(_leaf(rng, rng.choice(_EXTENSIONS)) for _ in range(rng.randint(0, 3)))
        place = f'lat="{rng.choice(_NUMBERS)}" lon="{rng.choice(_NUMBERS)}"'
        return f"<trkpt {place}>{inner}<extensions>{extensions}</extensions></trkpt>"

    between = ("</trkseg><trkseg>", "<!-- -->", "</trk><trk>", "x", "</gpx>", "<rtept lat='1' lon='2'/>")
    body = _points(rng, point, between)
    return f'<gpx xmlns:g="urn:g"><trk><trkseg>{body}</trkseg></trk></gpx>'.encode()


def tcx(rng: Random) -> bytes:
    """Trackpoints with any children, laps with any starts."""

    def point() -> str:
        names = ("Time", "AltitudeMeters", "DistanceMeters", "Cadence", "SensorState", "Position")
        inner = "".join(_leaf(rng, name) for name in rng.sample(names, 3))
        place = _leaf(rng, "LatitudeDegrees") + _leaf(rng, "LongitudeDegrees")
        extensions = "".join(_leaf(rng, rng.choice(_EXTENSIONS)) for _ in range(rng.randint(0, 3)))
        return (
            f"<Trackpoint>{inner}<Position>{place}</Position><HeartRateBpm>{_leaf(rng, 'Value')}</HeartRateBpm>"
            f'<Extensions><TPX xmlns="urn:x">{extensions}</TPX></Extensions></Trackpoint>'
        )

    lap = f'<Lap StartTime="{rng.choice(_TIMES)}">{_leaf(rng, "TotalTimeSeconds")}<Track>'
    between = ("</Track><Track>", f"</Track></Lap>{lap}", "<!-- -->", "</Track>", "<Course><Track>", "<Lap>")
    creator = f"<Creator>{_leaf(rng, 'Name')}{_leaf(rng, 'UnitId')}{_leaf(rng, 'ProductID')}</Creator>"
    body = f"<Activity>{lap}{_points(rng, point, between)}</Track></Lap>{creator}</Activity>"
    return f"<TrainingCenterDatabase>{body}</TrainingCenterDatabase>".encode()


def kml(rng: Random) -> bytes:
    """Tracks whose times, places and sensor values do not match, and dated placemarks."""
    names = ("when", "gx:coord", "coordinates", "gx:value", "TimeStamp", "Point", "gx:Track", "/gx:Track", "LineString")
    inner = []
    for _ in range(rng.randint(0, 60)):
        name = rng.choice(names)
        numbers = rng.choice((" ", ",")).join(rng.choice(_NUMBERS[:14]) for _ in range(rng.randint(0, 4)))
        text = rng.choice(_TIMES) if name == "when" else numbers
        if name in ("when", "gx:coord", "gx:value", "coordinates"):
            inner.append(f"<{name}>{text}</{name}>")
        elif name == "gx:value":
            inner.append(
                f'<gx:SimpleArrayData name="{rng.choice(_EXTENSIONS)}"><{name}>1</{name}></gx:SimpleArrayData>'
            )
        elif rng.random() < 0.9 and not name.startswith("/"):
            inner.append(f"<{name}>{_leaf(rng, 'when')}{_leaf(rng, 'coordinates')}{_leaf(rng, 'gx:coord')}</{name}>")
        else:
            inner.append(f"<{name}>")
    return f'<kml xmlns:gx="urn:gx"><Placemark><gx:Track>{"".join(inner)}</gx:Track></Placemark></kml>'.encode()


def nmea(rng: Random) -> bytes:
    """Sentences of every kind with any fields; most checksums are right."""
    kinds = ("GPRMC", "GNGGA", "GPGLL", "GPVTG", "GPGSA", "GPZDA", "GNGNS", "GPGST", "PMGNTRK", "GPHDT", "GPTXT", "X")
    usual = ("100000.00", "A", "5230.0000", "N", "01330.0000", "E", "010524", "1", "08", "0.9", "M", "", "12.5")
    lines = []
    for _ in range(rng.randint(0, 60)):
        fields = [rng.choice(usual if rng.random() < 0.8 else _TEXTS) for _ in range(rng.randint(0, 20))]
        body = ",".join([rng.choice(kinds), *fields]).replace("\x00", "")
        sum_ = 0
        for byte in body.encode():
            sum_ ^= byte
        lines.append(f"${body}" + (f"*{sum_:02X}" if rng.random() < 0.9 else rng.choice(("", "*", "*0", "*zz"))))
    good = "$GPRMC,100000.00,A,5230.0,N,01330.0,E,1.0,90,010524,,,A"
    return "\r\n".join([good, *lines]).encode()


def vbo(rng: Random) -> bytes:
    """Sections in any order, rows of any cells."""
    names = [rng.choice(("sats", "time", "lat", "long", "lng", "velocity", "height", "g", "")) for _ in range(6)]
    sections = {
        "header": ["velocity kmh", "satellites", rng.choice(_TEXTS)],
        "comments": [f"Log Rate (Hz) : {rng.choice(_NUMBERS)}", "Generated by RaceBox"],
        "laptiming": ["Start " + " ".join(rng.choice(_NUMBERS) for _ in range(rng.randint(0, 5)))],
        "channel units": [rng.choice(_TEXTS) for _ in range(rng.randint(0, 4))],
        "column names": [" ".join(names)],
    }
    order = list(sections)
    rng.shuffle(order)
    text = [f"File created on {rng.choice(('01/05/2024 @ 10:00', '99/99/9999', '', '1/5/24'))}"]
    for section in order:
        text += [f"[{section}]", *sections[section], ""]
    width = rng.randint(1, 8)
    cells = ("100000.00", "+3169.306", "-0058.49", "012", "137", *_NUMBERS)
    rows = [" ".join(rng.choice(cells) for _ in range(width)) for _ in range(rng.randint(0, 30))]
    return "\r\n".join([*text, "[data]", *rows]).encode("latin-1", "replace")


def igc(rng: Random) -> bytes:
    """Records of every letter with any fields."""
    lines = ["AXXX001", rng.choice(("HFDTE010524", "HFDTEDATE:010524,01", "HFDTE", "HFDTE999999", ""))]
    for _ in range(rng.randint(0, 40)):
        time = rng.choice(("101112", "235959", "000000", "240000", "999999", "      "))
        place = rng.choice(("4730500N00815250E", "9100000N18100000W", "4760000S00860000E", "x" * 17))
        line = f"B{time}{place}{rng.choice('AV ')}{rng.choice(('00444', '-0044', '     '))}00456{rng.choice(_TEXTS)}"
        lines.append(rng.choice((line, line, line, f"I{rng.randint(0, 99):02}3638FXA3941ENL", "LXXX", "E", "I", "J01")))
    return "\r\n".join(lines).encode("latin-1", "replace")


def fit(rng: Random) -> bytes:
    """Definitions and messages of any fields, sizes and types, in a sound envelope."""
    body = bytearray()
    sizes: dict[int, int] = {}
    for _ in range(rng.randint(1, 60)):
        local = rng.randrange(4)
        if local not in sizes or rng.random() < 0.15:
            fields = [
                (rng.choice((253, 0, 1, 2, 3, 5, 6, 73, 78, 254, rng.randrange(256))), size, base)
                for size, base in (
                    rng.choice(((4, 0x86), (4, 0x85), (2, 0x84), (1, 0x02), (1, 0x00), (8, 0x8E), (3, 0x07), (5, 0x86)))
                    for _ in range(rng.randint(0, 8))
                )
            ]
            number = rng.choice((20, 20, 20, 0, 18, 19, 23, 49, 160, 162, 165, 206, 206, 209, rng.randrange(65_536)))
            order = rng.choice("<>")
            developer = [
                (rng.randrange(3), rng.randint(0, 5), rng.randrange(2)) for _ in range(rng.choice((0, 0, 1, 3)))
            ]
            kind = 0x60 if developer else 0x40
            body += struct.pack(f"{order}BBBHB", kind | local, 0, order == ">", number, len(fields))
            body += b"".join(bytes(field) for field in fields)
            if developer:
                body += bytes([len(developer)]) + b"".join(bytes(field) for field in developer)
            sizes[local] = sum(size for _, size, _ in (*fields, *developer))
            continue
        header = local if rng.random() < 0.9 else 0x80 | local << 5 | rng.randrange(32)
        size = sizes.get((header >> 5 & 3) if header & 0x80 else local, 0)
        values = b"".join(
            rng.choice((struct.pack("<I", 1_083_000_000 + rng.randrange(99)), b"\xff" * 4, b"\0" * 4, rng.randbytes(4)))
            for _ in range(size // 4 + 1)
        )
        body += bytes([header]) + values[:size]
    head = struct.pack("<BBHI4s", 12, 0x20, 2132, len(body) if rng.random() < 0.9 else rng.randrange(1 << 32), b".FIT")
    whole = head + bytes(body)
    return (whole + struct.pack("<H", crc16(whole))) * rng.choice((1, 1, 1, 2))


def ubx(rng: Random) -> bytes:
    """Frames with sound sums and any content."""
    frames = []
    for _ in range(rng.randint(1, 30)):
        kind = rng.choice(((1, 7), (1, 7), (1, 0x35), (1, 0x21), (2, 0x13), (rng.randrange(256), rng.randrange(256))))
        payload = bytearray(rng.randbytes(rng.choice((92, 92, 92, 84, 0, 20, rng.randrange(300)))))
        if kind == (1, 7) and len(payload) == 92 and rng.random() < 0.8:
            struct.pack_into("<HBBBBBB", payload, 4, 2024, 5, 1, 10, 0, rng.randrange(62), 7)
            payload[20:22] = b"\x03\x01"
        frames.append(frame(*kind, bytes(payload)))
        if rng.random() < 0.1:
            frames.append(rng.choice((b"\xb5", b"\xb5\x62", b"$GPRMC,,V*00\r\n", rng.randbytes(9), frames[-1][:-3])))
    return b"".join(frames)


def container(rng: Random) -> bytes:
    """Any of the others, packed, perhaps more than once."""
    inner = rng.choice(PLAIN)(rng)
    if rng.random() < 0.4:
        return gzip.compress(inner, mtime=0) * rng.choice((1, 1, 2)) + rng.choice((b"", b"\0" * 9, b"junk"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for index in range(rng.choice((0, 1, 1, 1, 1, 2))):
            name = rng.choice(("a.csv", "a.gpx", "../x.fit", "/a", ".hidden", "__MACOSX/a", "a/", "ü.vbo", "a" * 300))
            archive.writestr(
                zipfile.ZipInfo(f"{index}{name}" if index else name), inner, rng.choice((zipfile.ZIP_STORED, 8, 12, 14))
            )
    return buffer.getvalue()


PLAIN = (text_table, gpx, tcx, kml, nmea, vbo, igc, fit, ubx)
STRUCTURES = (*PLAIN, container)
