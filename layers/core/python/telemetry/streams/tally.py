"""How often something was seen, and the first source rows where: what readers and the judging of rows count with."""

from dataclasses import dataclass, field

import pyarrow as pa

MAX_NAMED_ROWS = 5


@dataclass(slots=True)
class Tally:
    """A count, and the first source rows (line or point numbers)."""

    count: int = 0
    first_rows: list[int] = field(default_factory=list)

    def add(self, row: int | None, count: int = 1) -> None:
        """Counts `count` occurrences, the first of them at `row`."""
        self.count += count
        if row is not None and len(self.first_rows) < MAX_NAMED_ROWS:
            self.first_rows.append(row)

    def add_all(self, rows: pa.Array) -> None:
        """Counts one occurrence at each of `rows`."""
        self.count += len(rows)
        if len(self.first_rows) < MAX_NAMED_ROWS:
            fresh = rows.slice(0, MAX_NAMED_ROWS - len(self.first_rows)).to_pylist()
            self.first_rows += [row for row in fresh if row is not None]
