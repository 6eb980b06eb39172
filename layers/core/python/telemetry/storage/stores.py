"""Opens the two stores that the settings name. Imports only the backend in use."""

from dataclasses import dataclass

from telemetry.settings import Settings
from telemetry.storage.protocol import FileStore


@dataclass(frozen=True, slots=True)
class Stores:
    """Raw recordings, and the canonical files made of them."""

    raw: FileStore
    canonical: FileStore


def open_stores(settings: Settings) -> Stores:
    """Both stores of the settings' backend. Connects to nothing yet."""
    if settings.storage_backend == "local":
        from telemetry.storage.local_path import LocalPath

        local = settings.local_storage
        return Stores(raw=LocalPath(local, "raw"), canonical=LocalPath(local, "canonical"))
    from telemetry.storage.object_storage import ObjectStorage

    remote = settings.object_storage
    return Stores(
        raw=ObjectStorage(remote, remote.raw_bucket), canonical=ObjectStorage(remote, remote.canonical_bucket)
    )
