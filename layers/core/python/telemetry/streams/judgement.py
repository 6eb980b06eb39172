"""What became of a recording's rows and cells: counts by reason, with the first source rows of each."""

from dataclasses import dataclass, field

import pyarrow as pa

from telemetry.streams.tally import Tally


@dataclass(slots=True)
class Judgement:
    """What became of the rows; whole after `Normaliser.finish`.

    Attributes
    ----------
    rows : rows met that may be fixes, and of these the `timed` (plausible time) and `placed` (usable position) and
        `kept` (both) ones.
    zero_positions : fixes at exactly 0°, 0° that were kept because no other fix lies far from there.
    """

    rows: int = 0
    timed: int = 0
    placed: int = 0
    kept: int = 0
    rejected: dict[str, Tally] = field(default_factory=dict)
    bad_cells: dict[str, Tally] = field(default_factory=dict)
    backward_times: int = 0
    out_of_order: int = 0
    zero_positions: int = 0
    interpolated_times: int = 0
    inferred: list[str] = field(default_factory=list)

    def reject(self, reason: str, mask: pa.Array, rows: pa.Array) -> None:
        """Counts the rows where `mask` is true."""
        found = rows.filter(mask)
        if len(found):
            self.rejected.setdefault(reason, Tally()).add_all(found)

    def bad_cell(self, channel: str, mask: pa.Array, rows: pa.Array) -> None:
        """Counts the cells where `mask` is true."""
        found = rows.filter(mask)
        if len(found):
            self.bad_cells.setdefault(channel, Tally()).add_all(found)
