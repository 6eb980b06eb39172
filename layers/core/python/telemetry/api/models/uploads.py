"""Uploads: announced, as they stand, finalised."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from telemetry.api.models.fields import (
    ContentType,
    FileName,
    Model,
    SessionName,
    Sha256,
    SignedRequest,
    UploadState,
    Whole,
    absent,
)
from telemetry.settings import DEFAULT_UPLOAD_MAX_BYTES

MOST_ARTIFACTS = 20


class UploadRequest(Model):
    """A file to be uploaded: what it is, exactly."""

    file_name: FileName
    content_type: ContentType
    # What is too small or too large has codes of its own; the description names the limits all the same.
    byte_size: Annotated[
        Whole, Field(ge=0, le=2**53, json_schema_extra={"minimum": 1, "maximum": DEFAULT_UPLOAD_MAX_BYTES})
    ]
    sha256: Sha256
    finalise_on_receipt: Annotated[
        bool,
        Field(
            strict=True,
            description="The service finalises by itself: as soon as the bytes have arrived; a file in parts within "
            "five minutes of its last part, as a store tells of whole files alone.",
        ),
    ] = False
    session_name: SessionName | None = None


class CreatedUpload(Model):
    """An announced upload. `duplicateOf` is the session that the same bytes made before."""

    upload_id: UUID
    status: UploadState
    expires_at: datetime
    upload: SignedRequest
    duplicate_of: Annotated[UUID | None, Field(exclude_if=absent)] = None


class Upload(Model):
    """An upload as it stands. `upload` is there while bytes are expected."""

    upload_id: UUID
    status: UploadState
    file_name: str
    content_type: str
    byte_size: int
    sha256: str
    uploaded_at: datetime
    received_at: datetime | None
    expires_at: datetime
    session_id: UUID | None
    upload: Annotated[SignedRequest | None, Field(exclude_if=absent)] = None


class FinaliseRequest(Model):
    """Further uploads for the same session, and its name. The body may be left out."""

    artifact_ids: Annotated[list[UUID], Field(max_length=MOST_ARTIFACTS)] = []  # noqa: RUF012 pydantic copies it
    session_name: SessionName | None = None


class Finalised(Model):
    """The session that is being made, and where to ask for its state."""

    session_id: UUID
    run_id: UUID
    poll_url: str
