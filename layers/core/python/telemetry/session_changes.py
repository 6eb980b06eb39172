"""The use cases that change a session: rename, cancel, retry, delete.

As everywhere, rows are locked in the order job, run, session, artifact, and every query names the owner and runs behind
the wall of row-level security.
"""

import logging
from typing import Any
from uuid import UUID

from telemetry import queue
from telemetry.database.connection import OwnersRows, Row, Transaction
from telemetry.database.queries import load
from telemetry.domain.names import clean_name
from telemetry.domain.owner import Owner
from telemetry.domain.states import SessionStatus
from telemetry.domain.streams import GNSS_PVT
from telemetry.errors import Code, TelemetryError
from telemetry.services import Services
from telemetry.sessions import SessionDetail, get_session, session_row
from telemetry.storage.paths import track_path
from telemetry.storage.protocol import FileStore
from telemetry.uploads import start_run

logger = logging.getLogger(__name__)

_QUERIES = load("sessions")
_DATASETS = load("datasets")
_TRIES = 5


class _Overtaken(Exception):
    """Somebody gave the session a new run or job while its rows were being locked."""


def rename_session(services: Services, owner: Owner, session_id: UUID, name: str) -> SessionDetail:
    """Gives the session another name.

    Raises
    ------
    TelemetryError : NOT_FOUND; REQUEST_INVALID for a name of which nothing is left.
    """
    cleaned = clean_name(name)
    if not cleaned:
        raise TelemetryError(Code.REQUEST_INVALID, "name: must hold a visible character")
    database = services.database.of_owner(owner.user_id)
    if not database.run(_QUERIES["rename_session"], id=session_id, owner_user_id=owner.user_id, name=cleaned):
        raise TelemetryError(Code.NOT_FOUND)
    return get_session(services, owner, session_id)


def cancel_session(services: Services, owner: Owner, session_id: UUID) -> SessionDetail:
    """Stops the processing. A worker that is at it learns so at its next write. Doing it again is no error.

    Raises
    ------
    TelemetryError : NOT_FOUND; SESSION_STATE_CONFLICT when it has ended otherwise.
    """
    database = services.database.of_owner(owner.user_id)
    with database.transaction() as transaction:
        row = session_row(transaction, owner, session_id)
    if row["status"] == SessionStatus.PROCESSING:
        with database.transaction() as transaction:
            queue.cancel_jobs(transaction, row["run_id"])
            # Nothing changed means that the run ended before its jobs could be held: then they stay as they were.
            if transaction.run(_QUERIES["cancel_run"], id=row["run_id"]) and transaction.run(
                _QUERIES["cancel_session"], id=session_id, owner_user_id=owner.user_id
            ):
                transaction.run(_DATASETS["delete_datasets_of_run"], run_id=row["run_id"])
                status = SessionStatus.CANCELLED
            else:
                raise TelemetryError(Code.SESSION_STATE_CONFLICT, "its processing has ended meanwhile")
    else:
        status = SessionStatus(row["status"])
    if status is not SessionStatus.CANCELLED:
        raise TelemetryError(Code.SESSION_STATE_CONFLICT, f"it is {status.lower()}")
    return get_session(services, owner, session_id)


def retry_session(services: Services, owner: Owner, session_id: UUID) -> SessionDetail:
    """Processes a failed session once more, in a new run over the raw files that are still kept.

    Raises
    ------
    TelemetryError : NOT_FOUND; SESSION_STATE_CONFLICT when it has not failed; RAW_DISCARDED.
    """
    with services.database.of_owner(owner.user_id).transaction() as transaction:
        if not transaction.run(_QUERIES["reopen_session"], id=session_id, owner_user_id=owner.user_id):
            status = session_row(transaction, owner, session_id)["status"]
            raise TelemetryError(Code.SESSION_STATE_CONFLICT, f"it is {status.lower()}")
        artifacts = transaction.run(_QUERIES["lock_artifacts"], session_id=session_id, owner_user_id=owner.user_id)
        if any(artifact["discarded_at"] is not None for artifact in artifacts):
            raise TelemetryError(Code.RAW_DISCARDED)
        transaction.run(_QUERIES["readmit_artifacts"], session_id=session_id)
        start_run(transaction, session_id, [artifact["id"] for artifact in artifacts])
    services.nudges.send()
    return get_session(services, owner, session_id)


def delete_session(services: Services, owner: Owner, session_id: UUID) -> None:
    """Deletes the session for good: its rows in one transaction, then its raw and canonical files.

    A worker that is at it finds its job gone. Files that cannot be deleted now belong to no row any more and are
    swept later.

    Raises
    ------
    TelemetryError : NOT_FOUND; DATABASE_UNAVAILABLE, also when others start its processing again and again.
    """
    paths = _delete_rows(services.database.of_owner(owner.user_id), owner, session_id)
    stores: dict[str, FileStore] = {"raw": services.raw, "canonical": services.canonical}
    doomed = [(stores[row["store"]], row["path"]) for row in paths]
    doomed += [(services.canonical, track_path(row["path"])) for row in paths if row["stream"] == GNSS_PVT]
    for store, path in doomed:
        try:
            store.delete(path)
        except TelemetryError as error:
            logger.warning("file left for the sweep", extra={"session_id": str(session_id), "code": str(error.code)})


def _delete_rows(database: OwnersRows, owner: Owner, session_id: UUID) -> list[Row]:
    """Deletes the session with all that belongs to it, and gives where its files lie."""
    for _ in range(_TRIES):
        try:
            with database.transaction() as transaction:
                _lock_all(transaction, owner, session_id)
                paths = transaction.run(
                    _QUERIES["paths_of_session"], session_id=session_id, owner_user_id=owner.user_id
                )
                transaction.run(_QUERIES["delete_session"], id=session_id, owner_user_id=owner.user_id)
                return paths
        except _Overtaken:
            continue
    raise TelemetryError(Code.DATABASE_UNAVAILABLE, "others start its processing again and again")


def _lock_all(transaction: Transaction, owner: Owner, session_id: UUID) -> None:
    """Ends the session's jobs and holds jobs, runs and session, so that a worker completing one of them is waited for
    rather than met halfway.

    Raises
    ------
    _Overtaken : a retry or a search for laps added rows before we held the session: they are not held, and to wait for
        them now would be against the order of locks.
    """
    mine: dict[str, Any] = {"session_id": session_id, "owner_user_id": owner.user_id}
    runs = transaction.run(_QUERIES["runs_to_delete"], **mine)
    for run in runs:
        queue.cancel_jobs(transaction, run["id"])
    transaction.run(_QUERIES["lock_runs"], **mine)
    if not transaction.run(_QUERIES["lock_session"], id=session_id, owner_user_id=owner.user_id):
        raise TelemetryError(Code.NOT_FOUND)
    # Nobody can add a run or a job from here on.
    if transaction.run(_QUERIES["runs_to_delete"], **mine) != runs or any(
        queue.is_live(transaction, run["id"]) for run in runs
    ):
        raise _Overtaken
