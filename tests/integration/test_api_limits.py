"""The API at its limits: values at the ends of what a type holds are refused or served, never an internal error; and no
answer outgrows what Lambda passes on."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from telemetry.domain.laps import MOST_LAPS, MOST_SECTOR_LINES
from telemetry.formats import reader, tcx_points
from telemetry.pipeline import detect_laps
from tests.plugins.api import ApiClient
from tests.plugins.harness import SAMPLES

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()
NO_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


def cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


# Times


@pytest.mark.parametrize("name", ["from", "to"])
@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+00:01"]
)
def test_times_that_only_another_zones_calendar_holds_are_refused(api: ApiClient, name: str, time: str) -> None:
    refused = api.call("sessions_list", query={name: time})
    assert (refused.status, refused.json["code"]) == (422, "REQUEST_INVALID")
    (wrong,) = refused.json["errors"]
    assert wrong == {"field": name, "message": "a time lies in the years 1 to 9999, in UTC"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59.999999Z"}, 1),
        ({"from": "0001-01-01T00:00:00-23:59", "to": "9999-12-31T23:59:59+23:59"}, 1),
        ({"from": "9999-12-31T23:59:59.9999999Z"}, 0),
        ({"to": "0001-01-01T00:00:00Z"}, 0),
        ({"cursor": cursor(f"9999-12-31T23:59:59.999999+00:00 {NO_ID}")}, 1),
        ({"cursor": cursor(f"0001-01-01T00:00:00+00:00 {NO_ID}")}, 0),
    ],
)
def test_the_first_and_the_last_time_of_the_calendar_are_served(
    api: ApiClient, query: dict[str, str], found: int
) -> None:
    api.session_of(CSV)
    answer = api.call("sessions_list", query=query)
    assert (answer.status, len(answer.json.get("sessions", []))) == (200, found), answer.text


@pytest.mark.parametrize(
    "moment",
    ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59-00:00:01", "9999-12-31", "\0"],
)
def test_forged_cursors_are_refused(api: ApiClient, moment: str) -> None:
    refused = api.call("sessions_list", query={"cursor": cursor(f"{moment} {NO_ID}")})
    assert (refused.status, refused.json["code"]) == (422, "REQUEST_INVALID")
    assert [wrong["field"] for wrong in refused.json["errors"]] == ["cursor"]


# Numbers


@pytest.mark.parametrize(
    "number", ["1e999", "-1e999", "1e308", "1" + "0" * 400, "9223372036854775808", "-9223372036854775809", "1e-400"]
)
@pytest.mark.parametrize(
    ("event", "body"),
    [
        ("uploads_create", {"fileName": "a.csv", "contentType": "text/csv", "byteSize": "N", "sha256": "0" * 64}),
        ("uploads_sign_parts", {"parts": [{"partNumber": "N", "sha256": "0" * 64}]}),
        *(
            (
                "sessions_gate",
                {"latitude1Deg": 1, "longitude1Deg": 1, "latitude2Deg": 1.0001, "longitude2Deg": 1, name: "N"},
            )
            for name in ("latitude1Deg", "longitude2Deg")
        ),
    ],
    ids=["byteSize", "partNumber", "latitude1Deg", "longitude2Deg"],
)
def test_numbers_beyond_every_column_are_refused(api: ApiClient, event: str, body: Any, number: str) -> None:
    refused = api.call(event, body=json.dumps(body).replace('"N"', number))
    assert refused.status in (404, 422), refused.text  # 1e-400 is 0: a fine coordinate, of a session that is not there
    assert refused.json["code"] in ("REQUEST_INVALID", "NOT_FOUND", "FILE_EMPTY")


def test_the_largest_size_that_is_read_is_refused_as_a_size(api: ApiClient) -> None:
    refused = api.call(
        "uploads_create",
        body={"fileName": "a.csv", "contentType": "text/csv", "byteSize": 2**53, "sha256": "0" * 64},
    )
    assert (refused.status, refused.json["code"]) == (413, "FILE_TOO_LARGE")


@pytest.mark.parametrize("limit", ["9223372036854775808", "1e2", "NaN", "inf", "-1", "1" + "0" * 5000, "\u0661"])
def test_page_sizes_that_are_none_are_refused(api: ApiClient, limit: str) -> None:
    refused = api.call("sessions_list", query={"limit": limit})
    assert (refused.status, refused.json["code"]) == (422, "REQUEST_INVALID")


@pytest.mark.parametrize("device", ["0" * 32, NO_ID, "{" + NO_ID + "}", "urn:uuid:" + NO_ID])
def test_every_spelling_of_a_device_is_looked_up(api: ApiClient, device: str) -> None:
    answer = api.call("sessions_list", query={"deviceId": device})
    assert (answer.status, answer.json["sessions"]) == (200, [])


# Laps

_LAMBDA_BYTES = 6_291_556
"""The largest answer (AWS Lambda, "Quotas")."""
_LINE = {"latitude1Deg": 10.0, "longitude1Deg": 10.0, "latitude2Deg": 10.0001, "longitude2Deg": 10.0001}
_LONG = "0.00012345678901234567"


def _with_laps(api: ApiClient, count: int) -> str:
    """A ready session with that many laps, each as long as JSON can make it."""
    session_id = api.session_of(CSV)
    api.harness.drain()
    api.harness.sql("DELETE FROM telemetry_laps")
    api.harness.sql(
        f"""INSERT INTO telemetry_laps (session_id, run_id, lap_number, kind, start_time_utc, end_time_utc, duration_ms,
                duration_uncertainty_ms, distance_m, max_speed_mps, source, sectors_ms)
            SELECT run.session_id, run.id, number, 'TIMED', begins, begins + interval '1 s', {_LONG}, {_LONG}, {_LONG},
                {_LONG}, 'DETECTED', (SELECT jsonb_agg({_LONG}) FROM generate_series(0, {MOST_SECTOR_LINES}))
            FROM telemetry_processing_runs AS run, generate_series(1, :count) AS number,
                LATERAL (SELECT timestamptz '2026-05-16T09:30:00.123456Z' + number * interval '1 s' AS begins) AS lap
        """,
        count=count,
    )
    return session_id


def test_a_session_with_every_lap_it_may_have_can_be_shown(api: ApiClient) -> None:
    """And one that an older version recorded without a limit shows the first of its laps."""
    session_id = _with_laps(api, 2 * MOST_LAPS + 1)
    for event, body, status in (
        ("sessions_laps", None, 200),
        ("sessions_get", None, 200),
        ("sessions_rename", {"name": "Another"}, 200),
        ("sessions_gate", {**_LINE, "sectors": [_LINE] * MOST_SECTOR_LINES}, 202),
    ):
        answer = api.call(event, session_id, body=body)
        assert answer.status == status, answer.text[:500]
        laps = answer.json["laps"]
        assert [lap["lapNumber"] for lap in laps] == list(range(1, MOST_LAPS + 1)), event
        # As Lambda counts it: the body is a text in JSON, with each of its quotes escaped.
        assert len(json.dumps(vars(answer))) < 0.8 * _LAMBDA_BYTES, event
    assert len(laps) == MOST_LAPS


def _tcx(day: int, laps: int) -> bytes:
    """A lap each ten seconds, of three points."""
    begin = datetime(2024, 5, day, tzinfo=UTC)
    written = []
    for number in range(laps):
        moments = [f"{begin + timedelta(seconds=10 * number + second):%Y-%m-%dT%H:%M:%SZ}" for second in (0, 4, 8)]
        points = "".join(
            f"<Trackpoint><Time>{moment}</Time><Position><LatitudeDegrees>52.{second}</LatitudeDegrees>"
            "<LongitudeDegrees>1.0</LongitudeDegrees></Position></Trackpoint>"
            for second, moment in enumerate(moments)
        )
        written.append(
            f"<Lap StartTime='{moments[0]}'><TotalTimeSeconds>{10 + number % 7}</TotalTimeSeconds>"
            f"<Track>{points}</Track></Lap>"
        )
    return (
        "<TrainingCenterDatabase xmlns='http://www.garmin.com/xmlschemas/TrainingCenterDatabase/v2'><Activities>"
        f"<Activity Sport='Other'>{''.join(written)}</Activity></Activities></TrainingCenterDatabase>"
    ).encode()


def test_laps_beyond_the_most_are_counted_and_not_recorded(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one file more than it may have; of the session's files together more than it may have."""
    for module in (reader, tcx_points, detect_laps):
        monkeypatch.setattr(module, "MOST_LAPS", 40)
    first, second = (api.uploaded(_tcx(day, laps), fileName=f"{day}.tcx") for day, laps in ((1, 25), (2, 43)))
    session_id = api.call("uploads_finalise", second, body={"artifactIds": [first]}).json["sessionId"]
    api.harness.drain()

    detail = api.call("sessions_get", session_id).json
    assert detail["status"] == "ready", detail
    told = [one["quality"].get("lapsLeftOut") for one in detail["datasets"] if one["stream"] == "gnss_pvt"]
    assert told == [None, 3]
    assert (detail["summary"]["lapCount"], detail["summary"]["lapsLeftOut"]) == (68, 28)
    laps = api.call("sessions_laps", session_id).json["laps"]
    assert [lap["lapNumber"] for lap in laps] == list(range(1, 41))
    assert [lap["startTimeUtc"][:10] for lap in laps] == ["2024-05-01"] * 25 + ["2024-05-02"] * 15
    assert (detail["summary"]["bestLapNumber"] or 1) <= 40

    # Laps at the owner's own line are none of the file's.
    api.call("sessions_gate", session_id, body=_LINE)
    api.harness.drain()
    summary = api.call("sessions_get", session_id).json["summary"]
    assert (summary["lapCount"], "lapsLeftOut" in summary) == (0, False)


# Quality reports


def test_reports_of_many_wide_files_fit_into_an_answer(api: ApiClient) -> None:
    """Of 21 files each with a thousand channels whose names hold what JSON writes longest."""
    session_id = _with_laps(api, MOST_LAPS)
    (short,) = api.harness.sql("SELECT * FROM telemetry_datasets WHERE stream = 'gnss_pvt'")
    wide = {
        "rowsKept": 1,
        "channels": {f'{number}"""\\ü' + "x" * 40: {"values": 10**6, "unit": "m/s"} for number in range(1024)},
        "badCells": {f'{number}"""\\ü' + "x" * 40: {"count": 9, "firstRows": [10**6] * 5} for number in range(1024)},
    }
    api.harness.sql(
        """INSERT INTO telemetry_datasets (session_id, run_id, artifact_id, stream, storage_path, schema_version,
               row_count, byte_size, sha256, start_time_utc, end_time_utc, quality)
           SELECT session_id, run_id, artifact_id, 'vehicle_' || number, storage_path || number, schema_version,
               row_count, byte_size, sha256, start_time_utc, end_time_utc, CAST(:quality AS jsonb)
           FROM telemetry_datasets, generate_series(1, 21) AS number WHERE id = :id""",
        id=short["id"],
        quality=json.dumps(wide),
    )
    for event in ("sessions_get", "sessions_datasets"):
        answer = api.call(event, session_id)
        assert answer.status == 200
        assert len(json.dumps(vars(answer))) < 0.8 * _LAMBDA_BYTES, event
        reports = [one["quality"] for one in answer.json["datasets"] if one["stream"].startswith("vehicle")]
        whole = [report for report in reports if report == wide]
        assert len(whole) > 5
        assert [report for report in reports if report != wide] == [
            {"rowsKept": 1, "leftOut": ["channels", "badCells"]}
        ] * (21 - len(whole))
        (first,) = (one["quality"] for one in answer.json["datasets"] if one["stream"] == "gnss_pvt")
        assert first == short["quality"]
