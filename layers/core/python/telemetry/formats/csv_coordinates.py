"""How a table writes latitude and longitude, decided once per file, and the cells as degrees.

Pure. Decimal degrees as plain numbers cost nothing here; every other form is read from strings.
"""

import math
import re
import statistics
from dataclasses import dataclass
from enum import Enum

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.formats.cells import blank_to_null, parse_float
from telemetry.formats.csv_columns import key_of
from telemetry.formats.csv_dialect import Layout

_SEMICIRCLE_DEG = 180 / 2**31
_FIT_KEYS = ("position lat", "position long")
"""Fields of FIT's record message, which tables made from FIT files often keep as they are: in semicircles."""
_PLAIN = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?\Z")
_LETTERED = re.compile(r"([NSEWnsew]\s*\d.*|.*\d\s*[NSEWnsew])\Z")
_INTEGER_PART = re.compile(r"(\d+)[.,]")
_SEXAGESIMAL = re.compile(r"\d\s*[°ºd:'′\s]\s*\d")
_PARTS = (
    r"^(?P<a>[NSEWnsew+-]?)\s*(?P<d>\d+(?:[.,]\d+)?)\s*[°ºd:*\s]?\s*"
    r"(?:(?P<m>\d+(?:[.,]\d+)?)\s*['′’m:]?\s*)?(?:(?P<s>\d+(?:[.,]\d+)?)\s*(?:[\"″”s]|'')?\s*)?(?P<b>[NSEWnsew]?)$"
)


_DEGREES = r"[+-]?\d{1,3}(?:\.\d*)?"
_PAIR = rf"^[\[(]?\s*(?P<a>{_DEGREES})\s*[,; ]\s*(?P<b>{_DEGREES})\s*[\])]?$"
"""`52.1, 4.5`, also in brackets."""
_POINT = (
    r"^(?i:SRID=4326;)?\s*(?i:POINT)\s*(?i:Z|M|ZM)?"
    rf"\s*\(\s*(?P<a>{_DEGREES})\s+(?P<b>{_DEGREES})(?:\s+[+-]?[\d.]+)*\s*\)$"
)
"""Well-known text (OGC Simple Features, part 1, section 7): x, which is the longitude, stands first."""
_LATITUDE_FIRST = frozenset({"lat lon", "lat lng", "lat long", "latlon", "latlng", "latlong", "latitude longitude"})
_LONGITUDE_FIRST = frozenset({"lon lat", "lng lat", "long lat", "lonlat", "lnglat", "longlat", "longitude latitude"})


class Form(Enum):
    """How coordinates are written; the value is for people."""

    DEGREES = "decimal degrees"
    SCALED = "integers"
    DEGREES_MINUTES = "degrees and minutes (ddmm.mmmm)"
    TEXT = "degrees with letters or signs"
    PAIR = "both in one cell"


@dataclass(frozen=True, slots=True)
class Coordinate:
    """One of the two columns.

    Attributes
    ----------
    hemisphere : column that holds N, S, E or W, None where there is none.
    scale : degrees per unit of SCALED.
    pattern : of a cell that holds both (PAIR), with the groups `a` and `b`; `part` is this one's.
    """

    index: int
    form: Form = Form.DEGREES
    scale: float = 1.0
    hemisphere: int | None = None
    lettered: bool = False
    decimal_comma: bool = False
    pattern: str = ""
    part: str = ""

    @property
    def types(self) -> dict[int, pa.DataType]:
        """Types that the parser may read straight from the text."""
        plain = self.form not in (Form.TEXT, Form.PAIR) and not self.lettered
        types: dict[int, pa.DataType] = {self.index: pa.float64() if plain else pa.string()}
        if self.hemisphere is not None:
            types[self.hemisphere] = pa.string()
        return types

    def degrees(self, columns: dict[int, pa.Array]) -> tuple[pa.DoubleArray, pa.BooleanArray | None]:
        """Degrees, north and east positive, null where blank or unreadable, and the mask of the unreadable."""
        values = columns[self.index]
        unreadable = None
        if pa.types.is_string(values.type):
            values, unreadable = self._from_text(values)
        if self.form is Form.SCALED:
            values = pc.divide(values, self.scale)
        elif self.form is Form.DEGREES_MINUTES:
            whole = pc.trunc(pc.divide(values, 100))
            minutes = pc.subtract(values, pc.multiply(whole, 100))
            values = pc.add(whole, pc.divide(minutes, 60))
        if self.hemisphere is not None:
            letter = pc.utf8_upper(pc.utf8_trim_whitespace(columns[self.hemisphere].cast(pa.string())))
            values = pc.if_else(_southwest(letter), pc.negate(pc.abs(values)), values)
        return values, unreadable

    def _from_text(self, cells: pa.StringArray) -> tuple[pa.DoubleArray, pa.BooleanArray]:
        if self.form is Form.PAIR:
            trimmed = blank_to_null(cells)
            part = pc.struct_field(pc.extract_regex(trimmed, pattern=self.pattern), self.part)
            return part.cast(pa.float64()), pc.and_(pc.is_valid(trimmed), pc.is_null(part))
        if self.form is not Form.TEXT and not self.lettered:
            return parse_float(cells, decimal_comma=self.decimal_comma)
        trimmed = blank_to_null(cells)
        if self.form is not Form.TEXT:
            parts = pc.extract_regex(
                trimmed, pattern=r"^(?P<a>[NSEWnsew+-]?)\s*(?P<v>[0-9.,]+)\s*°?\s*(?P<b>[NSEWnsew]?)$"
            )
            values, _ = parse_float(pc.struct_field(parts, "v"), decimal_comma=self.decimal_comma)
        else:
            parts = pc.extract_regex(trimmed, pattern=_PARTS)
            values = pa.scalar(0.0)
            for name, divisor in (("d", 1.0), ("m", 60.0), ("s", 3600.0)):
                text = pc.replace_substring(pc.struct_field(parts, name), ",", ".")
                number = pc.if_else(pc.equal(text, ""), "0", text).cast(pa.float64())
                values = pc.add(values, pc.divide(number, divisor))
        before, after = pc.struct_field(parts, "a"), pc.struct_field(parts, "b")
        negative = pc.or_(
            pc.or_(pc.equal(before, "-"), _southwest(pc.utf8_upper(before))), _southwest(pc.utf8_upper(after))
        )
        values = pc.if_else(negative, pc.negate(values), values)
        return values, pc.and_(pc.is_valid(trimmed), pc.is_null(values))


def _southwest(letters: pa.StringArray) -> pa.BooleanArray:
    return pc.fill_null(pc.or_(pc.starts_with(letters, "S"), pc.starts_with(letters, "W")), False)


def find_coordinates(layout: Layout, latitude: int, longitude: int) -> tuple[Coordinate, Coordinate, list[str]]:
    """The forms of both columns, and sentences about what was inferred from magnitudes."""
    inferred: list[str] = []
    columns = ((latitude, "NS"), (longitude, "EW"))
    minutes = any(_is_beyond_degrees(layout, *column) for column in columns) and all(
        _may_be_minutes(layout, *column) for column in columns
    )
    found = [_find(layout, index, letters, minutes=minutes) for index, letters in columns]
    if Form.SCALED in (found[0].form, found[1].form) or Form.DEGREES_MINUTES in (found[0].form, found[1].form):
        lead = max(found, key=lambda c: (c.form is Form.SCALED, c.form is Form.DEGREES_MINUTES, c.scale))
        found = [Coordinate(c.index, lead.form, lead.scale, c.hemisphere, c.lettered, c.decimal_comma) for c in found]
        text = f"1/{lead.scale:.0f} degrees" if lead.form is Form.SCALED else lead.form.value
        inferred.append(f"Coordinates were read as {text}.")
    elif 90 < _magnitude(layout, latitude) <= 180 and _magnitude(layout, longitude) <= 90:
        inferred.append("Most latitudes lie beyond 90 degrees: latitude and longitude may be swapped.")
    return found[0], found[1], inferred


def find_pair(layout: Layout, named: int | None = None) -> tuple[Coordinate, Coordinate, str] | None:
    """Latitude and longitude that stand in one cell, and a sentence that says so.

    None where there is no such column, or only one that does not tell which of the two stands first: its name does, or
    numbers beyond 90°, or the form of well-known text. In the column `named`, which is known to hold both, the latitude
    does where nothing tells otherwise.
    """
    for index, name in enumerate(layout.header):
        cells = layout.column(index)
        for pattern in (_PAIR, _POINT):
            matches = [match for cell in cells if (match := re.match(pattern, cell))]
            if not matches or 10 * len(matches) < 9 * len(cells):
                continue
            first = "longitude" if pattern is _POINT else _first_of_pair(key_of(name), matches)
            if first or index == named:
                first = first or "latitude"
                parts = "ab" if first == "latitude" else "ba"
                latitude, longitude = (Coordinate(index, Form.PAIR, pattern=pattern, part=part) for part in parts)
                return latitude, longitude, f"Positions stand in one cell of {name!r}, the {first} first."
    return None


def _first_of_pair(key: str, matches: list[re.Match[str]]) -> str:
    """`latitude` or `longitude`; empty where neither name nor numbers tell: these must be as precise as a fix."""
    beyond = [any(abs(float(match[part])) > 90 for match in matches) for part in "ab"]
    if key in _LATITUDE_FIRST and not beyond[0]:
        return "latitude"
    if key in _LONGITUDE_FIRST and not beyond[1]:
        return "longitude"
    precise = sum(all(len(match[part].partition(".")[2]) >= 3 for part in "ab") for match in matches)
    if 2 * precise < len(matches) or any(abs(float(match[part])) > 180 for match in matches for part in "ab"):
        return ""
    return {(False, True): "latitude", (True, False): "longitude"}.get((beyond[0], beyond[1]), "")


def _may_be_minutes(layout: Layout, index: int, letters: str) -> bool:
    """True where all numbers can be read as ddmm.mmmm."""
    cells = layout.column(index)
    numbers = [n for c in cells if (n := _number(c)) is not None]
    greatest = 9060 if letters == "NS" else 18_060
    return any("." in c or "," in c for c in cells) and all(
        math.fmod(abs(n), 100) < 60 and abs(n) < greatest for n in numbers
    )


def _is_beyond_degrees(layout: Layout, index: int, letters: str) -> bool:
    """True where a coordinate shows that it is no number of degrees, whichever of the two it is: by its magnitude, or
    beyond its own limit by its letters or by zeros that fill up `ddmm` or `dddmm`.

    Magnitudes between 90 and 180 alone are a longitude, perhaps under the wrong title; up to 360 they are one that
    counts all the way round.
    """
    cells, middle = layout.column(index), _magnitude(layout, index)
    if middle > (180 if letters == "NS" else 360):
        return True
    lettered = sum(bool(_LETTERED.match(c)) for c in cells) * 2 > len(cells)
    limit = 90 if letters == "NS" else 180
    if middle > limit and (lettered or _hemisphere(layout, index, letters) is not None):
        return True
    digits = 4 if letters == "NS" else 5
    padded = [m for c in cells if (m := _INTEGER_PART.search(c)) and len(m[1]) == digits]
    return 2 * len(padded) > len(cells) and any(m[1].startswith("0") for m in padded)


def _magnitude(layout: Layout, index: int) -> float:
    """The middle one; zeros, which many loggers write while they have no fix, do not count."""
    numbers = [abs(n) for c in layout.column(index) if (n := _number(c))]
    return statistics.median_high(numbers) if numbers else 0.0


def _find(layout: Layout, index: int, letters: str, *, minutes: bool) -> Coordinate:
    cells = layout.column(index)
    hemisphere = _hemisphere(layout, index, letters)
    comma = layout.decimal_comma
    lettered = sum(bool(_LETTERED.match(c)) for c in cells) * 2 > len(cells)
    if sum(bool(_SEXAGESIMAL.search(c)) for c in cells) * 2 > len(cells):
        return Coordinate(index, Form.TEXT, 1.0, hemisphere, True, comma)
    numbers = [n for c in cells if (n := _number(c)) is not None]
    key, unit = key_of(layout.header[index]), layout.units[index].lower()
    form, scale = Form.DEGREES, 1.0
    middle = _magnitude(layout, index)
    whole = all(n == int(n) for n in numbers)
    limit = 90 if letters == "NS" else 180
    fit = key in _FIT_KEYS and whole and middle > limit
    if "semicircle" in unit or "semicircle" in key or fit:
        form, scale = Form.SCALED, 1 / _SEMICIRCLE_DEG
    elif key.endswith(("e7", "1e7")) or unit in ("e7", "1e-7deg", "1e-7", "deg*1e7", "degrees*1e7"):
        form, scale = Form.SCALED, 1e7
    elif key.endswith("e6") or unit in ("e6", "1e-6deg", "1e-6", "deg*1e6", "microdegrees"):
        form, scale = Form.SCALED, 1e6
    elif "mm.m" in unit or "ddmm" in key.replace(" ", ""):
        form = Form.DEGREES_MINUTES
    elif middle > limit and whole and middle > 1e5:
        form, scale = Form.SCALED, 1e7
    elif minutes:
        form = Form.DEGREES_MINUTES
    return Coordinate(index, form, scale, hemisphere, lettered, comma)


def _number(cell: str) -> float | None:
    text = cell if _PLAIN.match(cell) else re.sub(r"^[NSEWnsew]\s*|\s*°?\s*[NSEWnsew]?$", "", cell)
    number = float(text.replace(",", ".")) if _PLAIN.match(text) else math.inf
    return number if math.isfinite(number) else None


def _hemisphere(layout: Layout, index: int, letters: str) -> int | None:
    """The column beside a coordinate whose cells are only its two letters."""
    for other in (index + 1, index - 1):
        if 0 <= other < layout.width:
            cells = {cell[:1].upper() for cell in layout.column(other) if cell.isalpha()}
            if cells and cells <= set(letters) and all(c.isalpha() for c in layout.column(other)):
                return other
    return None
