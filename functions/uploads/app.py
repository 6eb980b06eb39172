"""Lambda `uploads`: HTTP API event in → announces, shows, abandons and finalises uploads.

Touches database, raw store and the nudge queue.
"""

from typing import Any

from telemetry import parts, uploads
from telemetry.api import models
from telemetry.api.resolver import PREFIX, Api, path_id
from telemetry.services import Services

from aws_lambda_powertools.event_handler.api_gateway import Response

services = Services()
api = Api(services, "uploads")


@api.post(f"{PREFIX}/uploads", summary="Announce a file and get its signed PUT", tags=["Uploads"])
def create_upload() -> Response[str]:
    """201 with the request that sends the bytes."""
    owner, request = api.owner, api.body(models.UploadRequest)
    announcement = uploads.Announcement(**request.model_dump())
    created = models.CreatedUpload.model_validate(uploads.create_upload(services, owner, announcement))
    return api.answer(201, created, headers={"Location": f"{PREFIX}/uploads/{created.upload_id}"})


@api.get(f"{PREFIX}/uploads/<upload_id>", summary="State of an upload", tags=["Uploads"])
def get_upload(upload_id: str) -> Response[str]:
    """200 with the upload as it stands."""
    owner, _ = api.owner, api.query(models.NoQuery)
    return api.answer(200, models.Upload.model_validate(uploads.get_upload(services, owner, path_id(upload_id))))


@api.delete(f"{PREFIX}/uploads/<upload_id>", summary="Abandon an upload", tags=["Uploads"])
def abandon_upload(upload_id: str) -> Response[str]:
    """204, also the second time."""
    owner, _ = api.owner, api.query(models.NoQuery)
    uploads.abandon_upload(services, owner, path_id(upload_id))
    return api.answer(204)


@api.post(f"{PREFIX}/uploads/<upload_id>/parts", summary="Send a large file in parts", tags=["Uploads"])
def sign_parts(upload_id: str) -> Response[str]:
    """200 with the size of a part, and a signed PUT for each part asked for, instead of the one for the whole.
    Finalising puts the parts together."""
    owner, found = api.owner, path_id(upload_id)
    wanted = [parts.WantedPart(**part.model_dump()) for part in api.body(models.PartsRequest).parts]
    return api.answer(200, models.SignedParts.model_validate(parts.sign_parts(services, owner, found, wanted)))


@api.get(f"{PREFIX}/uploads/<upload_id>/parts", summary="Parts that have arrived", tags=["Uploads"])
def received_parts(upload_id: str) -> Response[str]:
    """200 with the parts that need not be sent again."""
    owner, _ = api.owner, api.query(models.NoQuery)
    found = parts.received_parts(services, owner, path_id(upload_id))
    return api.answer(200, models.PartList.model_validate(found))


@api.post(f"{PREFIX}/uploads/<upload_id>/finalise", summary="Make a session of uploaded files", tags=["Uploads"])
def finalise(upload_id: str) -> Response[str]:
    """202 with the session; the same session however often it is asked."""
    owner, first = api.owner, path_id(upload_id)
    request = api.body(models.FinaliseRequest, optional=True)
    made = uploads.finalise(services, owner, first, artifact_ids=request.artifact_ids, name=request.session_name)
    poll_url = f"{PREFIX}/sessions/{made.session_id}"
    finalised = models.Finalised(session_id=made.session_id, run_id=made.run_id, poll_url=poll_url)
    return api.answer(202, finalised, headers={"Location": poll_url})


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Entry point."""
    return api.handle(event, context)
