"""What keeps the house clean: lapsed leases, uploads that have arrived and that no event finalised, uploads never
finished, raw files past their time, orphan objects.

Each use case works in bounded batches and is safe with several running: rows that another holds are stepped over.
Where a row and an object both change, the row says first that the object is unwanted, and the object goes after the
commit; what a crash in between leaves is unwanted to `sweep_uploads` too. A sweep of more objects than its time
suffices for begins each pass at another place, drawn at random, so that none stays out of reach and no position need
be kept.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from enum import StrEnum
from itertools import islice
from typing import TypeVar
from uuid import UUID, uuid4

from telemetry import parts, queue, uploads
from telemetry.database.connection import Row
from telemetry.database.queries import load
from telemetry.domain.owner import Owner
from telemetry.domain.states import JobStatus
from telemetry.errors import OUTAGES, Code, TelemetryError
from telemetry.pipeline.failure import fail_run, unexpected
from telemetry.services import Services
from telemetry.storage.paths import artifact_of, dataset_of, run_of_lap_delta
from telemetry.storage.protocol import FileStore, StoredObject

logger = logging.getLogger(__name__)
_QUERIES = load("janitor")

BATCH = 100
_LISTED = 500
MARGIN_MS = 10_000
"""Kept back at the end of the janitor's life for the batch in hand."""

EVENT_MINUTES = 5
"""For so long a store's event is waited for that should finalise an upload."""

UPLOADS_PREFIX = "uploads/"
DATASETS_PREFIX = "datasets/"

_SIGNED_WITHIN_S = 60
"""An address is signed so soon after the look at the row, which a transaction that replaces it may hold for as long."""

_OTHER_BYTES = (Code.SIZE_MISMATCH, Code.CHECKSUM_MISMATCH)
"""The sender's own mistake, found at every pass until the upload expires: nothing for an operator to do."""

_Item = TypeVar("_Item")


class Task(StrEnum):
    """What the janitor does, in its order: leases lapse first, so that no attempt that a sweep could harm lives on."""

    RESCUE = "rescue"
    FINALISE_ON_RECEIPT = "finalise_on_receipt"
    EXPIRE_UPLOADS = "expire_uploads"
    DISCARD_RETAINED = "discard_retained"
    SWEEP_UPLOADS = "sweep_uploads"
    SWEEP_DATASETS = "sweep_datasets"


def clean(
    services: Services,
    remaining_ms: Callable[[], int],
    tasks: Iterable[Task] = tuple(Task),
    *,
    safe_age: timedelta | None = None,
) -> Counter[Task]:
    """Does the tasks one after the other and counts the rows or objects that each handled.

    A task that fails does not keep the others from running. What the time does not suffice for is done by the next
    call.

    Parameters
    ----------
    safe_age : objects without a row are left alone while they are younger: an attempt may be about to record them.
        By default an hour, or four leases where that is more.

    Raises
    ------
    TelemetryError : the first task's that failed, after all have been tried; INTERNAL_ERROR for what nobody foresaw,
        so that one odd row or object does not keep raw files past their time.
    """
    age = safe_age or timedelta(seconds=max(3600, 4 * services.settings.lease_s))
    margin_ms = min(MARGIN_MS, remaining_ms() // 5)

    def time_left() -> bool:
        return remaining_ms() > margin_ms

    work: dict[Task, Callable[[], int]] = {
        Task.RESCUE: lambda: _repeated(lambda: rescue(services), time_left),
        Task.FINALISE_ON_RECEIPT: lambda: finalise_on_receipt(services, _until_half(remaining_ms, margin_ms)),
        Task.EXPIRE_UPLOADS: lambda: _repeated(lambda: expire_uploads(services), time_left),
        Task.DISCARD_RETAINED: lambda: _repeated(lambda: discard_retained(services), time_left),
        Task.SWEEP_UPLOADS: lambda: sweep_uploads(services, age, _until_half(remaining_ms, margin_ms)),
        Task.SWEEP_DATASETS: lambda: sweep_datasets(services, age, time_left),
    }
    wanted = frozenset(tasks)
    handled: Counter[Task] = Counter()
    failures: list[TelemetryError] = []
    for task in Task:
        if task not in wanted or not time_left():
            continue
        try:
            handled[task] = work[task]()
        except Exception as error:
            failure = error if isinstance(error, TelemetryError) else unexpected(error)
            logger.error("janitor's task failed", extra={"task": str(task), "code": str(failure.code)})
            failures.append(failure)
    if failures:
        raise failures[0]
    return handled


def rescue(services: Services, batch: int = BATCH) -> int:
    """Takes jobs from workers that gave no sign of life for a lease: back to the queue, or, after the last attempt,
    FAILED with WORKER_LOST together with run and session. Gives how many."""
    with services.database.transaction() as transaction:
        rescued = queue.rescue(transaction, services.settings.lease_s, batch)
        for job in rescued:
            if job.status is JobStatus.FAILED:
                fail_run(transaction, job.run_id, Code.WORKER_LOST, str(job.job_type))
    for job in rescued:
        logger.warning(
            "job rescued",
            extra={"job_id": str(job.id), "job_type": str(job.job_type), "status": str(job.status)},
        )
    return len(rescued)


def finalise_on_receipt(
    services: Services, time_left: Callable[[], bool], batch: int = BATCH, begin_behind: UUID | None = None
) -> int:
    """Finalises uploads that are to be finalised on receipt, have arrived, and were finalised by no event: one was lost
    or given up, and of a file in parts there is none, as the store tells nobody of a part. Gives how many.

    Each is a question to the store, so that those announced lately are left to their event for `EVENT_MINUTES`.

    Parameters
    ----------
    begin_behind : uploads with an id behind this one are looked at first; drawn at random by default, so that time
        that never suffices for all keeps none from its turn.
    """
    finalised = 0
    for row in _on_receipt(services, begin_behind or uuid4(), batch):
        if not time_left():
            break
        try:
            uploads.finalise(services, Owner(row["owner_user_id"], row["tenant_id"]), row["id"])
        except TelemetryError as error:
            if error.code in OUTAGES:
                raise
            if error.code is not Code.UPLOAD_NOT_RECEIVED:
                told = {"upload_id": str(row["id"]), "code": str(error.code)}
                level = logging.INFO if error.code in _OTHER_BYTES else logging.WARNING
                logger.log(level, "not finalised on receipt", extra=told)
        else:
            finalised += 1
    return finalised


def _on_receipt(services: Services, begin_behind: UUID, batch: int) -> Iterator[Row]:
    """Every open upload that is to be finalised on receipt once: those behind an id first, then the others."""
    for begin, last in ((begin_behind, UUID(int=2**128 - 1)), (UUID(int=0), begin_behind)):
        after = begin
        while rows := services.database.run(
            _QUERIES["uploads_on_receipt"], after=after, last=last, batch=batch, event_minutes=EVENT_MINUTES
        ):
            yield from rows
            after = rows[-1]["id"]


def expire_uploads(services: Services, batch: int = BATCH) -> int:
    """Ends uploads that were never finalised in time, and deletes what arrived of them. Gives how many."""
    expired = services.database.run(_QUERIES["expire_uploads"], batch=batch)
    for row in expired:
        parts.abort(services.raw, row)
        services.raw.delete(row["storage_path"])
    return len(expired)


def discard_retained(services: Services, batch: int = BATCH) -> int:
    """Discards raw files of ended sessions whose retention has passed. Gives how many."""
    discarded = services.database.run(
        _QUERIES["discard_retained"],
        ready_days=services.settings.raw_retention_days,
        failed_days=services.settings.failed_raw_retention_days,
        batch=batch,
    )
    for row in discarded:
        if row["storage_path"] is not None:
            services.raw.delete(row["storage_path"])
    return len(discarded)


def sweep_uploads(
    services: Services, safe_age: timedelta, time_left: Callable[[], bool], begin_at: UUID | None = None
) -> int:
    """Deletes raw objects that no row wants: of discarded and expired artifacts at once (a still valid upload address
    may have revived them), of unknown ones past `safe_age`; and what broken-off writes left behind, once no upload of
    their time is open. Gives how many.

    Parameters
    ----------
    begin_at : the first artifact with an id from here on says where to begin; drawn at random by default.
    """

    def unwanted(listed: list[StoredObject]) -> Iterator[StoredObject]:
        ids = {found.path: artifact_of(found.path) for found in listed}
        rows = services.database.run(
            _QUERIES["known_uploads"], artifact_ids=[str(one) for one in ids.values() if one is not None]
        )
        discarded = {row["storage_path"]: row["discarded"] for row in rows}
        oldest = services.database.run(_QUERIES["database_now"])[0]["now"] - safe_age
        return (found for found in listed if discarded.get(found.path, found.modified_at < oldest))

    longest_open = timedelta(hours=services.settings.upload_expiry_hours) + safe_age
    now = services.database.run(_QUERIES["database_now"])[0]["now"]
    dropped = services.raw.drop_unfinished(now - longest_open)
    start = services.database.run(_QUERIES["upload_from"], id=begin_at or uuid4())
    objects = _all_objects_from(services.raw, UPLOADS_PREFIX, start)
    return dropped + _sweep(objects, services.raw, unwanted, time_left)


def sweep_datasets(
    services: Services, safe_age: timedelta, time_left: Callable[[], bool], begin_at: UUID | None = None
) -> int:
    """Deletes canonical objects past `safe_age` that belong to no dataset: those of lost attempts, failed and
    cancelled runs, and deleted sessions, and lap deltas that were replaced, once no address of theirs is valid any
    more. Gives how many.

    Parameters
    ----------
    begin_at : as of `sweep_uploads`, a dataset's id.
    """

    def unwanted(listed: list[StoredObject]) -> Iterator[StoredObject]:
        oldest = services.database.run(_QUERIES["database_now"])[0]["now"] - safe_age
        old = [found for found in listed if found.modified_at < oldest]
        rows = services.database.run(_QUERIES["kept_datasets"], paths=[dataset_of(found.path) for found in old])
        kept = {row["storage_path"] for row in rows}
        orphans = [found for found in old if dataset_of(found.path) not in kept]
        runs = {found.path: run_id for found in orphans if (run_id := run_of_lap_delta(found.path))}
        rows = services.database.run(
            _QUERIES["lap_deltas_replaced"],
            run_ids=[str(run_id) for run_id in set(runs.values())],
            seconds=services.settings.download_url_seconds + _SIGNED_WITHIN_S,
        )
        replaced = {row["id"] for row in rows}
        return (found for found in orphans if runs.get(found.path) not in replaced)

    start = services.database.run(_QUERIES["dataset_from"], id=begin_at or uuid4())
    return _sweep(
        _all_objects_from(services.canonical, DATASETS_PREFIX, start), services.canonical, unwanted, time_left
    )


def _all_objects_from(store: FileStore, prefix: str, start: list[Row]) -> Iterator[StoredObject]:
    """Every object once: from `start`'s path to the last, then from the first to that path."""
    path = start[0]["storage_path"] if start else ""
    yield from store.list(prefix, after=path)
    if path:
        for found in store.list(prefix):
            if found.path > path:
                return
            yield found


def _sweep(
    objects: Iterable[StoredObject],
    store: FileStore,
    unwanted: Callable[[list[StoredObject]], Iterable[StoredObject]],
    time_left: Callable[[], bool],
) -> int:
    swept = 0
    for listed in _batches(objects, _LISTED):
        for found in unwanted(listed):
            store.delete(found.path)
            swept += 1
        if not time_left():
            break
    return swept


def _until_half(remaining_ms: Callable[[], int], margin_ms: int) -> Callable[[], bool]:
    """True while more than half of the time from now on is left: the other half is the next task's."""
    end_ms = (remaining_ms() + margin_ms) // 2
    return lambda: remaining_ms() > end_ms


def _repeated(handle_batch: Callable[[], int], time_left: Callable[[], bool]) -> int:
    """Batch after batch until one comes out empty or time runs out."""
    handled = 0
    while time_left() and (count := handle_batch()):
        handled += count
    return handled


def _batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
