"""Times that FIT messages count from power-on, made UTC by what the same file says of it. Pure.

Source: Global FIT Profile, type date_time, messages timestamp_correlation and gps_metadata.
"""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.formats.fit_messages import Run
from telemetry.formats.fit_profile import FIRST_ABSOLUTE_S, FIT_EPOCH_S, TIMESTAMP_FIELD
from telemetry.formats.reader import Findings
from telemetry.streams.channels import TIMESTAMP

WHOLE_SECONDS = pa.field("timestamp", pa.int64(), metadata={b"counts": b"seconds"})
MILLISECONDS = pa.field("timestamp", pa.int64(), metadata={b"counts": b"milliseconds"})
"""Milliseconds of FIT time, both; the messages of the first kind only count whole seconds."""
_UTC_TIMESTAMP = 6
_FIRST_ABSOLUTE_MS = FIRST_ABSOLUTE_S * 1000


@dataclass(slots=True)
class PowerOnClock:
    """When one file's device was switched on, once the file tells."""

    findings: Findings
    whole_s: int | None = None
    """FIT seconds of system time 0 for messages of whole seconds, whose fractions were cut off on both clocks."""
    exact_ms: int = 0
    """The same for the others."""
    told_by: str = "the file's time correlation"
    _by_fixes_ms: int | None = None
    """`exact_ms` as the UTC in a camera's fixes tells it."""

    @property
    def is_known(self) -> bool:
        """Whether times can be made UTC."""
        return self.whole_s is not None

    def correlate(self, values: dict[int, object]) -> None:
        """Takes a timestamp_correlation message, by field numbers; only system time that counts from power-on tells."""
        utc, system = uint32(values.get(TIMESTAMP_FIELD)), uint32(values.get(1))
        if self.is_known or utc is None or system is None or not system < FIRST_ABSOLUTE_S <= utc:
            return
        self.whole_s = utc - system
        self.exact_ms = self.whole_s * 1000 + _fraction_ms(values, 4, 0) - _fraction_ms(values, 5, 2)

    def take_fixes(self, run: Run) -> None:
        """Takes gps_metadata messages: each may name the whole second of UTC that its fix belongs to."""
        numbers = {f.number: f.column for f in run.definition.fields if f.developer is None and f.base.code in "HI"}
        stamp, fraction, utc = (numbers.get(number) for number in (TIMESTAMP_FIELD, 0, _UTC_TIMESTAMP))
        if self.is_known or stamp is None or utc is None:
            return
        for row in run.rows:
            values = {4: row[fraction]} if fraction is not None else {}
            system, second = uint32(row[stamp]), uint32(row[utc])
            if system is None or second is None or not system < FIRST_ABSOLUTE_S <= second:
                continue
            power_on_ms = (second - system) * 1000 - _fraction_ms(values, 4, 2)
            # A second was cut off: that of its first fix is the nearest.
            if self._by_fixes_ms is None or 0 < power_on_ms - self._by_fixes_ms < 1000:
                self._by_fixes_ms = power_on_ms

    def fall_back(self) -> None:
        """Takes what the fixes have told, where no correlation came: at the end of the file, or when too much waits."""
        if not self.is_known and self._by_fixes_ms is not None:
            self.whole_s, self.exact_ms = round(self._by_fixes_ms / 1000), self._by_fixes_ms
            self.told_by = "the UTC that a camera's fixes name"

    def settled(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch in FIT's absolute milliseconds; null for times from a power-on that is not known."""
        if not is_relative(batch):
            return batch
        index = batch.schema.get_field_index("timestamp")
        field, time = batch.schema.field(index), batch.column(index)
        shifted = None
        if self.whole_s is not None:
            exact = field.metadata == MILLISECONDS.metadata
            shifted = pc.add(time, self.exact_ms if exact else self.whole_s * 1000)
            self._say()
        return batch.set_column(index, field, pc.if_else(pc.less(time, _FIRST_ABSOLUTE_MS), shifted, time))

    def settled_ms(self, time: int) -> int | None:
        """A lap's time in FIT's absolute milliseconds, where that can be told."""
        if time >= _FIRST_ABSOLUTE_MS:
            return time
        if self.whole_s is None:
            return None
        self._say()
        return time + self.whole_s * 1000

    def _say(self) -> None:
        said = f"time counted from power-on, made UTC by {self.told_by}"
        if said not in self.findings.inferred:
            self.findings.inferred.append(said)


def counts_from_power_on(run: Run) -> bool:
    """Whether any message's time does."""
    if run.compressed_time is not None:
        return run.compressed_time < FIRST_ABSOLUTE_S
    column = run.definition.timestamp_column
    return column is not None and any(row[column] < FIRST_ABSOLUTE_S for row in run.rows)  # type: ignore[operator]


def is_relative(batch: pa.RecordBatch) -> bool:
    """Whether any time counts from power-on."""
    return bool(pc.any(pc.less(batch.column("timestamp"), _FIRST_ABSOLUTE_MS)).as_py())


def in_utc(batch: pa.RecordBatch) -> pa.RecordBatch:
    """FIT's absolute milliseconds to microseconds UTC."""
    micros = pc.multiply(pc.add(batch.column("timestamp"), FIT_EPOCH_S * 1000), 1000).cast(TIMESTAMP)
    index = batch.schema.get_field_index("timestamp")
    return batch.set_column(index, pa.field("timestamp", TIMESTAMP), micros)


def uint32(value: object) -> int | None:
    """A value of the type `uint32`; None where it is invalid, or a damaged definition gave it another type."""
    return value if isinstance(value, int) and 0 <= value < 0xFFFFFFFF else None


def _fraction_ms(values: dict[int, object], milliseconds: int, parts: int) -> int:
    """A time's fraction from its field of milliseconds, or that of 1/32768 seconds."""
    given = values.get(milliseconds)
    if isinstance(given, int) and 0 <= given < 1000:
        return given
    given = values.get(parts)
    return round(given / 32.768) if isinstance(given, int) and 0 <= given < 32768 else 0
