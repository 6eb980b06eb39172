"""template.yaml deployed into LocalStack, built functions under the real runtime: from presigned PUT to READY."""

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.build.interpreter import RUNTIME
from infra.build.parts import host_target
from infra.local.localstack import named_endpoint
from telemetry.settings import DatabaseSettings
from tests.infra.deployment import Deployed, deployed

ROOT = Path(__file__).resolve().parents[2]
EVENTS = ROOT / "fixtures" / "events"
TRACK = ROOT / "fixtures" / "telemetry" / "sample_track.gpx"


def _event(name: str, body: dict[str, Any] | None = None) -> Any:
    event = json.loads((EVENTS / name).read_text())
    event.update(rawQueryString="", queryStringParameters=None)
    if body is not None:
        event["body"] = json.dumps(body)
    return event


def _migrate(stack: Deployed) -> None:
    """Plays CloudFormation, whose custom resources LocalStack's community edition leaves out."""
    s3 = stack.client("s3")
    s3.create_bucket(Bucket="answers")
    resource = {
        "RequestType": "Create",
        "ResponseURL": s3.generate_presigned_url("put_object", Params={"Bucket": "answers", "Key": "migrations"}),
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "Migrations",
        "ResourceProperties": {"ApplicationRole": ""},
    }
    stack.invoke("MigrateFunction", resource)
    told = json.loads(s3.get_object(Bucket="answers", Key="migrations")["Body"].read())
    assert (told["Status"], told["LogicalResourceId"]) == ("SUCCESS", "Migrations")
    assert told["Data"]["current"] == told["Data"]["head"]


def _upload(stack: Deployed, name: str, content: bytes) -> None:
    """Announces and PUTs a recording that its own arrival finalises."""
    announcement = {
        "fileName": name,
        "contentType": "application/gpx+xml",
        "byteSize": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "finaliseOnReceipt": True,
    }
    answer = stack.invoke("UploadsFunction", _event("uploads_create.json", announcement))
    assert answer["statusCode"] == 201, answer
    upload = json.loads(answer["body"])["upload"]
    wrong = httpx.put(upload["url"], content=content[:-1] + b" ", headers=upload["headers"])
    assert wrong.status_code in (400, 403)  # signed for these bytes alone
    assert httpx.put(upload["url"], content=content, headers=upload["headers"]).status_code == 200


def _ready(stack: Deployed, name: str, seconds: float) -> dict[str, Any]:
    """The session of this name, once it is ready."""
    limit = time.monotonic() + seconds
    while True:
        sessions = json.loads(stack.invoke("SessionsFunction", _event("sessions_list.json"))["body"])["sessions"]
        found = [session for session in sessions if session["name"] == name]
        if found and found[0]["status"] == "ready":
            return dict(found[0])
        assert time.monotonic() < limit, sessions
        time.sleep(0.3)


def _lose_every_nudge(stack: Deployed) -> None:
    client = stack.client("lambda")
    queue = stack.outputs["NudgeQueueArn"]
    (mapping,) = client.list_event_source_mappings(EventSourceArn=queue)["EventSourceMappings"]
    client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    limit = time.monotonic() + 30
    while client.get_event_source_mapping(UUID=mapping["UUID"])["State"] != "Disabled":
        assert time.monotonic() < limit
        time.sleep(0.2)


@pytest.mark.skipif(named_endpoint() is not None, reason="a named LocalStack runs functions in containers of its own")
def test_recordings_through_the_deployed_template(
    tmp_path: Path, empty_database_settings: DatabaseSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    if host_target().python != RUNTIME:
        with capsys.disabled():
            sys.stdout.write(f"\nno Python {RUNTIME} here: built for and run by {host_target().python}\n")
    with deployed(tmp_path, empty_database_settings) as stack:
        _migrate(stack)

        # S3 event → object_created → nudge → worker.
        _upload(stack, "nudged.gpx", TRACK.read_bytes())
        first = _ready(stack, "nudged", 60)
        assert first["summary"]["points"] == 600
        objects = stack.client("s3").list_objects_v2(Bucket=stack.outputs["CanonicalBucketName"])["Contents"]
        assert any(entry["Key"].endswith("/gnss_pvt.parquet") for entry in objects)
        assert "Contents" not in stack.client("s3").list_objects_v2(Bucket=stack.outputs["RawBucketName"])

        # The same without any nudge: the schedule alone finds the work.
        _lose_every_nudge(stack)
        _upload(stack, "scheduled.gpx", TRACK.read_bytes().replace(b"<trk>", b"<trk> ", 1))
        assert _ready(stack, "scheduled", 60)["summary"] == first["summary"]
        nudges = stack.client("sqs").get_queue_attributes(
            QueueUrl=stack.outputs["NudgeQueueUrl"], AttributeNames=["ApproximateNumberOfMessages"]
        )
        assert int(nudges["Attributes"]["ApproximateNumberOfMessages"]) >= 1  # they lie there, and nobody read them
