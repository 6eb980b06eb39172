"""The use case of a session's own start/finish line: keep it, and have the laps found again from the canonical files.

The session stays ready and shows its old laps until the new ones take their place, all in one transaction.
"""

from typing import Any
from uuid import UUID

from telemetry import queue
from telemetry.database.connection import OwnersRows, UniqueViolation
from telemetry.database.queries import load
from telemetry.database.storable import storable_json
from telemetry.domain.owner import Owner
from telemetry.domain.states import JobType, RunStatus, SessionStatus
from telemetry.errors import Code, TelemetryError
from telemetry.services import Services
from telemetry.sessions import SessionDetail, get_session

_QUERIES = load("gate")
_TRIES = 5


def set_gate(services: Services, owner: Owner, session_id: UUID, gate: dict[str, Any]) -> SessionDetail:
    """Keeps the line and starts the search for laps at it. Giving the same line again searches again.

    Parameters
    ----------
    gate : `latitude1Deg`, `longitude1Deg`, `latitude2Deg`, `longitude2Deg`, and a list of such as `sectors`.

    Raises
    ------
    TelemetryError : NOT_FOUND; SESSION_NOT_READY while it is processed, SESSION_STATE_CONFLICT when it ended otherwise.
    """
    for _ in range(_TRIES):
        try:
            _store(services.database.of_owner(owner.user_id), owner, session_id, gate)
        except UniqueViolation:
            # Another call started the search just before: look again, and hold its job.
            continue
        services.nudges.send()
        return get_session(services, owner, session_id)
    raise TelemetryError(Code.SESSION_STATE_CONFLICT, "its line is being changed by others")


def _store(database: OwnersRows, owner: Owner, session_id: UUID, gate: dict[str, Any]) -> None:
    with database.transaction() as transaction:
        rows = transaction.run(_QUERIES["run_to_detect_again"], id=session_id, owner_user_id=owner.user_id)
        if not rows:
            raise TelemetryError(Code.NOT_FOUND)
        status, run_id = rows[0]["status"], rows[0]["run_id"]
        if status == SessionStatus.PROCESSING:
            raise TelemetryError(Code.SESSION_NOT_READY)
        if status != SessionStatus.READY or rows[0]["run_status"] != RunStatus.SUCCEEDED:
            raise TelemetryError(Code.SESSION_STATE_CONFLICT, f"it is {status.lower()}")
        # Job, run, session, as everywhere. A search that is at work compares the line when it completes.
        if not transaction.run(_QUERIES["lock_detection"], run_id=run_id):
            if not transaction.run(_QUERIES["hold_run"], run_id=run_id):  # deleted meanwhile
                raise TelemetryError(Code.NOT_FOUND)
            artifacts = transaction.run(_QUERIES["artifacts_of_run"], run_id=run_id)
            payload = {"artifactIds": [str(row["artifact_id"]) for row in artifacts]}
            queue.enqueue(transaction, run_id, JobType.DETECT_LAPS, payload)
        if not transaction.run(
            _QUERIES["set_gate"], id=session_id, owner_user_id=owner.user_id, gate=storable_json(gate)
        ):
            raise TelemetryError(Code.NOT_FOUND)
