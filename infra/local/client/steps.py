"""How far an upload, a session or a download is, as the client tells it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """What is going on."""

    CHECKSUM = "checksum"
    UPLOAD = "uploading"
    FINALISE = "finalising"
    PROCESS = "processing"
    DOWNLOAD = "downloading"


@dataclass(frozen=True, slots=True)
class Step:
    """`done` of `total` bytes where bytes are moved; `note` says more in a few words."""

    phase: Phase
    done: int = 0
    total: int = 0
    note: str = ""

    def __str__(self) -> str:
        if self.total:
            return f"{self.phase} {100 * self.done // self.total} %"
        return self.note or str(self.phase)


Progress = Callable[[Step], None]


def unheard(_: Step) -> None:
    """For those who do not want to know."""
