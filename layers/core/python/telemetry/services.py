"""What a function works with: settings, database, stores, nudges. One per function module; every part is built late.

Holds nothing but light imports, so that a function loads only the parts it touches.
"""

from functools import cached_property
from typing import TYPE_CHECKING

from telemetry.settings import Settings

if TYPE_CHECKING:
    from telemetry.database.connection import Database
    from telemetry.nudge import NudgeQueue
    from telemetry.storage.protocol import FileStore
    from telemetry.storage.stores import Stores


class Services:
    """Parts are built on first use and kept for the life of the execution environment.

    Parameters
    ----------
    settings : by default read from the environment on first use, so that a wrong setting fails the first event
        with its name rather than the import.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._given_settings = settings

    @cached_property
    def settings(self) -> Settings:
        """The validated settings; raises SETTINGS_INVALID."""
        return self._given_settings or Settings.from_environment()

    @cached_property
    def database(self) -> "Database":
        """The one connection of this environment, opened by its first query."""
        from telemetry.database.connection import Database

        return Database(self.settings.database)

    @cached_property
    def _stores(self) -> "Stores":
        from telemetry.storage.stores import open_stores

        return open_stores(self.settings)

    @property
    def raw(self) -> "FileStore":
        """Where uploads lie until they are parsed."""
        return self._stores.raw

    @property
    def canonical(self) -> "FileStore":
        """Where Parquet files lie."""
        return self._stores.canonical

    @cached_property
    def nudges(self) -> "NudgeQueue":
        """Tells the worker that there is work."""
        from telemetry.nudge import NudgeQueue

        return NudgeQueue(self.settings)
