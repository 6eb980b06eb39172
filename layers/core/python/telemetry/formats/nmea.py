"""NMEA 0183 logs: any talker, one row for each epoch. Streaming; see the modules `nmea_*` for the parts."""

import re
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.errors import Code, TelemetryError
from telemetry.formats.nmea_epochs import Dater, merge
from telemetry.formats.nmea_order import EpochOrder
from telemetry.formats.nmea_sentences import KINDS, NONE, TRK, SentenceStream, checksums_right, utf16_encoding
from telemetry.formats.reader import ByteSource, Findings, Origin, Recognition

_SENTENCE = re.compile(
    rb"\$(?:(?P<talker>[A-OQ-Z][A-Z])(?P<type>[A-Z]{3})|(?P<magellan>PMGNTRK)|(?P<maker>P[A-Z]{3,6})),[\x20-\x7e]{0,120}"
)
_MAKERS = re.compile(rb"\$[A-Z][A-Z0-9]{0,9},[\x20-\x7e]{0,120}?\*[0-9A-Fa-f]{2}(?=[\r\n]|$)")
"""Sentences of makers that keep to NMEA's form, but not to its names."""
_POSITIONS = frozenset({"RMC", "GGA", "GLL", "GNS", "GNT"})
_USUAL = frozenset({"GSV", "TXT"})
"""Satellites in view and notices: not channels of a recording."""


class NmeaReader:
    """NMEA 0183."""

    name = "nmea"
    title = "NMEA 0183"

    def recognise(self, head: bytes, origin: Origin) -> Recognition | None:
        """By sentences: sure of those whose checksum is right and that hold positions."""
        encoding = utf16_encoding(head)
        if encoding:
            head = head.decode(encoding, "replace").encode("ascii", "replace")
        matches = list(_SENTENCE.finditer(head))
        makers = [match[0].decode("ascii") for match in _MAKERS.finditer(head)]
        if not matches and not makers:
            return None
        lines = [match[0].decode("ascii").rstrip() for match in matches]
        right = pc.sum(checksums_right(pa.array(lines, pa.string()))).as_py()
        types = {(m["type"] or b"GNT").decode() for m in matches if not m["maker"]}
        talkers = sorted({m["talker"].decode() for m in matches if m["talker"]})
        known = ["PMGNTRK" if kind == KINDS[TRK] else kind for kind in KINDS if kind in types]
        if right:
            confidence = 0.95 if types & _POSITIONS else 0.8
        elif len(matches) > 1 and types & set(KINDS):
            confidence = 0.6
        elif makers and pc.any(checksums_right(pa.array(makers, pa.string()))).as_py():
            confidence = 0.5
        else:
            return None
        said = ", ".join(known) or ", ".join(sorted(types)[:4]) or "sentences of one maker only"
        by = f" by {', '.join(talkers)}" if talkers else ""
        extra = ", in UTF-16" if encoding else ""
        return Recognition(self.name, confidence, f"NMEA 0183: {said}{by}{extra}")

    def read(self, source: ByteSource, origin: Origin, findings: Findings) -> Iterator[pa.RecordBatch]:
        """One row for each epoch with a fix.

        Raises
        ------
        TelemetryError : NO_POSITION_DATA, NO_TIME_DATA (times of day, and no date anywhere).
        """
        findings.format = self.name
        stream, dater = SentenceStream(source, findings), Dater(origin, findings)
        seen: set[int] = set()
        order, rest = EpochOrder(), NONE
        for sentences in stream.blocks():
            seen.update(pc.unique(sentences.kinds).to_pylist())
            epochs, rest = merge(order.push(sentences).after(rest), final=False)
            if epochs is not None:
                yield from dater.push(epochs)
            if dater.overflowing():
                yield from dater.give_up()
        epochs, _ = merge(order.finish().after(rest), final=True)
        if epochs is not None:
            yield from dater.push(epochs)
        yield from dater.finish()
        names = ["PMGNTRK" if kind == TRK else KINDS[kind] for kind in sorted(seen)]
        findings.dialect = ", ".join(names) + ("" if stream.checksummed or not names else ", without checksums")
        unread = sorted(set(stream.unread) - _USUAL)
        if unread:
            findings.inferred.append(f"Sentences of other types were not read: {', '.join(unread[:20])}.")
        if not dater.rows:
            if dater.undated:
                raise TelemetryError(
                    Code.NO_TIME_DATA, f"{dater.undated} fixes have a time of day, but the file gives no date"
                )
            raise TelemetryError(
                Code.NO_POSITION_DATA,
                f"no sentence with a fix among {stream.lines_read} lines" + (f" ({findings.dialect})" if names else ""),
            )


READER = NmeaReader()
