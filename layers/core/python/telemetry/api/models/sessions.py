"""Sessions in a list, and their names."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from telemetry.api.models.fields import Model, Moment, SessionName, SessionState, absent

MOST_SESSIONS = 100


class SessionsQuery(Model):
    """Filters and page of a list of sessions."""

    status: Literal["processing", "ready", "failed", "cancelled"] | None = None
    from_: Annotated[Moment | None, Field(alias="from")] = None
    to: Moment | None = None
    device_id: UUID | None = None
    cursor: Annotated[str | None, Field(max_length=200)] = None
    limit: Annotated[int, Field(ge=1, le=MOST_SESSIONS)] = 25


class RenameRequest(Model):
    """A session's new name."""

    name: SessionName


class Failure(Model):
    """Why a session failed, and what to do."""

    code: str
    message: str


class Session(Model):
    """A session, with `failure` when it failed. `startTimeUtc` and `endTimeUtc` equal `createdAt` until it is ready."""

    session_id: UUID
    name: str
    status: SessionState
    start_time_utc: datetime
    end_time_utc: datetime
    device_id: UUID | None
    summary: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    failure: Annotated[Failure | None, Field(exclude_if=absent)] = None


class SessionPage(Model):
    """A page of sessions, newest first. `nextCursor` is null on the last."""

    sessions: list[Session]
    next_cursor: str | None
