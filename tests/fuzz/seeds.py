"""Small sound recordings of every format and container: what mutations begin with."""

import gzip
import io
import struct
import tempfile
import zipfile
from functools import cache
from pathlib import Path

from fixtures.generator import Recipe, write
from tests.unit.fit_files import RECORD_LAYOUT, definition, fit_file, record
from tests.unit.test_ubx_reader import NAV_SAT, pvt

ROOT = Path(__file__).resolve().parents[2]
ROWS = 40


@cache
def seeds() -> dict[str, bytes]:
    """Recordings by file name."""
    plain = {f"drive.{kind}": _generated(kind) for kind in ("csv", "gpx", "tcx", "nmea", "vbo")}
    plain |= {"drive.kml": _kml(), "drive.igc": _igc(), "drive.fit": _fit(), "drive.ubx": _ubx()}
    plain |= {path.name: path.read_bytes() for path in sorted((ROOT / "fixtures/telemetry").iterdir())}
    plain = {name: data[:20_000] for name, data in plain.items()}
    packed = {f"{name}.gz": gzip.compress(plain[name], mtime=0) for name in ("drive.csv", "drive.fit")}
    packed["drive.zip"] = _zip({"drive.vbo": plain["drive.vbo"]}, zipfile.ZIP_DEFLATED)
    packed["stored.zip"] = _zip({"drive.gpx": plain["drive.gpx"], "readme.md": b"# x"}, zipfile.ZIP_STORED)
    packed["drive.kmz"] = _zip({"doc.kml": plain["drive.kml"], "files/a.png": b"\x89PNG"}, zipfile.ZIP_DEFLATED)
    return plain | packed


def _generated(kind: str) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "drive"
        write(Recipe(format=kind, rows=ROWS, sensors=kind in ("gpx", "tcx")), path)
        return path.read_bytes()


def _kml() -> bytes:
    whens = "".join(f"<when>2024-05-01T10:00:{n:02}Z</when>" for n in range(ROWS))
    coords = "".join(f"<gx:coord>{8 + n / 1e4:.6f} 47.5 {500 + n}</gx:coord>" for n in range(ROWS))
    values = "".join(f"<gx:value>{100 + n}</gx:value>" for n in range(ROWS))
    return (
        '<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2" xmlns:gx="http://www.google.com/kml/ext/2.2">'
        "<Document><Placemark><TimeStamp><when>2024-05-01T10:00:00Z</when></TimeStamp><Point><coordinates>8,47,1"
        f"</coordinates></Point></Placemark><Placemark><gx:Track>{whens}{coords}<ExtendedData><SchemaData>"
        f'<gx:SimpleArrayData name="heartrate">{values}</gx:SimpleArrayData></SchemaData></ExtendedData></gx:Track>'
        "</Placemark></Document></kml>"
    ).encode()


def _igc() -> bytes:
    fixes = "".join(f"B1011{n:02}4730{n:03}N00815250EA0044400456012\r\n" for n in range(ROWS))
    return f"AXXX001 Recorder\r\nHFDTE160722\r\nHFGTYGLIDERTYPE:LS4\r\nI013638FXA\r\n{fixes}GABCDEF\r\n".encode()


def _fit() -> bytes:
    lap = definition(19, ((254, 2, 0x84), (253, 4, 0x86), (2, 4, 0x86), (7, 4, 0x86)), 1)
    body = definition(20, RECORD_LAYOUT) + b"".join(record(n, 47.5 + n / 1e4, 8.25) for n in range(ROWS))
    return fit_file(body + lap + b"\x01" + struct.pack("<HIII", 0, 1_000_000_040, 1_000_000_000, 40_000))


def _ubx() -> bytes:
    return NAV_SAT + b"".join(pvt(second) for second in range(ROWS)) + b"$GPTXT,01*00\r\n"


def _zip(entries: dict[str, bytes], method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()
