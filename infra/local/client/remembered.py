"""Uploads that were begun, kept in small files so that a later process goes on with them.

A file holds an upload's id and no more: no address, no token, no name.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

FOLDER = "telemetry/uploads"


def default_folder() -> Path:
    """`telemetry/uploads` in the user's state directory (XDG Base Directory Specification)."""
    state = os.environ.get("XDG_STATE_HOME", "").strip()
    return (Path(state) if state.startswith("/") else Path.home() / ".local/state") / FOLDER


@dataclass(frozen=True, slots=True)
class Remembered:
    """Uploads of one API.

    Parameters
    ----------
    folder : is made when the first upload is kept.
    api : the address, as another service knows nothing of these uploads.
    """

    folder: Path
    api: str

    def recall(self, sha256: str, byte_size: int, variant: str = "") -> UUID | None:
        """The upload that was begun for these bytes, if any."""
        try:
            return UUID(json.loads(self._file(sha256, byte_size, variant).read_text("utf-8"))["uploadId"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None  # none, or not one of ours: a new upload is always right

    def keep(self, upload_id: UUID, sha256: str, byte_size: int, variant: str = "") -> None:
        """Remembers an upload. Where the folder cannot be written it is not: then it cannot be gone on with."""
        file = self._file(sha256, byte_size, variant)
        new = file.with_suffix(f".{os.getpid()}.new")
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            new.touch(mode=0o600)
            new.write_text(json.dumps({"uploadId": str(upload_id)}), "utf-8")
            new.replace(file)
        except OSError:
            return

    def forget(self, sha256: str, byte_size: int, variant: str = "") -> None:
        """For an upload that is done, or that the service no longer knows."""
        try:
            self._file(sha256, byte_size, variant).unlink(missing_ok=True)
        except OSError:
            return

    def _file(self, sha256: str, byte_size: int, variant: str) -> Path:
        which = hashlib.sha256(json.dumps([self.api, byte_size, variant]).encode()).hexdigest()[:16]
        return self.folder / f"{sha256}-{which}.json"
