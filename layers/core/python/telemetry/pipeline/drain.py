"""The worker's loop: claims jobs until none is due or its time is up, then hands over with a nudge."""

import logging
import os
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from telemetry import queue
from telemetry.pipeline.execute import execute
from telemetry.pipeline.outcome import Outcome
from telemetry.pipeline.working_directory import remove_leftovers
from telemetry.services import Services

logger = logging.getLogger(__name__)

MARGIN_MS = 20_000
"""Kept back at the end of a worker's life for what a step cannot interrupt: one upload, one transaction."""

# A job is begun only while this share of the worker's life is left, so that a long one meets most of a life. One that
# was tried before, perhaps for want of time, meets a whole one: with it near, the worker hands over to the next, whose
# first claim is whatever is due. So no recording that a life suffices for uses its attempts up on shares of one.
_BEGIN_SHARE = 0.5
_WHOLE_SHARE = 0.9


@dataclass(slots=True)
class Drained:
    """What one drain did, and what it left."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    due: int = 0
    oldest_due_s: float = 0.0


def drain(
    services: Services,
    remaining_ms: Callable[[], int],
    *,
    worker: str = "",
    margin_ms: int = MARGIN_MS,
) -> Drained:
    """Claims and executes jobs one after the other. At least one is tried. What killed workers left on this disk goes
    before.

    Parameters
    ----------
    remaining_ms : milliseconds left in the worker's life, as a Lambda context tells it.
    worker : names the worker in `locked_by`; by default host and process.
    margin_ms : kept back at the end, at most a fifth of the life.

    Raises
    ------
    TelemetryError : DATABASE_UNAVAILABLE. Jobs already completed stay so; one in work is rescued later.
    """
    life_ms = remaining_ms()
    if removed := remove_leftovers():
        logger.warning("files of killed workers removed", extra={"directories": removed})
    margin_ms = min(margin_ms, life_ms // 5)
    worker = worker or f"{socket.gethostname()}:{os.getpid()}"
    drained = Drained()

    claims = queue.Claims(worker)

    def has_whole_life() -> bool:
        return remaining_ms() >= life_ms * _WHOLE_SHARE

    def may_begin(since: datetime | None = None) -> bool:
        if has_whole_life():
            return True
        return remaining_ms() >= life_ms * _BEGIN_SHARE and not queue.retry_is_near(services.database, since)

    def next_claim() -> queue.Claim | None:
        wanted = claims.next()
        return wanted if may_begin(wanted.since) else None

    job = claims.take(services.database)
    while job is not None:
        executed = execute(
            services,
            job,
            remaining_ms=lambda: remaining_ms() - margin_ms,
            whole_life=has_whole_life(),
            next_claim=next_claim,
        )
        drained.outcomes[executed.outcome] += 1
        logger.info(
            "job ended",
            extra={"job_id": str(job.id), "job_type": str(job.job_type), "outcome": str(executed.outcome)},
        )
        job = executed.next_job
        if job is not None:
            claims.took(job)
        elif may_begin():
            # The attempt failed, or nothing was due behind the job but its own successor, which a completion does
            # not claim.
            job = claims.take(services.database)
    depth = queue.depth(services.database)
    drained.due, drained.oldest_due_s = depth.due, depth.oldest_due_s
    if depth.due:
        services.nudges.send()
    return drained
