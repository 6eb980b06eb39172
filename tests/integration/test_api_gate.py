"""The owner's start/finish line: through the real handler and worker, on a real database and a directory."""

import io
import json
import threading
from typing import Any
from uuid import UUID

import pyarrow.parquet as pq
import pytest

from fixtures.circuit import start_finish_line
from telemetry import queue
from telemetry.domain.owner import Owner
from telemetry.domain.states import JobType
from telemetry.errors import Code, TelemetryError
from telemetry.gate import set_gate
from telemetry.laps.found import find_laps
from telemetry.pipeline import detect_laps
from telemetry.services import Services
from tests.plugins.api import ApiClient
from tests.plugins.harness import SAMPLES
from tests.plugins.postgres import connect

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()
NAMES = ("latitude1Deg", "longitude1Deg", "latitude2Deg", "longitude2Deg")
LINE: dict[str, Any] = dict(zip(NAMES, start_finish_line(), strict=True))
FAR_AWAY = {"latitude1Deg": 10.0, "longitude1Deg": 10.0, "latitude2Deg": 10.0001, "longitude2Deg": 10.0001}


def ready(api: ApiClient) -> str:
    session_id = api.session_of(CSV)
    api.harness.drain()
    return session_id


def laps(api: ApiClient, session_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.call("sessions_laps", session_id).json["laps"]
    return found


def test_laps_are_found_without_a_line_and_again_at_the_owners(api: ApiClient) -> None:
    session_id = ready(api)
    before = laps(api, session_id)
    assert [lap["kind"] for lap in before] == ["out", "timed", "timed", "in"]
    assert {lap["source"] for lap in before} == {"detected"}

    answer = api.call("sessions_gate", session_id, body=LINE)
    assert answer.status == 202, answer.text
    assert answer.json["status"] == "ready"
    assert answer.json["gate"] == LINE | {"sectors": []}
    assert answer.json["progress"]["job"] == "detect_laps"
    assert laps(api, session_id) == before, "the old laps stay until the new ones take their place"

    api.harness.drain()
    detail = api.call("sessions_get", session_id).json
    assert (detail["status"], detail.get("progress"), detail["gate"]) == ("ready", None, answer.json["gate"])
    after = laps(api, session_id)
    assert [lap["kind"] for lap in after] == ["out", "timed", "timed", "in"]
    assert after[1]["startTimeUtc"] != before[1]["startTimeUtc"]
    assert detail["summary"]["lapCount"] == 4
    assert detail["summary"]["bestLapMs"] == min(lap["durationMs"] for lap in after[1:3])
    assert detail["summary"]["theoreticalBestMs"] is None
    jobs = api.harness.sql("SELECT job_type FROM telemetry_jobs ORDER BY created_at")
    assert [job["job_type"] for job in jobs[4:]] == ["discard_raw", "detect_laps"], "nothing follows another search"


def test_a_line_nudges_the_workers_once_the_search_is_there(api: ApiClient, nudges: list[list[str]]) -> None:
    session_id = ready(api)
    nudges.clear()
    assert api.call("sessions_gate", session_id, body=LINE).status == 202
    assert nudges == [["detect_laps"]]


def test_sectors_add_up_and_give_the_theoretical_best(api: ApiClient) -> None:
    session_id = ready(api)
    first_lap = laps(api, session_id)[1]
    # Two places of the circuit, as lines across it: where the first timed lap was after a third and two thirds.
    rows = [line.split(",") for line in CSV.decode().splitlines()[1:]]
    begin = next(i for i, row in enumerate(rows) if row[0] >= first_lap["startTimeUtc"][:21])
    sectors = []
    for share in (1 / 3, 2 / 3):
        at = begin + round(share * 433)
        (lat_a, lon_a), (lat_b, lon_b) = ((float(rows[i][1]), float(rows[i][2])) for i in (at, at + 1))
        north, east = lat_b - lat_a, (lon_b - lon_a) * 0.615
        size = (north**2 + east**2) ** 0.5
        dlat, dlon = -east / size * 1e-4, north / size * 1e-4 / 0.615
        sectors.append(dict(zip(NAMES, (lat_a - dlat, lon_a - dlon, lat_a + dlat, lon_a + dlon), strict=True)))
    assert api.call("sessions_gate", session_id, body=LINE | {"sectors": sectors[::-1]}).status == 202
    api.harness.drain()
    timed = [lap for lap in laps(api, session_id) if lap["kind"] == "timed"]
    for lap in timed:
        assert len(lap["sectorsMs"]) == 3
        assert sum(lap["sectorsMs"]) == pytest.approx(lap["durationMs"])
    best = sum(min(lap["sectorsMs"][k] for lap in timed) for k in range(3))
    summary = api.call("sessions_get", session_id).json["summary"]
    assert summary["theoreticalBestMs"] == pytest.approx(best)
    assert summary["theoreticalBestMs"] <= summary["bestLapMs"]


def test_each_lap_against_the_best_is_a_dataset(api: ApiClient) -> None:
    session_id = ready(api)

    def lap_delta() -> tuple[dict[str, Any], Any]:
        (row,) = api.harness.sql(
            "SELECT * FROM telemetry_datasets WHERE session_id = :id AND stream = 'lap_delta'", id=UUID(session_id)
        )
        with api.harness.services.canonical.open(row["storage_path"]) as stream:
            return row, pq.read_table(io.BytesIO(stream.read(1 << 26)))

    row, table = lap_delta()
    assert row["row_count"] == table.num_rows == 2 * 1001
    timed = {lap["lapNumber"]: lap["durationMs"] for lap in laps(api, session_id) if lap["kind"] == "timed"}
    best = min(timed.values())
    for number, duration in timed.items():
        rows = [one for one in table.to_pylist() if one["lap_number"] == number]
        distances = [one["distance_m"] for one in rows]
        assert distances == sorted(distances)
        assert (rows[0]["elapsed_ms"], rows[0]["delta_ms"]) == (pytest.approx(0, abs=1e-3), pytest.approx(0, abs=1e-3))
        assert rows[-1]["elapsed_ms"] == pytest.approx(duration, abs=2e-3)
        assert rows[-1]["delta_ms"] == pytest.approx(duration - best, abs=2e-3)
    api.call("sessions_gate", session_id, body=LINE)
    api.harness.drain()
    again, _ = lap_delta()
    assert again["storage_path"] != row["storage_path"]


def test_a_line_that_nobody_passes_gives_no_laps_and_no_error(api: ApiClient) -> None:
    session_id = ready(api)
    api.call("sessions_gate", session_id, body=FAR_AWAY)
    api.harness.drain()
    detail = api.call("sessions_get", session_id).json
    assert (detail["status"], detail["laps"], detail["summary"]["lapCount"]) == ("ready", [], 0)
    assert [dataset["stream"] for dataset in detail["datasets"]] == ["gnss_pvt"]


@pytest.mark.parametrize(
    "changed",
    [
        {"latitude1Deg": 91},
        {"latitude1Deg": str(LINE["latitude1Deg"])},
        {"longitude2Deg": None},
        {"latitude2Deg": LINE["latitude1Deg"], "longitude2Deg": LINE["longitude1Deg"]},
        {"latitude2Deg": LINE["latitude1Deg"] + 0.1},
        {"sectors": [{"latitude1Deg": 1}]},
        {"course": 4},
    ],
)
def test_lines_that_are_none_are_refused(api: ApiClient, changed: dict[str, Any]) -> None:
    session_id = ready(api)
    answer = api.call("sessions_gate", session_id, body=LINE | changed)
    assert (answer.status, answer.json["code"]) == (422, "REQUEST_INVALID"), answer.text
    assert "gate" not in api.call("sessions_get", session_id).json


@pytest.mark.parametrize(("latitude", "status"), [(0.0, 422), (60.0, 202), (-60.0, 202)])
def test_a_degree_of_longitude_is_shorter_far_from_the_equator(api: ApiClient, latitude: float, status: int) -> None:
    # 0.0135 degrees: 1503 m on the equator, 751 m at 60 degrees.
    line = {"latitude1Deg": latitude, "longitude1Deg": 7.0, "latitude2Deg": latitude, "longitude2Deg": 7.0135}
    assert api.call("sessions_gate", ready(api), body=line).status == status


def test_another_owners_session_and_one_at_work_are_refused(api: ApiClient) -> None:
    session_id = api.session_of(CSV)
    answer = api.call("sessions_gate", session_id, body=LINE)
    assert (answer.status, answer.json["code"]) == (409, "SESSION_NOT_READY")
    assert int(answer.headers["Retry-After"]) > 0
    api.harness.drain()
    stranger = api.as_owner("owner-2").call("sessions_gate", session_id, body=LINE)
    assert (stranger.status, stranger.json["code"]) == (404, "NOT_FOUND")


def test_a_line_given_while_laps_are_found_is_not_lost(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    session_id = ready(api)
    api.call("sessions_gate", session_id, body=FAR_AWAY)
    seen = 0

    def while_another_comes(*arguments: Any, **named: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == 1:
            # As another execution environment would: over a connection of its own.
            other = Services(api.harness.services.settings)
            set_gate(other, Owner("owner-1", "owner-1"), UUID(session_id), LINE | {"sectors": []})
            other.database.close()
        return find_laps(*arguments, **named)

    monkeypatch.setattr(detect_laps, "find_laps", while_another_comes)
    api.harness.drain()
    assert seen == 2
    assert [lap["kind"] for lap in laps(api, session_id)] == ["out", "timed", "timed", "in"]


def test_a_search_that_ends_waits_for_a_line_being_given(api: ApiClient) -> None:
    session_id = ready(api)
    api.call("sessions_gate", session_id, body=FAR_AWAY)
    worker = threading.Thread(target=api.harness.drain, daemon=True)
    with connect(api.harness.services.settings.database) as sql:
        sql.run("BEGIN")
        sql.run("UPDATE telemetry_sessions SET gate = CAST(:gate AS jsonb)", gate=json.dumps(LINE | {"sectors": []}))
        worker.start()
        api.harness.await_waiter()
        sql.run("COMMIT")
    worker.join(60)
    assert not worker.is_alive()
    assert [lap["kind"] for lap in laps(api, session_id)] == ["out", "timed", "timed", "in"]


def test_a_search_that_failed_for_good_is_said_until_the_line_is_given_again(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = ready(api)
    before = laps(api, session_id)
    assert "gateFailure" not in api.call("sessions_get", session_id).json

    def broken(*_: Any, **__: Any) -> Any:
        raise TelemetryError(Code.PROCESSING_TIMEOUT, "detect_laps needs more than the worker's time")

    api.call("sessions_gate", session_id, body=LINE)
    with monkeypatch.context() as spoilt:
        spoilt.setattr(detect_laps, "find_laps", broken)
        api.harness.drain()
    detail = api.call("sessions_get", session_id).json
    assert (detail["status"], "progress" in detail, "failure" in detail) == ("ready", False, False)
    assert detail["gateFailure"]["code"] == "PROCESSING_TIMEOUT"
    assert "worker" not in detail["gateFailure"]["message"]
    assert laps(api, session_id) == before, "the laps from before stay"

    again = api.call("sessions_gate", session_id, body=LINE).json
    assert (again["progress"]["job"], "gateFailure" in again) == ("detect_laps", False)
    api.harness.drain()
    assert "gateFailure" not in api.call("sessions_get", session_id).json
    assert laps(api, session_id) != before


def test_a_line_given_while_the_session_is_being_deleted_finds_none(api: ApiClient) -> None:
    session_id = ready(api)
    others = Services(api.harness.services.settings)
    refused: list[Exception] = []

    def give() -> None:
        try:
            set_gate(others, Owner("owner-1", "owner-1"), UUID(session_id), LINE | {"sectors": []})
        except Exception as error:
            refused.append(error)

    giver = threading.Thread(target=give, daemon=True)
    with connect(api.harness.services.settings.database) as sql:
        sql.run("BEGIN")
        sql.run("SELECT id FROM telemetry_processing_runs FOR UPDATE")
        giver.start()
        api.harness.await_waiter()
        sql.run("DELETE FROM telemetry_sessions")
        sql.run("COMMIT")
    giver.join(60)
    assert not giver.is_alive()
    others.database.close()
    (error,) = refused
    assert isinstance(error, TelemetryError), error
    assert error.code is Code.NOT_FOUND


def test_lines_given_at_the_same_time_start_one_search(api: ApiClient) -> None:
    session_id = ready(api)
    barrier, answers = threading.Barrier(4), []

    def give(shift: int) -> None:
        services = Services(api.harness.services.settings)
        barrier.wait(30)
        line = LINE | {"latitude1Deg": LINE["latitude1Deg"] + shift * 1e-6, "sectors": []}
        answers.append(set_gate(services, Owner("owner-1", "owner-1"), UUID(session_id), line))
        services.database.close()

    threads = [threading.Thread(target=give, args=(shift,)) for shift in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 4
    jobs = []
    while (job := queue.claim(api.harness.database, "test")) is not None:
        jobs.append(job)
    assert [job.job_type for job in jobs] == [JobType.DETECT_LAPS]
    kept = json.dumps(api.call("sessions_get", session_id).json["gate"], sort_keys=True)
    assert kept in {json.dumps(answer.gate, sort_keys=True) for answer in answers}
