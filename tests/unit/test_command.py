"""The command line over a service that a test makes up: where it finds the API, what it prints, its exit codes."""

import hashlib
import json
import re
import shlex
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from infra.local import access
from infra.local.client import ClientError
from infra.local.command import damage, words
from infra.local.command.__main__ import main
from infra.local.command.parser import Exit, parser
from telemetry.api import models

URL, TOKEN = "https://api.test/api/v1/telemetry", "a.token.of.the.test"
SESSION = "00000000-0000-4000-8000-000000000001"
NOW = "2026-05-16T09:30:00Z"
PLACE = 52.0687792

Answer = Callable[[httpx.Request], httpx.Response]
Run = Callable[..., tuple[int, str, str]]


def _session(**changes: Any) -> dict[str, Any]:
    return {
        "sessionId": SESSION,
        "name": "A day",
        "status": "ready",
        "startTimeUtc": NOW,
        "endTimeUtc": NOW,
        "deviceId": None,
        "summary": {"points": 1250, "distanceM": 2897.33, "boundingBox": [PLACE, PLACE, PLACE, PLACE]},
        "createdAt": NOW,
        "updatedAt": NOW,
        "runId": None,
        "files": [],
        "datasets": [],
        "laps": [],
        **changes,
    }


def _dataset(quality: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "datasetId": str(uuid4()),
        "uploadId": str(uuid4()),
        "stream": "gnss_pvt",
        "schemaVersion": 1,
        "rowCount": 1250,
        "byteSize": 23415,
        "sha256": "0" * 64,
        "startTimeUtc": NOW,
        "endTimeUtc": NOW,
        "quality": quality,
        **changes,
    }


def _in_list(**changes: Any) -> dict[str, Any]:
    left_out = ("runId", "files", "datasets", "laps")
    return {name: value for name, value in _session(**changes).items() if name not in left_out}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs a command against `answer`; gives exit code, output and explanations. Neither ever holds a secret."""
    monkeypatch.setenv(access.URL_VARIABLE, URL)
    monkeypatch.setenv(access.TOKEN_VARIABLE, TOKEN)
    monkeypatch.setenv("STACK_DIRECTORY", str(tmp_path / "stack"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def go(answer: Answer, *arguments: str) -> tuple[int, str, str]:
        code = main(arguments, transport=httpx.MockTransport(answer))
        out, err = capsys.readouterr()
        for hidden in (TOKEN, str(PLACE), "X-Amz"):
            assert hidden not in out + err
        return code, out, err

    yield go


def _gives(status: int, body: Any = None) -> Answer:
    return lambda _: httpx.Response(status, json=body) if body is not None else httpx.Response(status)


# Where the API is


def test_what_is_given_wins_over_the_environment_and_that_over_the_local_stack(tmp_path: Path) -> None:
    local = access.Access("http://127.0.0.1:1/api/v1/telemetry", "local-token")
    environment = {access.URL_VARIABLE: "https://env.test", access.TOKEN_VARIABLE: "env-token"}
    with access.written(tmp_path, local):
        assert (tmp_path / "api.json").stat().st_mode & 0o077 == 0
        assert access.find(None, None, environment={}, directory=tmp_path) == local
        from_environment = access.find(None, None, environment=environment, directory=tmp_path)
        assert (from_environment.url, from_environment.token) == ("https://env.test", "env-token")
        given = access.find("https://given.test", "given-token", environment=environment, directory=tmp_path)
        assert (given.url, given.token) == ("https://given.test", "given-token")
        assert "given-token" not in repr(given)
        # Whom the local stack's token is not for does not get it.
        with pytest.raises(ClientError, match="No token"):
            access.find("https://given.test", None, environment={}, directory=tmp_path)
        assert access.find("http://127.0.0.1:1", None, environment={}, directory=tmp_path) == local
    with pytest.raises(ClientError, match="No address"):
        access.find(None, None, environment={}, directory=tmp_path)


def test_a_missing_address_or_token_says_what_to_set(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(access.TOKEN_VARIABLE)
    code, _, err = run(_gives(500), "devices")
    assert code == Exit.NOT_SIGNED_IN
    assert access.TOKEN_VARIABLE in err
    monkeypatch.delenv(access.URL_VARIABLE)
    code, _, err = run(_gives(500), "devices")
    assert code == Exit.USAGE
    assert "make up" in err


# Exit codes and explanations


def test_a_refused_token_has_its_own_exit_code(run: Run) -> None:
    code, _, err = run(_gives(401, {"message": "Unauthorized"}), "sessions")
    assert code == Exit.NOT_SIGNED_IN
    assert "Sign in again" in err


def test_an_unreachable_service_has_its_own_exit_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.local.client.requests._FIRST_PAUSE_S", 0.001)

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"refused with {TOKEN}", request=request)

    code, _, err = run(refuse, "sessions")
    assert code == Exit.UNREACHABLE
    assert "api.test cannot be reached" in err


def test_an_error_of_the_service_names_the_request(run: Run) -> None:
    body = {"code": "INTERNAL_ERROR", "detail": "Something.", "requestId": "request-1"}
    code, _, err = run(_gives(500, body), "show", SESSION)
    assert code == Exit.FAILED
    assert "Request request-1" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("fly",),
        ("show", "not-an-id"),
        ("sessions", "--limit", "0"),
        ("sessions", "--from", "yesterday"),
        ("upload", "a", "--jobs", "99"),
        ("sessions", "--all", "--cursor", "x"),
    ],
)
def test_wrong_use_is_said(run: Run, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(_gives(500), *arguments)
    assert caught.value.code == Exit.USAGE
    assert "usage: telemetry" in capsys.readouterr().err


def test_one_name_for_several_files_is_wrong_use(run: Run) -> None:
    assert run(_gives(500), "upload", "a", "b", "--name", "x")[0] == Exit.USAGE


def test_no_further_file_is_begun_where_none_can_succeed(run: Run, tmp_path: Path) -> None:
    files = [tmp_path / f"{n}.csv" for n in range(5)]
    for file in files:
        file.write_text(f"{file.name}")
    asked: list[str] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(401, json={"message": "Unauthorized"})

    code, _, err = run(refuse, "upload", *map(str, files), "--jobs", "1")
    assert code == Exit.NOT_SIGNED_IN
    assert len(asked) == 1
    assert err.count("Not begun") == 4


def test_a_file_that_is_not_there_does_not_keep_the_others_back(run: Run, tmp_path: Path) -> None:
    code, out, err = run(_gives(500), "upload", str(tmp_path / "no.csv"), str(tmp_path), "--json")
    assert code == Exit.FAILED
    told = json.loads(out)
    assert ["cannot be read" in entry["error"]["message"] for entry in told] == [True, True]
    assert "no.csv cannot be read" in err


@pytest.mark.parametrize(("held", "sent_anew"), [("ab", False), ("abc", True), ("ax", True)])
def test_a_session_of_these_files_and_others_is_not_the_one_asked_for(
    run: Run, tmp_path: Path, held: str, sent_anew: bool
) -> None:
    files = [tmp_path / name for name in "ab"]
    for file in files:
        file.write_text(file.name)
    before, new = SESSION, str(uuid4())
    of_before = [
        {
            "uploadId": str(uuid4()),
            "fileName": name,
            "byteSize": 1,
            "sha256": hashlib.sha256(name.encode()).hexdigest(),
            "status": "validated",
            "format": "csv",
            "compression": None,
            "receivedAt": NOW,
            "discardedAt": None,
        }
        for name in held
    ]
    announced, joined = set[str](), list[set[str]]()

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.method == "GET":
            assert path.endswith(f"/sessions/{before}")
            return httpx.Response(200, json=_session(files=of_before))
        if request.url.host == "store.test":
            return httpx.Response(200)
        if request.method == "DELETE":
            announced.remove(path.rpartition("/")[2])
            return httpx.Response(204)
        if path.endswith("/finalise"):
            joined.append({path.split("/")[-2], *json.loads(request.read())["artifactIds"]})
            return httpx.Response(202, json={"sessionId": new, "runId": str(uuid4()), "pollUrl": "/x"})
        announced.add(upload_id := str(uuid4()))
        put = {"method": "PUT", "url": "https://store.test/x", "headers": {}, "expiresAt": NOW}
        told = {"uploadId": upload_id, "status": "uploaded", "expiresAt": NOW, "upload": put, "duplicateOf": before}
        return httpx.Response(201, json=told)

    code, out, _ = run(answer, "upload", "--session", "A day", "--jobs", "1", "--json", *map(str, files))
    assert code == Exit.DONE
    assert {told["sessionId"] for told in json.loads(out)} == {new if sent_anew else before}
    assert joined == ([announced] if sent_anew else [])
    assert len(announced) == (2 if sent_anew else 0)


# What is printed


def test_a_page_says_how_to_go_on(run: Run) -> None:
    page = {"sessions": [_in_list()], "nextCursor": "abc"}
    code, out, err = run(_gives(200, page), "sessions")
    assert code == Exit.DONE
    assert SESSION in out
    assert "2.897 km" in out
    assert "--cursor abc" in err


def test_all_pages_and_filters(run: Run) -> None:
    asked: list[dict[str, str]] = []

    def pages(request: httpx.Request) -> httpx.Response:
        asked.append(dict(request.url.params))
        last = "cursor" in request.url.params
        return httpx.Response(200, json={"sessions": [_in_list()], "nextCursor": None if last else "abc"})

    code, out, _ = run(pages, "sessions", "--all", "--json", "--status", "ready", "--from", "2026-05-16")
    assert code == Exit.DONE
    assert [entry["sessionId"] for entry in json.loads(out)["sessions"]] == [SESSION, SESSION]
    assert asked[0] == {"status": "ready", "from": "2026-05-16T00:00:00+00:00", "limit": "25"}
    assert asked[1] == {**asked[0], "cursor": "abc"}


def test_names_do_not_steer_the_terminal(run: Run) -> None:
    evil = "\x1b[2J[red]evening[/red] :smile:"
    _, out, _ = run(_gives(200, {"sessions": [_in_list(name=evil)], "nextCursor": None}), "sessions")
    assert "\x1b" not in out
    assert "[red]evening[/red] :smile:" in out
    evil += "\x9b2J\u202e"
    _, out, _ = run(_gives(200, {"sessions": [_in_list(name=evil)], "nextCursor": None}), "sessions", "--json")
    assert all(line.isprintable() for line in out.splitlines())
    assert json.loads(out)["sessions"][0]["name"] == evil


def test_json_holds_no_position_and_no_signed_address(run: Run) -> None:
    gate = dict.fromkeys(("latitude1Deg", "longitude1Deg", "latitude2Deg", "longitude2Deg"), PLACE)
    gate["longitude2Deg"] += 0.001
    code, out, _ = run(_gives(200, _session(gate=gate)), "show", SESSION, "--json")
    assert code == Exit.DONE
    assert json.loads(out)["summary"] == {"points": 1250, "distanceM": 2897.33}


def test_a_search_for_laps_that_failed_is_told_with_the_laps_from_before(run: Run) -> None:
    failure = {"code": "PROCESSING_TIMEOUT", "message": "Processing took longer than is allowed.\x1b[2J"}
    _, out, _ = run(_gives(200, _session(gateFailure=failure)), "show", SESSION)
    told = re.sub(r"\s+", " ", out)
    assert "PROCESSING_TIMEOUT: the search for laps failed, they are from before. Processing took longer" in told
    assert "\x1b" not in out
    assert "search for laps failed" not in run(_gives(200, _session()), "show", SESSION)[1]


def test_quality_reads_as_facts(run: Run) -> None:
    quality = {
        "rowsRead": 1260,
        "rejected": {"noPosition": {"count": 10, "firstRows": [12, 14]}},
        "nominalRateHz": 10.0,
        "jitterMs": 0.25,
        "gaps": {"count": 2, "listed": [{"start": NOW, "lengthS": 1.5}, {"start": NOW, "lengthS": 12.25}]},
        "positionSpikes": 3,
        "fixTypes": {"3d": 0.75, "unknown": 0.25},
        "timeBasis": "gnss_utc",
        "inferred": ["No unit is given for 'alt': m was taken."],
        "boundingBox": [PLACE, PLACE, PLACE, PLACE],
    }
    _, out, _ = run(_gives(200, _session(datasets=[_dataset(quality)])), "show", SESSION)
    for fact in (
        "1,250 of 1,260 read",
        "10: no position (first at 12, 14)",
        "10 Hz, jitter 0.25 ms",
        "2, the longest 12.25 s at 2026-05-16T09:30:00Z",
        "3 position spikes",
        "3d 75 %, unknown 25 %",
        "UTC from the receiver",
        "m was taken",
        "23.4 kB",
    ):
        assert fact in out


CUT = {"damage": {"code": "XML_MALFORMED", "detail": "line 322, column 82: no element found"}, "archiveDamage": None}


@pytest.mark.parametrize(
    ("quality", "fact"),
    [
        (CUT, "the file is cut off at line 322, column 82; what came before was read"),
        (
            {**CUT, "archiveDamage": "it ends in the middle, at byte 4926"},
            "the archive is cut off at byte 4926; what came before was read",
        ),
        (
            {"damage": {"code": "CSV_MALFORMED", "detail": "line 9: not a table from here on"}},
            "the file is damaged at line 9; what came before was read",
        ),
        ({"damage": None, "archiveDamage": "it ends before its directory"}, None),
        ({"damage": None, "archiveDamage": "bytes after the end of the gzip data were ignored"}, None),
        ({}, None),
    ],
)
def test_damage_in_people_s_words(quality: dict[str, Any], fact: str | None) -> None:
    found = damage.damage_of(quality)
    assert (damage.damage_fact(found) if found else None) == fact


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "after its first point"),
        (5, "after 5 s"),
        (98, "after 1 min 38 s"),
        (3600, "after 1 h"),
        (90_061, "after 1 d 1 h"),
    ],
)
def test_a_recording_that_is_cut_off_says_how_far_it_was_read(run: Run, seconds: int, told: str) -> None:
    end = datetime.fromisoformat(NOW) + timedelta(seconds=seconds)
    _, out, _ = run(_gives(200, _session(datasets=[_dataset(CUT, endTimeUtc=end.isoformat())])), "show", SESSION)
    assert f"a file is cut off {told}; the rest is missing" in out


def test_a_session_without_laps_says_why(run: Run) -> None:
    for status, words_ in (
        ("ready", "It has no laps."),
        ("failed", "It failed; it has no laps."),
        ("processing", "It is still processing; it has no laps."),
    ):

        def answer(request: httpx.Request, status: str = status) -> httpx.Response:
            laps = request.url.path.endswith("/laps")
            return httpx.Response(200, json={"laps": []} if laps else _session(status=status))

        assert run(answer, "laps", SESSION)[2].strip() == words_


def test_counts_and_distances_as_people_say_them() -> None:
    session = models.SessionDetail.model_validate(
        _session(summary={"points": 1, "distanceM": 999.7, "lapCount": 1}, status="ready")
    )
    assert words.in_brief(session) == "1 point, 1.000 km, 1 lap"
    qualities = [{"nominalRateHz": hz, "jitterMs": ms} for hz, ms in ((10, 0.25), (1 / 101.2, 61_900))]
    datasets = [models.Dataset.model_validate(_dataset(quality)) for quality in qualities]
    rates = [dict(words.quality_facts(dataset))["rate"] for dataset in datasets]
    assert rates == ["10 Hz, jitter 0.25 ms", "every 101.2 s, jitter 61.9 s"]


def test_a_failed_session_says_why(run: Run) -> None:
    failure = {"code": "CSV_NO_TIME_COLUMN", "message": "No time: line 1. Export it again."}
    _, out, _ = run(_gives(200, _session(status="failed", failure=failure)), "show", SESSION)
    assert "CSV_NO_TIME_COLUMN: No time: line 1. Export it again." in out


def test_laps_with_their_uncertainty_and_sectors(run: Run) -> None:
    lap = {
        "lapNumber": 2,
        "kind": "timed",
        "startTimeUtc": NOW,
        "endTimeUtc": NOW,
        "durationMs": 83456.4,
        "durationUncertaintyMs": 12.34,
        "distanceM": 5148.0,
        "maxSpeedMps": 50.0,
        "source": "detected",
        "sectorsMs": [40000.0, None],
    }
    _, out, _ = run(_gives(200, {"laps": [lap]}), "laps", SESSION)
    for cell in ("1:23.456", "12.3 ms", "5.148 km", "180.0 km/h", "S2", "0:40.000"):
        assert cell in out


def test_nothing_is_deleted_without_a_yes(run: Run) -> None:
    code, _, err = run(_gives(204), "delete", SESSION)
    assert code == Exit.USAGE
    assert "--yes" in err
    code, out, _ = run(_gives(204), "delete", SESSION, "--yes")
    assert (code, out.strip()) == (Exit.DONE, f"{SESSION}  deleted")
    code, _, err = run(_gives(404, {"code": "NOT_FOUND"}), "delete", SESSION, "--yes")
    assert code == Exit.FAILED
    assert SESSION in err


def test_a_track_goes_into_a_file_only(run: Run, tmp_path: Path) -> None:
    feature = {
        "type": "Feature",
        "geometry": {"type": "LineString", "coordinates": [[1.0, PLACE], [2.0, PLACE]]},
        "properties": {"uploadId": SESSION, "coordinateProperties": {"times": [NOW, NOW], "speedsMps": [1.0, None]}},
    }
    file = tmp_path / "new" / "track.geojson"
    answer = _gives(200, {"type": "FeatureCollection", "features": [feature]})
    assert run(answer, "track", SESSION, "-o", str(file))[0] == Exit.DONE
    assert json.loads(file.read_text())["features"][0]["geometry"]["coordinates"][0] == [1.0, PLACE]


def test_a_gate_comes_out_of_a_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "gate.json"
    line = {"latitude1Deg": PLACE, "longitude1Deg": -1.0171, "latitude2Deg": PLACE, "longitude2Deg": -1.0167}
    file.write_text(json.dumps(line))
    sent: list[Any] = []

    def take(request: httpx.Request) -> httpx.Response:
        sent.append((request.method, json.loads(request.content)))
        return httpx.Response(202, json=_session())

    assert run(take, "gate", SESSION, str(file))[0] == Exit.DONE
    assert sent == [("PUT", {**line, "sectors": []})]
    file.write_text(json.dumps({**line, "latitude2Deg": 91}))
    code, _, err = run(take, "gate", SESSION, str(file))
    assert code == Exit.FAILED
    assert "latitude2Deg" in err


# The README

README = (Path(__file__).resolve().parents[2] / "README.md").read_text("utf-8")


def test_every_command_of_the_readme_is_understood() -> None:
    lines = re.findall(r"^\.venv/bin/telemetry (.*)$", README, re.MULTILINE)
    verbs = {parser().parse_args(shlex.split(line.replace("$SESSION", SESSION), comments=True)).verb for line in lines}
    assert {"upload", "sessions", "show", "laps", "download", "track", "rename", "delete"} <= verbs


def test_the_readme_has_every_exit_code() -> None:
    section = README.partition("## Command line")[2].partition("\n## ")[0]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)] == [*Exit]


# Words


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0:00.000"), (83456.4, "1:23.456"), (59_999.6, "1:00.000"), (7_283_456, "2:01:23.456"), (None, "")],
)
def test_durations(milliseconds: float | None, text: str) -> None:
    assert words.duration(milliseconds) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (5e12, "5000.0 GB")])
def test_sizes(count: float, text: str) -> None:
    assert words.size(int(count)) == text


def test_every_signed_request_is_left_out_of_json() -> None:
    signed = {"method": "GET", "url": "https://x", "headers": {}, "expiresAt": NOW}
    upload = models.CreatedUpload.model_validate(
        {"uploadId": SESSION, "status": "uploaded", "expiresAt": NOW, "upload": signed}
    )
    assert set(words.plain(upload)) == {"uploadId", "status", "expiresAt"}
