"""The invariants A to H over database and stores, checked by one function after every fault.

A  at most one live job per (run, job type); what is terminal stays terminal
B  attempt_count never falls, never passes max_attempts
C  READY: every dataset's object exists and its SHA-256 matches, and the attempt that wrote it is the one that counts
D  raw bytes gone: READY, or expired by policy
E  everything comes to an end
F  no owner sees another's rows
G  failures have a code; a permanent one is not tried again
H  same bytes give the same canonical bytes
"""

import hashlib
import io
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from telemetry import recording, sessions
from telemetry.domain.owner import Owner
from telemetry.domain.states import (
    ARTIFACT_TRANSITIONS,
    JOB_TRANSITIONS,
    RUN_TRANSITIONS,
    SESSION_TRANSITIONS,
)
from telemetry.domain.streams import LAP_DELTA
from telemetry.errors import CATALOGUE, Code, TelemetryError
from telemetry.formats.reader import Origin
from telemetry.storage.protocol import FileStore, ObjectMissing
from tests.plugins.harness import Harness

_Row: TypeAlias = dict[str, Any]
_Tables: TypeAlias = dict[str, list[_Row]]

_TRANSITIONS: dict[str, Mapping[Any, frozenset[Any]]] = {
    "telemetry_artifacts": ARTIFACT_TRANSITIONS,
    "telemetry_sessions": SESSION_TRANSITIONS,
    "telemetry_processing_runs": RUN_TRANSITIONS,
    "telemetry_jobs": JOB_TRANSITIONS,
}
_LIVE = ("QUEUED", "RUNNING")
# Not the bytes' fault, so a job may meet them and be tried again: see `execute` and `rescue`.
_MAY_PASS = {Code.WORKER_LOST, Code.PROCESSING_TIMEOUT}
_STRANGER = Owner("a stranger", "a stranger")


def record_history(harness: Harness) -> None:
    """From here on every change of a state or an attempt count is noted in a table of the test's own."""
    harness.sql(
        """CREATE TABLE faults_history (number bigint GENERATED ALWAYS AS IDENTITY, place text, row_id uuid,
               old_status text, new_status text, old_attempt integer, new_attempt integer)"""
    )
    harness.sql(
        """CREATE FUNCTION faults_note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
           BEGIN
               INSERT INTO faults_history (place, row_id, old_status, new_status, old_attempt, new_attempt)
               VALUES (TG_TABLE_NAME, NEW.id, OLD.status, NEW.status,
                       CAST(to_jsonb(OLD) ->> 'attempt_count' AS integer),
                       CAST(to_jsonb(NEW) ->> 'attempt_count' AS integer));
               RETURN NULL;
           END $$"""
    )
    for table in _TRANSITIONS:
        harness.sql(
            f"""CREATE TRIGGER faults_note AFTER UPDATE ON {table} FOR EACH ROW
                WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION faults_note()"""
        )


def violations(
    harness: Harness, *, settled: bool = True, sources: Mapping[str, bytes] | None = None, objects: bool = True
) -> list[str]:
    """Every invariant that does not hold; empty when all do.

    Parameters
    ----------
    settled : False while work is going on: then only what must hold at any moment is looked at.
    sources : raw bytes by their SHA-256, to make the canonical files of them once more.
    objects : False leaves the stores aside.
    """
    tables = _snapshot(harness)
    found = [*_single_and_terminal(tables), *_attempts(tables), *_chain(tables), *_owners(tables), *_codes(tables)]
    if settled:
        found += _ended(tables)
    if objects:
        found += [*_canonical(harness, tables, settled=settled), *_raw(harness, tables, settled=settled)]
        found += _strangers(harness, tables)
        found += _same_bytes(harness, tables, sources or {})
    return found


def _snapshot(harness: Harness) -> _Tables:
    """All tables as of one moment."""
    harness.sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        names = ("artifacts", "sessions", "processing_runs", "jobs", "datasets", "laps", "devices")
        tables = {name: harness.sql(f"SELECT * FROM telemetry_{name} ORDER BY created_at, id") for name in names}
        tables["history"] = harness.sql("SELECT * FROM faults_history ORDER BY number")
    finally:
        harness.sql("COMMIT")
    return tables


def _single_and_terminal(tables: _Tables) -> Iterator[str]:
    live: dict[tuple[Any, str], int] = defaultdict(int)
    for job in tables["jobs"]:
        if job["status"] in _LIVE:
            live[job["run_id"], job["job_type"]] += 1
    for (run_id, job_type), count in live.items():
        if count > 1:
            yield f"A: run {run_id} has {count} live jobs {job_type}"
    for step in tables["history"]:
        if step["new_status"] not in _TRANSITIONS[step["place"]][step["old_status"]]:
            yield f"A: {step['place']} {step['row_id']} went from {step['old_status']} to {step['new_status']}"


def _attempts(tables: _Tables) -> Iterator[str]:
    for job in tables["jobs"]:
        if job["attempt_count"] > job["max_attempts"]:
            yield f"B: job {job['id']} had {job['attempt_count']} attempts of {job['max_attempts']}"
    for step in tables["history"]:
        if step["place"] != "telemetry_jobs":
            continue
        claimed = (step["old_status"], step["new_status"]) == ("QUEUED", "RUNNING")
        if step["new_attempt"] - step["old_attempt"] != int(claimed):
            yield f"B: job {step['row_id']} counted {step['old_attempt']} to {step['new_attempt']}"


def _chain(tables: _Tables) -> Iterator[str]:
    """E, at any moment: what has not ended has exactly one job that brings it on; what has ended agrees in all rows."""
    runs, jobs = defaultdict(list), defaultdict(list)
    for run in tables["processing_runs"]:
        runs[run["session_id"]].append(run)
    for job in tables["jobs"]:
        jobs[job["run_id"]].append(job)
    for session in tables["sessions"]:
        states = [run["status"] for run in runs[session["id"]]]
        live = [state for state in states if state in _LIVE]
        expected = {"PROCESSING": None, "READY": "SUCCEEDED", "FAILED": "FAILED", "CANCELLED": "CANCELLED"}
        latest = expected[session["status"]]
        if (latest is None and len(live) != 1) or (latest is not None and (live or states[-1] != latest)):
            yield f"E: session {session['id']} is {session['status']}, its runs are {states}"
    for run in tables["processing_runs"]:
        mine = jobs[run["id"]]
        live = [job["job_type"] for job in mine if job["status"] in _LIVE]
        if run["status"] in _LIVE and len(live) != 1:
            yield f"E: run {run['id']} is {run['status']} with live jobs {live}"
        if run["status"] in ("FAILED", "CANCELLED") and live:
            yield f"E: run {run['id']} is {run['status']} with live jobs {live}"
        # After the success come the discard of raw bytes, and the search for laps at another line.
        if run["status"] == "SUCCEEDED" and not set(live) <= {"discard_raw", "detect_laps"}:
            yield f"E: run {run['id']} succeeded with live jobs {live}"
        for job in mine:
            if (job["status"] == "RUNNING") != (job["locked_by"] is not None):
                yield f"B: job {job['id']} is {job['status']}, locked by {job['locked_by']}"


def _ended(tables: _Tables) -> Iterator[str]:
    for table, open_states in (("jobs", _LIVE), ("processing_runs", _LIVE), ("sessions", ("PROCESSING",))):
        for row in tables[table]:
            if row["status"] in open_states:
                yield f"E: {table} {row['id']} is still {row['status']}"


def _canonical(harness: Harness, tables: _Tables, *, settled: bool) -> Iterator[str]:
    runs = {run["id"]: run for run in tables["processing_runs"]}
    attempts = defaultdict(set)
    for job in tables["jobs"]:
        if job["status"] == "SUCCEEDED":
            attempts[job["run_id"], job["job_type"]].add(job["attempt_count"])
    ready = {session["id"] for session in tables["sessions"] if session["status"] == "READY"}
    tracks = set()
    for dataset in tables["datasets"]:
        run, path = runs[dataset["run_id"]], dataset["storage_path"]
        if run["status"] in ("FAILED", "CANCELLED"):
            yield f"C: dataset {dataset['id']} of a run that is {run['status']}"
            continue
        # Lap deltas are made with the laps, and again at another line; all else is made by parsing.
        counted = attempts[run["id"], "detect_laps" if dataset["stream"] == LAP_DELTA else "parse_raw"]
        if not any(f"/{run['id']}/{dataset['artifact_id']}/{attempt}-" in path for attempt in counted):
            yield f"C: dataset {dataset['id']} was not written by attempt {sorted(counted)}, which counts"
        content = _content(harness.services.canonical, path)
        if content is None:
            yield f"C: dataset {dataset['id']} has no object"
        elif (len(content), hashlib.sha256(content).hexdigest()) != (dataset["byte_size"], dataset["sha256"]):
            yield f"C: the object of dataset {dataset['id']} has other bytes"
        if run["status"] == "SUCCEEDED" and dataset["stream"] == "gnss_pvt":
            tracks.add(dataset["session_id"])
    for session_id in ready - tracks:
        yield f"C: session {session_id} is READY without a track"
    if settled:
        folders = {dataset["storage_path"].rpartition("/")[0] for dataset in tables["datasets"]}
        for path in harness.canonical_paths():
            if path.rpartition("/")[0] not in folders:
                yield f"C: orphan {path}"


def _raw(harness: Harness, tables: _Tables, *, settled: bool) -> Iterator[str]:
    states = {session["id"]: session["status"] for session in tables["sessions"]}
    ended = {run["session_id"]: run["finished_at"] for run in tables["processing_runs"]}
    stored = harness.raw_paths()
    retention_s = harness.services.settings.failed_raw_retention_days * 86_400
    for artifact in tables["artifacts"]:
        state = states.get(artifact["session_id"])
        gone, discarded = artifact["storage_path"] not in stored, artifact["discarded_at"]
        if gone and artifact["received_at"] is not None:
            by_policy = artifact["status"] == "EXPIRED" or (
                state in ("FAILED", "CANCELLED")
                and discarded is not None
                and (discarded - ended[artifact["session_id"]]).total_seconds() >= retention_s
            )
            if state != "READY" and not by_policy:
                yield f"D: raw bytes of artifact {artifact['id']} are gone, its session is {state}"
        if settled and discarded is not None and not gone:
            yield f"D: raw bytes of the discarded artifact {artifact['id']} are there"
    if settled:
        for path in stored - {artifact["storage_path"] for artifact in tables["artifacts"]}:
            yield f"D: orphan {path}"


def _owners(tables: _Tables) -> Iterator[str]:
    sessions_by_id = {session["id"]: session for session in tables["sessions"]}
    devices = {device["id"]: device["owner_user_id"] for device in tables["devices"]}
    artifacts = {artifact["id"]: artifact for artifact in tables["artifacts"]}
    for artifact in tables["artifacts"]:
        session = sessions_by_id.get(artifact["session_id"])
        if session and any(session[name] != artifact[name] for name in ("owner_user_id", "tenant_id")):
            yield f"F: artifact {artifact['id']} lies in another owner's session"
    for session in tables["sessions"]:
        if session["device_id"] and devices[session["device_id"]] != session["owner_user_id"]:
            yield f"F: session {session['id']} names another owner's device"
    for dataset in tables["datasets"]:
        if artifacts[dataset["artifact_id"]]["session_id"] != dataset["session_id"]:
            yield f"F: dataset {dataset['id']} was made of another session's artifact"
        if f"/{dataset['session_id']}/" not in dataset["storage_path"]:
            yield f"F: dataset {dataset['id']} lies outside its session's prefix"


def _strangers(harness: Harness, tables: _Tables) -> Iterator[str]:
    if sessions.list_sessions(harness.services, _STRANGER).sessions or sessions.list_devices(
        harness.services, _STRANGER
    ):
        yield "F: a stranger's lists are not empty"
    for session in tables["sessions"][:20]:
        try:
            sessions.get_session(harness.services, _STRANGER, session["id"])
        except TelemetryError as error:
            if error.code is Code.NOT_FOUND:
                continue
        yield f"F: a stranger sees session {session['id']}"


def _codes(tables: _Tables) -> Iterator[str]:
    for run in tables["processing_runs"]:
        if (run["status"] == "FAILED") != (run["error_code"] in Code.__members__):
            yield f"G: run {run['id']} is {run['status']} with the code {run['error_code']}"
    for job in tables["jobs"]:
        code = job["last_error_code"]
        if code is None:
            if job["status"] == "FAILED":
                yield f"G: job {job['id']} failed without a code"
        elif code not in Code.__members__:
            yield f"G: job {job['id']} has the unknown code {code}"
        elif job["status"] in ("FAILED", "CANCELLED") or CATALOGUE[Code(code)].retryable or code in _MAY_PASS:
            continue
        else:
            yield f"G: job {job['id']} went on after {code}, which is permanent"


def _same_bytes(harness: Harness, tables: _Tables, sources: Mapping[str, bytes]) -> Iterator[str]:
    runs = {run["id"]: run["status"] for run in tables["processing_runs"]}
    artifacts = {artifact["id"]: artifact for artifact in tables["artifacts"]}
    made: dict[tuple[Any, Any], dict[str, str]] = {}
    for dataset in tables["datasets"]:
        artifact = artifacts[dataset["artifact_id"]]
        content = sources.get(artifact["sha256"])
        if content is None or runs[dataset["run_id"]] != "SUCCEEDED" or dataset["stream"] == LAP_DELTA:
            continue
        key = (dataset["run_id"], artifact["id"])
        if key not in made:
            made[key] = _canonical_hashes(content, artifact, dataset)
        if made[key].get(dataset["stream"]) != dataset["sha256"]:
            yield f"H: dataset {dataset['id']} is not what its bytes give again"


def _canonical_hashes(content: bytes, artifact: _Row, dataset: _Row) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as directory:
        again = recording.canonicalise(
            io.BytesIO(content),
            Origin(file_name=artifact["original_file_name"], uploaded_at=artifact["uploaded_at"]),
            identity=recording.Identity(
                session_id=str(dataset["session_id"]), run_id=str(dataset["run_id"]), artifact_id=str(artifact["id"])
            ),
            directory=Path(directory),
        )
    return {file.stream: file.sha256 for file in again.files}


def _content(store: FileStore, path: str) -> bytes | None:
    try:
        with store.open(path) as stream:
            return b"".join(iter(lambda: stream.read(1 << 20), b""))
    except ObjectMissing:
        return None
