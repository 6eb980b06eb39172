"""Lambda `sessions`: HTTP API event in → shows and changes sessions, shows their datasets, laps, tracks and devices.

Touches database, both stores and the nudge queue.
"""

from typing import Any

from telemetry import gate, session_changes, sessions
from telemetry.api import cursor, models
from telemetry.api.resolver import PREFIX, Api, path_id
from telemetry.domain.states import SessionStatus
from telemetry.services import Services

from aws_lambda_powertools.event_handler.api_gateway import Response

services = Services()
api = Api(services, "sessions")


@api.get(f"{PREFIX}/sessions", summary="Sessions, newest first", tags=["Sessions"])
def list_sessions() -> Response[str]:
    """200 with a page of sessions and the cursor of the next."""
    owner, query = api.owner, api.query(models.SessionsQuery)
    page = sessions.list_sessions(
        services,
        owner,
        matching=sessions.Filter(
            status=SessionStatus(query.status.upper()) if query.status else None,
            from_time=query.from_,
            to_time=query.to,
            device_id=query.device_id,
        ),
        after=cursor.decode(query.cursor) if query.cursor else sessions.NEWEST,
        limit=query.limit,
    )
    return api.answer(
        200,
        models.SessionPage(
            sessions=[models.Session.model_validate(session) for session in page.sessions],
            next_cursor=cursor.encode(page.end) if page.end else None,
        ),
    )


@api.get(f"{PREFIX}/sessions/<session_id>", summary="One session", tags=["Sessions"])
def get_session(session_id: str) -> Response[str]:
    """200 with the session in detail; 304 when the client has it already."""
    owner, _ = api.owner, api.query(models.NoQuery)
    detail = sessions.get_session(services, owner, path_id(session_id))
    return api.answer_if_changed(models.SessionDetail.model_validate(detail))


@api.patch(f"{PREFIX}/sessions/<session_id>", summary="Rename a session", tags=["Sessions"])
def rename_session(session_id: str) -> Response[str]:
    """200 with the session."""
    owner, found = api.owner, path_id(session_id)
    detail = session_changes.rename_session(services, owner, found, api.body(models.RenameRequest).name)
    return api.answer(200, models.SessionDetail.model_validate(detail))


@api.delete(f"{PREFIX}/sessions/<session_id>", summary="Delete a session for good", tags=["Sessions"])
def delete_session(session_id: str) -> Response[str]:
    """204; from then on 404."""
    owner, _ = api.owner, api.query(models.NoQuery)
    session_changes.delete_session(services, owner, path_id(session_id))
    return api.answer(204)


@api.post(f"{PREFIX}/sessions/<session_id>/cancel", summary="Stop the processing", tags=["Sessions"])
def cancel_session(session_id: str) -> Response[str]:
    """200 with the session."""
    owner, found = api.owner, path_id(session_id)
    api.body(models.Empty, optional=True)
    return api.answer(200, models.SessionDetail.model_validate(session_changes.cancel_session(services, owner, found)))


@api.post(f"{PREFIX}/sessions/<session_id>/retry", summary="Process a failed session again", tags=["Sessions"])
def retry_session(session_id: str) -> Response[str]:
    """202 with the session."""
    owner, found = api.owner, path_id(session_id)
    api.body(models.Empty, optional=True)
    return api.answer(202, models.SessionDetail.model_validate(session_changes.retry_session(services, owner, found)))


@api.get(f"{PREFIX}/sessions/<session_id>/datasets", summary="Canonical files to download", tags=["Sessions"])
def get_datasets(session_id: str) -> Response[str]:
    """200 with each file and the request that fetches it."""
    owner, _ = api.owner, api.query(models.NoQuery)
    found = sessions.get_datasets(services, owner, path_id(session_id))
    return api.answer(
        200, models.DatasetList(datasets=[models.DownloadableDataset.model_validate(dataset) for dataset in found])
    )


@api.get(f"{PREFIX}/sessions/<session_id>/laps", summary="Laps", tags=["Sessions"])
def get_laps(session_id: str) -> Response[str]:
    """200 with the laps in order."""
    owner, _ = api.owner, api.query(models.NoQuery)
    found = sessions.get_laps(services, owner, path_id(session_id))
    return api.answer(200, models.LapList(laps=[models.Lap.model_validate(lap) for lap in found]))


@api.get(f"{PREFIX}/sessions/<session_id>/track", summary="Track for a map", tags=["Sessions"])
def get_track(session_id: str) -> Response[str]:
    """200 with the simplified track as GeoJSON; 304 when the client has it already."""
    owner, _ = api.owner, api.query(models.NoQuery)
    lines = sessions.get_track(services, owner, path_id(session_id))
    return api.answer_if_changed(models.Track.of(lines), content_type="application/geo+json")


@api.put(f"{PREFIX}/sessions/<session_id>/gate", summary="Set the start/finish line", tags=["Sessions"])
def set_gate(session_id: str) -> Response[str]:
    """202 with the session; its laps are found again, and the old ones stay until then."""
    owner, found = api.owner, path_id(session_id)
    line = api.body(models.Gate).model_dump(by_alias=True)
    return api.answer(202, models.SessionDetail.model_validate(gate.set_gate(services, owner, found, line)))


@api.get(f"{PREFIX}/devices", summary="Recording devices", tags=["Devices"])
def list_devices() -> Response[str]:
    """200 with the owner's devices."""
    owner, _ = api.owner, api.query(models.NoQuery)
    found = sessions.list_devices(services, owner)
    return api.answer(200, models.DeviceList(devices=[models.Device.model_validate(device) for device in found]))


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Entry point."""
    return api.handle(event, context)
