"""Takes a FIT byte stream apart into runs of equal messages. Pure, bounded: one chunk and one message in memory.

Source: FIT Protocol D00001275, sections "FIT File Protocol" and "Record Format".
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from telemetry.errors import Code, TelemetryError
from telemetry.formats.fit_developer import DeveloperField, DeveloperFields
from telemetry.formats.fit_profile import (
    BASE_TYPES,
    BYTES,
    FIELD_DESCRIPTION,
    TIMESTAMP_FIELD,
    BaseType,
)
from telemetry.formats.reader import ByteSource

CHUNK_BYTES = 1 << 18
MAX_RUN = 1 << 15
_LEFT_UNREAD = "bytes after the end of the last FIT file were left unread"


@dataclass(frozen=True, slots=True)
class MessageField:
    """One field of a definition: where its values stand in an unpacked row."""

    number: int
    base: BaseType
    column: int
    count: int
    developer: DeveloperField | None = None
    """What the file had said of a developer field by then."""


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """A definition message: how the data messages of one local type are laid out."""

    number: int
    """Global message number."""
    row: struct.Struct
    """One message with its header byte skipped."""
    fields: tuple[MessageField, ...]
    timestamp_column: int | None


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive messages of one definition, as unpacked rows.

    `compressed_time` is the timestamp that a compressed header gives to a run of one, else None.
    """

    definition: Definition
    rows: list[tuple[object, ...]]
    compressed_time: int | None = None


@dataclass(slots=True)
class FitStream:
    """Iterates over the runs of all chained files of a stream.

    `notes` gathers what is wrong without spoiling the rest. `unread` is for names of fields that hold values of no use
    as channels. `byte` is how far it has read.

    Raises
    ------
    TelemetryError : FIT_CORRUPT, naming the byte, when the rest cannot be understood. Runs already given stand.
    """

    source: ByteSource
    notes: list[str] = field(default_factory=list)
    developer: DeveloperFields = field(default_factory=DeveloperFields)
    unread: set[str] = field(default_factory=set)
    files: int = 0
    byte: int = 0
    _buffer: bytes = b""
    _at: int = 0
    _ended: bool = False
    _last_timestamp: int | None = None
    _crc: int = 0

    def runs(self) -> Iterator[Run]:
        """Every run, in file order."""
        while self._more(12):
            if self._peek(8, 4) != b".FIT":
                if self.files == 0:
                    raise self._corrupt("no `.FIT` signature in the header")
                self.notes.append(_LEFT_UNREAD)
                return
            yield from self._file()
        if self.files == 0:
            raise self._corrupt("the header is cut off")
        if self._more(1):
            self.notes.append(_LEFT_UNREAD)

    def _file(self) -> Iterator[Run]:
        header_size = self._buffer[self._at]
        if header_size < 12 or not self._more(header_size):
            raise self._corrupt(f"a header of {header_size} bytes")
        self.files += 1
        self._crc = 0
        self.developer.forget()
        # 0 stands in the files of devices that died while recording: read to the end then.
        remaining = int.from_bytes(self._peek(4, 4), "little") or None
        self._take(header_size)
        definitions: dict[int, Definition] = {}
        self._last_timestamp = None
        while remaining is None or remaining > 0:
            if not self._more(1):
                if remaining is not None:
                    raise self._cut_off()
                return
            before = self.byte
            run = self._message(definitions, remaining)
            if remaining is not None:
                remaining -= self.byte - before
                if remaining < 0:
                    raise self._corrupt("a message reaches past the end that the header states")
            if run is not None:
                yield run
        expected = self._crc
        if not self._more(2):
            raise self._cut_off()
        stated = int.from_bytes(self._peek(0, 2), "little")
        if stated not in (0, expected):
            self.notes.append(f"FIT file {self.files}: the checksum does not match, values may be damaged")
        self._take(2)

    def _message(self, definitions: dict[int, Definition], remaining: int | None) -> Run | None:
        head = self._buffer[self._at]
        if head & 0x80:
            return self._data(definitions, head, (head >> 5) & 3, remaining, offset=head & 0x1F)
        if head & 0x40:
            self._define(definitions, head)
            return None
        return self._data(definitions, head, head & 0x0F, remaining, offset=None)

    def _define(self, definitions: dict[int, Definition], head: int) -> None:
        if not self._more(6):
            raise self._cut_off()
        _, _, big_endian, *number_bytes, count = self._peek(0, 6)
        order = ">" if big_endian else "<"
        number = int.from_bytes(bytes(number_bytes), "big" if big_endian else "little")
        size = 6 + 3 * count
        developer_count = 0
        if head & 0x20:
            if not self._more(size + 1):
                raise self._cut_off()
            developer_count = self._peek(size, 1)[0]
            size += 1 + 3 * developer_count
        if not self._more(size):
            raise self._cut_off()
        code = f"{order}x"
        fields: list[MessageField] = []
        column = 0
        triples = list(struct.iter_unpack("3B", self._peek(6, 3 * count)))
        developer = list(struct.iter_unpack("3B", self._peek(size - 3 * developer_count, 3 * developer_count)))
        layout: list[tuple[int, int, BaseType, DeveloperField | None]] = [
            (number_, size_, BASE_TYPES.get(type_, BYTES), None) for number_, size_, type_ in triples
        ]
        for number_, size_, index in developer:
            known = self.developer.find(index, number_)
            layout.append((number_, size_, known.base, known))
        for number_, size_, stated_base, described in layout:
            # Some writers give sizes that are no multiple of the type: such a field is opaque bytes.
            base = stated_base if stated_base.code != "s" and size_ % stated_base.size == 0 else BYTES
            values = 1 if base.code == "s" else size_ // base.size
            code += f"{size_}s" if base.code == "s" else base.code * values
            if values:
                fields.append(MessageField(number_, base, column, values, described))
            column += values
        timestamp = next(
            (f.column for f in fields if f.number == TIMESTAMP_FIELD and f.developer is None and f.base.code == "I"),
            None,
        )
        definitions[head & 0x0F] = Definition(number, struct.Struct(code), tuple(fields), timestamp)
        self._take(size)

    def _data(
        self,
        definitions: dict[int, Definition],
        head: int,
        local_type: int,
        remaining: int | None,
        offset: int | None,
    ) -> Run:
        definition = definitions.get(local_type)
        if definition is None:
            raise self._corrupt(f"a data message of local type {local_type} before its definition")
        size = definition.row.size
        if not self._more(size):
            raise self._cut_off()
        # Equal header bytes at the distance of one message follow each other: count them in one sweep.
        available = len(self._buffer) - self._at
        if remaining is not None:
            available = min(available, max(remaining, size))
        whole = min(available // size, MAX_RUN)
        heads = self._buffer[self._at : self._at + whole * size : size]
        count = len(heads) - len(heads.lstrip(heads[:1])) if offset is None else 1
        rows = list(definition.row.iter_unpack(self._peek(0, count * size)))
        compressed_time = None
        if offset is not None and self._last_timestamp is not None:
            # Five bits of the time; smaller than the last's means that they rolled over.
            base = self._last_timestamp
            compressed_time = base + ((offset - base) & 0x1F)
            self._last_timestamp = compressed_time
        elif definition.timestamp_column is not None:
            stamp = rows[-1][definition.timestamp_column]
            if isinstance(stamp, int) and stamp != 0xFFFFFFFF:
                self._last_timestamp = stamp
        if definition.number == FIELD_DESCRIPTION:
            for row in rows:
                self.developer.describe({f.number: row[f.column] for f in definition.fields if f.developer is None})
        self._take(count * size)
        return Run(definition, rows, compressed_time)

    def _more(self, size: int) -> bool:
        """True when `size` bytes are in the buffer, after reading on if need be."""
        while len(self._buffer) - self._at < size and not self._ended:
            chunk = self.source.read(CHUNK_BYTES)
            self._ended = not chunk
            self._buffer = self._buffer[self._at :] + chunk
            self._at = 0
        return len(self._buffer) - self._at >= size

    def _peek(self, offset: int, size: int) -> bytes:
        start = self._at + offset
        return self._buffer[start : start + size]

    def _take(self, size: int) -> None:
        self._crc = crc16(self._peek(0, size), self._crc)
        self._at += size
        self.byte += size

    def _corrupt(self, what: str) -> TelemetryError:
        return TelemetryError(Code.FIT_CORRUPT, f"byte {self.byte}: {what}")

    def _cut_off(self) -> TelemetryError:
        return self._corrupt("the file is cut off inside a message")


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_CRC_TABLE = _crc_table()


def crc16(data: bytes, crc: int = 0) -> int:
    """CRC-16/ARC as the FIT protocol uses it (polynomial 0x8005 reflected, start 0)."""
    table = _CRC_TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc
