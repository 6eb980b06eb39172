"""An example of every request and answer, as the API's description shows them. No function imports it."""

from typing import Any

from telemetry.api import models
from telemetry.api.models import Model

_UPLOAD = "3f0c6a52-8e0b-4d0e-9a57-5c1f2b7d0001"
_SESSION = "5e551010-7d21-4c52-8b5e-2d1f3a1c0002"
_RUN = "7b1d2c3e-4f5a-4b6c-8d7e-9f0a1b2c0003"
_DATASET = "9c2e3d4f-5a6b-4c7d-9e8f-0a1b2c3d0004"
_DEVICE = "1d3f4e5a-6b7c-4d8e-8f9a-1b2c3d4e0005"
_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_ANNOUNCED, _RECEIVED = "2026-03-12T18:30:00Z", "2026-03-12T18:30:04Z"
_START, _END = "2026-03-12T17:02:11.100Z", "2026-03-12T17:22:48.900Z"

_PUT: dict[str, Any] = {
    "method": "PUT",
    "url": f"https://raw.s3.eu-central-1.amazonaws.com/uploads/auth0~7c5f7c/{_UPLOAD}.bin?X-Amz-Algorithm=…",
    "headers": {
        "content-length": "71311",
        "content-type": "text/csv",
        "if-none-match": "*",
        "x-amz-checksum-sha256": "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=",
    },
    "expiresAt": "2026-03-12T18:45:00Z",
}
_ANNOUNCEMENT: dict[str, Any] = {
    "fileName": "evening laps.csv",
    "contentType": "text/csv",
    "byteSize": 71311,
    "sha256": _SHA256,
}
_LAP_IN_BRIEF = {"lapNumber": 2, "kind": "timed", "durationMs": 91342.7, "source": "detected"}
_SUMMARY: dict[str, Any] = {
    "distanceM": 21345.6,
    "durationMs": 1237800.0,
    "points": 12378,
    "boundingBox": [52.0664, -1.0246, 52.0789, -1.0117],
    "lapCount": 12,
    "bestLapMs": 91342.7,
}
_DATA: dict[str, Any] = {
    "datasetId": _DATASET,
    "uploadId": _UPLOAD,
    "stream": "gnss_pvt",
    "schemaVersion": 1,
    "rowCount": 12378,
    "byteSize": 214012,
    "sha256": _SHA256,
    "startTimeUtc": _START,
    "endTimeUtc": _END,
    "quality": {"rowsRead": 12380, "rowsKept": 12378, "distanceM": 21345.6},
}
_LISTED: dict[str, Any] = {
    "sessionId": _SESSION,
    "name": "Evening laps",
    "status": "ready",
    "startTimeUtc": _START,
    "endTimeUtc": _END,
    "deviceId": _DEVICE,
    "summary": _SUMMARY,
    "createdAt": "2026-03-12T18:30:05Z",
    "updatedAt": "2026-03-12T18:30:09Z",
}
_DETAIL: dict[str, Any] = {
    **_LISTED,
    "runId": _RUN,
    "files": [
        {
            "uploadId": _UPLOAD,
            "fileName": "evening laps.csv",
            "byteSize": 71311,
            "sha256": _SHA256,
            "status": "discarded",
            "format": "csv",
            "compression": None,
            "receivedAt": _RECEIVED,
            "discardedAt": "2026-03-12T18:30:09Z",
        }
    ],
    "datasets": [_DATA],
    "laps": [_LAP_IN_BRIEF],
}


def _line(latitude_1: float, longitude_1: float, latitude_2: float, longitude_2: float) -> dict[str, float]:
    ends = (latitude_1, longitude_1, latitude_2, longitude_2)
    return dict(zip(("latitude1Deg", "longitude1Deg", "latitude2Deg", "longitude2Deg"), ends, strict=True))


EXAMPLES: dict[type[Model], dict[str, Any]] = {
    models.UploadRequest: {**_ANNOUNCEMENT, "finaliseOnReceipt": False, "sessionName": "Evening laps"},
    models.PartsRequest: {"parts": [{"partNumber": 2, "sha256": _SHA256}]},
    models.FinaliseRequest: {"artifactIds": [], "sessionName": "Evening laps"},
    models.RenameRequest: {"name": "Silverstone, evening"},
    models.Empty: {},
    models.Gate: {
        **_line(52.0711, -1.0171, 52.0713, -1.0167),
        "sectors": [_line(52.0745, -1.0202, 52.0746, -1.0197)],
    },
    models.CreatedUpload: {
        "uploadId": _UPLOAD,
        "status": "uploaded",
        "expiresAt": "2026-03-13T18:30:00Z",
        "upload": _PUT,
    },
    models.Upload: {
        "uploadId": _UPLOAD,
        "status": "uploaded",
        **_ANNOUNCEMENT,
        "uploadedAt": _ANNOUNCED,
        "receivedAt": None,
        "expiresAt": "2026-03-13T18:30:00Z",
        "sessionId": None,
        "upload": _PUT,
    },
    models.SignedParts: {
        "partSize": 16_777_216,
        "partCount": 19,
        "parts": [
            {
                "partNumber": 2,
                "byteSize": 16_777_216,
                "upload": {
                    "method": "PUT",
                    "url": f"https://raw.s3.eu-central-1.amazonaws.com/uploads/…/{_UPLOAD}.bin?partNumber=2&uploadId=…",
                    "headers": {
                        "content-length": "16777216",
                        "x-amz-checksum-sha256": "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=",
                    },
                    "expiresAt": "2026-03-12T18:45:00Z",
                },
            }
        ],
    },
    models.PartList: {
        "partSize": 16_777_216,
        "partCount": 19,
        "received": [{"partNumber": 1, "byteSize": 16_777_216, "sha256": _SHA256}],
    },
    models.Finalised: {
        "sessionId": _SESSION,
        "runId": _RUN,
        "pollUrl": f"/api/v1/telemetry/sessions/{_SESSION}",
    },
    models.SessionPage: {"sessions": [_LISTED], "nextCursor": None},
    models.SessionDetail: _DETAIL,
    models.DatasetList: {
        "datasets": [
            {
                **_DATA,
                "download": {
                    "method": "GET",
                    "url": "https://canonical.s3.eu-central-1.amazonaws.com/datasets/…/gnss_pvt.parquet?X-Amz-…",
                    "headers": {},
                    "expiresAt": "2026-03-12T18:45:00Z",
                },
            }
        ]
    },
    models.LapList: {
        "laps": [
            {
                **_LAP_IN_BRIEF,
                "startTimeUtc": "2026-03-12T17:04:31.214Z",
                "endTimeUtc": "2026-03-12T17:06:02.557Z",
                "durationUncertaintyMs": 12.5,
                "distanceM": 2638.1,
                "maxSpeedMps": 58.3,
                "sectorsMs": [30114.2, 34120.0, 27108.5],
            }
        ]
    },
    models.Track: {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": {"type": "LineString", "coordinates": [[-1.0171, 52.0711], [-1.0168, 52.0713]]},
                "properties": {
                    "uploadId": _UPLOAD,
                    "coordinateProperties": {
                        "times": ["2026-03-12T17:02:11.100Z", "2026-03-12T17:02:11.700Z"],
                        "speedsMps": [41.2, 41.9],
                    },
                },
            }
        ],
    },
    models.DeviceList: {
        "devices": [
            {
                "deviceId": _DEVICE,
                "manufacturer": "RaceBox",
                "model": "Mini",
                "serialNumber": "3241800123",
                "name": None,
                "firstSeenAt": "2026-01-05T09:12:00Z",
                "lastSeenAt": _END,
            }
        ]
    },
}
