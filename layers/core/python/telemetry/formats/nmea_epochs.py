"""Sentences of one epoch to one row, and a date for every row. Vectorised; state goes from block to block.

An epoch is a run of sentences of one time of day; GSA and VTG, which tell no time, belong to the run that they
stand in (`nmea_order` has put them there). Of one sentence type the first usable one of an epoch counts. Two cases
are set right: a talker that gives another position at the same time begins a new epoch (fast receivers that stamp whole
seconds), and runs of one time that others have torn apart become one epoch again (loggers that write sentences out of
order).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.formats.dates import date_in_name, find_date
from telemetry.formats.day_clock import DAY_US, DayClock
from telemetry.formats.nmea_fields import EPOCH, Fields, fix_types, parse
from telemetry.formats.nmea_sentences import GGA, GLL, GNS, GSA, GST, NONE, RMC, TRK, VTG, ZDA, Sentences
from telemetry.formats.reader import Findings, Origin, TimeBasis
from telemetry.streams.channels import CHANNELS, TIMESTAMP, channel_field

MAX_UNDATED_ROWS = 200_000
"""Rows kept back until the first date comes; at 10 Hz five and a half hours."""
ROLLOVER_DAYS = 1024 * 7
"""A GPS week number has ten bits (IS-GPS-200, 20.3.3.3.1.1): a receiver that missed a rollover is 1024 weeks off."""

MAX_OPEN_SENTENCES = 4096
"""Sentences kept for the next block; an epoch that does not end (a clock that stands still) is cut there."""
TORN_EPOCHS = 24
TORN_US = 3_000_000
TORN_DEG = 2e-5
"""How far apart parts of a torn epoch may lie: in epochs, in the times of those between, in position (2 m)."""

# Which sentence types give a column, the best first.
_SOURCES: dict[str, tuple[int, ...]] = {
    "altitude_m": (GGA, GNS, TRK),
    "speed_mps": (RMC, VTG),
    "course_deg": (RMC, VTG),
    "horizontal_accuracy_m": (GST,),
    "hdop": (GGA, GNS, GSA),
    "satellites": (GGA, GNS),
    "pdop": (GSA,),
    "vdop": (GSA,),
    "geoid_separation": (GGA, GNS),
    "vertical_accuracy": (GST,),
}
_POSITION = (RMC, GGA, GNS, GLL, TRK)
_DATED = (RMC, ZDA, TRK)
_EXTRA = {
    "pdop": channel_field("pdop"),
    "vdop": channel_field("vdop"),
    "geoid_separation": channel_field("geoid_separation", "m"),
    "vertical_accuracy": channel_field("vertical_accuracy", "m"),
}

_FIELDS = [
    pa.field("latitude_deg", pa.float64()),
    pa.field("longitude_deg", pa.float64()),
    *(_EXTRA.get(name) or pa.field(name, pa.float64(), metadata=CHANNELS[name].field.metadata) for name in _SOURCES),
    CHANNELS["fix_type"].field,
    pa.field("source_row", pa.int64()),
]
_ROWS = pa.schema(_FIELDS)
SCHEMA = pa.schema([pa.field("timestamp", TIMESTAMP), *_FIELDS])


@dataclass(frozen=True, slots=True)
class Epochs:
    """Epochs in file order.

    Attributes
    ----------
    time_us : microseconds of the day; null where no sentence of the epoch told.
    day : days since 1970-01-01, where the epoch tells.
    rows : `SCHEMA` without its timestamp; the position is null where no sentence had a fix.
    attempted : whether the epoch has a sentence that would hold a position.
    """

    time_us: pa.Int64Array
    day: pa.Int64Array
    rows: pa.RecordBatch
    attempted: pa.BooleanArray


@dataclass(slots=True)
class _Kind:
    """Sentences of one type within a block: where they stand, what they say."""

    mask: pa.BooleanArray
    fields: Fields
    at: pa.Int32Array | None = None


def merge(sentences: Sentences, *, final: bool) -> tuple[Epochs | None, Sentences]:
    """Whole epochs, and the sentences of the last one, which the next block may go on with (none when `final`)."""
    count = len(sentences)
    if not count:
        return None, NONE
    times = pa.nulls(count, pa.int64())
    alone = pa.repeat(pa.scalar(False), count)
    kinds: dict[int, _Kind] = {}
    for kind in sorted(pc.unique(sentences.kinds).to_pylist()):
        mask = pc.equal(sentences.kinds, kind)
        fields = parse(kind, sentences.bodies.filter(mask))
        kinds[kind] = _Kind(mask, fields)
        if fields.time_us is None:
            continue
        times = pc.replace_with_mask(times, mask, fields.time_us)
        if fields.time_us.null_count and fields.usable is not None:
            untimed = pc.and_(pc.is_null(fields.time_us), _placed(fields))
            alone = pc.replace_with_mask(alone, mask, untimed)
    known = pc.fill_null(pc.fill_null_forward(times), -1)
    starts = pa.concat_arrays([pa.array([True]), pc.not_equal(known.slice(1), known.slice(0, count - 1))])
    # A fix without time is a row of its own, which is then rejected for that.
    starts = _repeated(kinds, sentences, pc.or_(starts, alone))
    epoch_of = pc.subtract(pc.cumulative_sum(starts.cast(pa.int64())), 1)
    times, lines = times.filter(starts), sentences.lines.filter(starts)
    if pc.count_distinct(times, mode="all").as_py() < len(times):
        epoch_of, firsts = _mended(kinds, epoch_of, sentences.kinds, times)
        times, lines = times.take(firsts), lines.take(firsts)
    epochs, rest = len(times), NONE
    if not final:
        whole = max(epochs - TORN_EPOCHS, 0)
        open_ = pc.greater_equal(epoch_of, whole)
        if pc.sum(open_).as_py() > MAX_OPEN_SENTENCES:
            whole = epochs
        else:
            rest = sentences.filter(open_)
        epochs = whole
    if not epochs:
        return None, rest
    return _assembled(kinds, epoch_of, epochs, times.slice(0, epochs), lines.slice(0, epochs)), rest


def _repeated(kinds: dict[int, _Kind], sentences: Sentences, starts: pa.BooleanArray) -> pa.BooleanArray:
    """`starts`, and where the leading sentence type comes again at the same time with another position."""
    lead = next((kind for kind in sentences.kinds.slice(0, 64).to_pylist() if kind in _POSITION), None)
    if lead is None:
        return starts
    found = kinds[lead]
    columns, times = found.fields.columns or {}, found.fields.time_us
    if times is None or len(times) < 2 or not pc.any(pc.equal(pc.pairwise_diff(times), 0)).as_py():
        return starts
    talkers = sentences.talkers.filter(found.mask)
    again = pc.and_(
        pc.equal(times.slice(1), times.slice(0, len(times) - 1)),
        pc.equal(talkers.slice(1), talkers.slice(0, len(talkers) - 1)),
    )
    moved = pc.or_(
        pc.not_equal(pc.pairwise_diff(columns["latitude_deg"]), 0.0),
        pc.not_equal(pc.pairwise_diff(columns["longitude_deg"]), 0.0),
    )
    repeated = pa.concat_arrays([pa.array([False]), pc.fill_null(pc.and_(again, moved.slice(1)), False)])
    return pc.or_(starts, pc.replace_with_mask(pa.repeat(pa.scalar(False), len(starts)), found.mask, repeated))


def _mended(
    kinds: dict[int, _Kind], epoch_of: pa.Int64Array, kind_of: pa.Int32Array, times: pa.Int64Array
) -> tuple[pa.Int64Array, pa.Int64Array]:
    """New epoch of each sentence where parts of torn epochs are put together, and the first part of each epoch."""
    latitude = longitude = pa.nulls(len(epoch_of), pa.float64())
    for kind in _POSITION:
        if kind in kinds:
            mask, columns = kinds[kind].mask, kinds[kind].fields.columns or {}
            latitude = pc.replace_with_mask(latitude, mask, columns["latitude_deg"])
            longitude = pc.replace_with_mask(longitude, mask, columns["longitude_deg"])
    present = [0] * len(times)
    places: list[tuple[float, float] | None] = [None] * len(times)
    sentences = (epoch_of, kind_of, latitude, longitude)
    for epoch, kind, north, east in zip(*(values.to_pylist() for values in sentences), strict=True):
        if kind not in (GSA, VTG):
            present[epoch] |= 1 << kind
        if north is not None and east is not None and places[epoch] is None:
            places[epoch] = (north, east)
    clock = times.to_pylist()
    target, firsts = list(range(len(clock))), []
    for part, time in enumerate(clock):
        for earlier in range(part - 1, max(part - TORN_EPOCHS, 0) - 1, -1):
            other = clock[earlier]
            if time is None or other is None or abs(other - time) > TORN_US:
                break
            overlap = present[target[earlier]] & present[part]
            if other == time and not overlap and _near(places[target[earlier]], places[part]):
                target[part] = target[earlier]
                present[target[part]] |= present[part]
                break
        if target[part] == part:
            firsts.append(part)
    dense = {part: number for number, part in enumerate(firsts)}
    mapping = pa.array([dense[part] for part in target], pa.int64())
    return mapping.take(epoch_of), pa.array(firsts, pa.int64())


def _near(a: tuple[float, float] | None, b: tuple[float, float] | None) -> bool:
    return a is None or b is None or (abs(a[0] - b[0]) < TORN_DEG and abs(a[1] - b[1]) < TORN_DEG)


def _placed(fields: Fields) -> pa.BooleanArray:
    columns = fields.columns or {}
    both = pc.and_(pc.is_valid(columns["latitude_deg"]), pc.is_valid(columns["longitude_deg"]))
    return pc.fill_null(pc.and_(fields.usable, both), False)


def _assembled(
    kinds: dict[int, _Kind], epoch_of: pa.Int64Array, epochs: int, times: pa.Int64Array, lines: pa.Int64Array
) -> Epochs:
    numbers = pa.arange(0, epochs)
    attempted = pa.repeat(pa.scalar(False), epochs)
    places: dict[int, pa.Int32Array] = {}
    for kind, found in kinds.items():
        ids = epoch_of.filter(found.mask)
        found.at = pc.index_in(numbers, value_set=ids)
        if kind in _POSITION:
            attempted = pc.or_(attempted, pc.is_valid(found.at))
            placed = _placed(found.fields)
            if not pc.all(placed).as_py():
                # Only the sentences with a fix count: look them up among those alone, then back to all.
                chosen = pc.indices_nonzero(placed).cast(pa.int32())
                found.at = chosen.take(pc.index_in(numbers, value_set=ids.filter(placed)))
            places[kind] = found.at

    def column(name: str, sources: tuple[int, ...]) -> pa.Array:
        parts = [
            columns[name].take(found.at)
            for kind in sources
            if (found := kinds.get(kind)) and (columns := found.fields.columns) and name in columns
        ]
        if not parts:
            return pa.nulls(epochs, pa.float64())
        return parts[0] if len(parts) == 1 else pc.coalesce(*parts)

    # Latitude and longitude of one sentence: the best that has both.
    rows = {
        "latitude_deg": column("latitude_deg", _POSITION),
        "longitude_deg": column("longitude_deg", _POSITION),
        **{name: column(name, sources) for name, sources in _SOURCES.items()},
        "fix_type": fix_types(_fix(kinds, epochs)),
        "source_row": lines,
    }
    days = [
        kinds[kind].fields.day.take(kinds[kind].at)  # type: ignore[union-attr]
        for kind in _DATED
        if kind in kinds
    ]
    day = pc.coalesce(*days) if days else pa.nulls(epochs, pa.int64())
    batch = pa.RecordBatch.from_arrays([rows[f.name] for f in _FIELDS], schema=_ROWS)
    return Epochs(times, day, batch, attempted)


def _fix(kinds: dict[int, _Kind], epochs: int) -> pa.Int8Array:
    """GGA's quality; where that only says "fix", GSA's 2D or 3D."""
    parts: dict[int, pa.Int8Array] = {}
    for kind in (GGA, GSA):
        found = kinds.get(kind)
        given = found.fields.fix if found else None
        parts[kind] = pa.nulls(epochs, pa.int8()) if found is None or given is None else given.take(found.at)
    plain = pc.fill_null(pc.equal(parts[GGA], 0), True)
    return pc.if_else(plain, pc.coalesce(parts[GSA], parts[GGA]), parts[GGA])


@dataclass(slots=True)
class Dater:
    """Gives every epoch its date, and passes on the rows that have a position.

    A date comes from RMC or ZDA of the epoch itself; between two of them the day is the one that puts the time
    within twelve hours of the epoch before. An epoch with a date of its own never also rolls over. Epochs before
    the first date are counted back from it. Without any, the date comes from the file's name or the upload.
    """

    origin: Origin
    findings: Findings
    rows: int = 0
    undated: int = 0
    _previous: int | None = None
    _rolled: int = 0
    _base: int | None = None
    _first_base: int = 0
    _waiting: list[tuple[pa.RecordBatch, pa.Int64Array]] = field(default_factory=list)
    _waiting_rows: int = 0
    _given_up: bool = False

    def push(self, epochs: Epochs) -> Iterator[pa.RecordBatch]:
        """Rows of `epochs`, as soon as their date is known."""
        relative, base = self._days(epochs)
        rows, placed = epochs.rows, pc.is_valid(epochs.rows.column("latitude_deg"))
        self.findings.rows_read += pc.sum(epochs.attempted).as_py()
        if not pc.all(placed).as_py():
            unplaced = rows.column("source_row").filter(pc.and_not(epochs.attempted, placed))
            self.findings.reject_all("no_fix", unplaced)
            rows, relative, base = rows.filter(placed), relative.filter(placed), base.filter(placed)
        if self._base is None:
            self._hold(rows, relative)
            return
        if early := self._waiting_rows + base.null_count:
            self.findings.inferred.append(
                f"The first {early} fixes come before the first date; theirs is counted back from it."
            )
            yield from self._release(self._first_base)
        yield from self._dated(rows, relative, pc.fill_null(base, self._first_base))

    def finish(self) -> Iterator[pa.RecordBatch]:
        """What still waits for a date, with that of the file's name or the upload."""
        if self._waiting:
            yield from self._without_date()
        if self._base is not None and not self._given_up:
            self._note_rollover(self._first_base)

    def _days(self, epochs: Epochs) -> tuple[pa.Int64Array, pa.Int64Array]:
        """Microseconds since the start of the first epoch's day, and which day that was, as far as known."""
        previous = pa.array([self._previous], pa.int64())
        filled = pc.fill_null_forward(pa.concat_arrays([previous, epochs.time_us]))
        step = pc.fill_null(pc.subtract(filled.slice(1), filled.slice(0, len(filled) - 1)), 0)
        half = DAY_US // 2
        turn = pc.subtract(pc.less(step, -half).cast(pa.int64()), pc.greater(step, half).cast(pa.int64()))
        rolled = pc.cumulative_sum(turn, start=self._rolled)
        given = pc.subtract(epochs.day, rolled)
        base = pc.fill_null_forward(pa.concat_arrays([pa.array([self._base], pa.int64()), given])).slice(1)
        if self._base is None and base.null_count < len(base):
            self._first_base = given.drop_null()[0].as_py()
        self._previous, self._rolled = filled[-1].as_py(), rolled[-1].as_py()
        self._base = base[-1].as_py()
        return pc.add(epochs.time_us, pc.multiply(rolled, DAY_US)), base

    def _hold(self, rows: pa.RecordBatch, relative: pa.Int64Array) -> None:
        if not rows.num_rows:
            return
        self._waiting.append((rows, relative))
        self._waiting_rows += rows.num_rows

    def overflowing(self) -> bool:
        """True when more rows wait than may."""
        return self._waiting_rows > MAX_UNDATED_ROWS

    def give_up(self) -> Iterator[pa.RecordBatch]:
        """Stops waiting for a date in the file."""
        yield from self._without_date()

    def _without_date(self) -> Iterator[pa.RecordBatch]:
        found = find_date((), self.origin)
        self._given_up = True
        if found is None:
            for rows, _ in self._waiting:
                self.undated += rows.num_rows
                self.findings.reject_all("no_date", rows.column("source_row"))
            self._waiting, self._waiting_rows = [], 0
            return
        self.findings.time_basis = TimeBasis.INFERRED_DATE
        clock = DayClock.of(found)
        first = next((known for _, relative in self._waiting if len(known := relative.drop_null())), None)
        if first is not None:
            clock.absolute(first.slice(0, 1))
        self.findings.inferred += [found.sentence, *clock.remarks()]
        self._base = self._first_base = clock.day_us // DAY_US
        yield from self._release(self._base)

    def _release(self, base: int) -> Iterator[pa.RecordBatch]:
        waiting, self._waiting, self._waiting_rows = self._waiting, [], 0
        for rows, relative in waiting:
            yield from self._dated(rows, relative, pa.repeat(pa.scalar(base, pa.int64()), rows.num_rows))

    def _dated(self, rows: pa.RecordBatch, relative: pa.Int64Array, base: pa.Int64Array) -> Iterator[pa.RecordBatch]:
        if not rows.num_rows:
            return
        self.rows += rows.num_rows
        stamps = pc.add(relative, pc.multiply(base, DAY_US)).cast(TIMESTAMP)
        yield pa.RecordBatch.from_arrays([stamps, *rows.columns], schema=SCHEMA)

    def _note_rollover(self, day: int) -> None:
        """Says where the dates look 1024 weeks off; changes nothing."""
        first = EPOCH + timedelta(days=day)
        named = date_in_name(self.origin.file_name)
        weeks = _rollovers(first, named) if named else 0
        if weeks:
            self.findings.inferred.append(
                f"The dates lie {weeks * 1024} weeks before that in the file's name, as after a missed rollover of the"
                " GPS week number; they were left as they are."
            )
        elif self.origin.uploaded_at:
            uploaded = self.origin.uploaded_at.astimezone(UTC).date()
            if (uploaded - first).days >= ROLLOVER_DAYS:
                self.findings.inferred.append(
                    "The dates lie 1024 weeks or more before the upload: the receiver may have missed a rollover of"
                    " the GPS week number; they were left as they are."
                )


def _rollovers(first: date, named: date) -> int:
    weeks, off = divmod((named - first).days + 1, ROLLOVER_DAYS)
    return weeks if weeks > 0 and off <= 2 else 0
