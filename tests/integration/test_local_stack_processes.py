"""LocalStack as our child: it enforces what the service relies on, and it ends with us."""

import base64
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from infra.local.localstack import LocalStack
from infra.local.process import LOOPBACK, ROOT, StackError
from tests.plugins.localstack import Buckets


def test_signatures_and_checksums_are_enforced(localstack: LocalStack, buckets: Buckets) -> None:
    body = b"time,lat,lon\n" * 10
    checksum = base64.b64encode(hashlib.sha256(body).digest()).decode()
    url = localstack.client("s3").generate_presigned_url(
        "put_object",
        Params={"Bucket": buckets.raw, "Key": "uploads/t/a.bin", "ContentType": "text/csv", "ChecksumSHA256": checksum},
        ExpiresIn=60,
    )
    headers = {"content-type": "text/csv", "x-amz-checksum-sha256": checksum}
    with httpx.Client(trust_env=False) as client:
        other_type = client.put(url, content=body, headers=headers | {"content-type": "text/plain"})
        other_bytes = client.put(url, content=body.replace(b"t", b"u"), headers=headers)
        other_key = client.put(url.replace("a.bin", "b.bin"), content=body, headers=headers)
        right = client.put(url, content=body, headers=headers)
    assert (other_type.status_code, other_bytes.status_code, other_key.status_code) == (403, 400, 403)
    assert right.status_code == 200


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the rest of 127.0.0.0/8")
def test_nobody_but_the_loopback_is_listened_to(localstack: LocalStack) -> None:
    address = urlsplit(localstack.endpoint)
    assert address.hostname == LOOPBACK and address.port is not None
    socket.create_connection((LOOPBACK, address.port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", address.port), timeout=5).close()


def test_a_queue_takes_and_gives_a_message(localstack: LocalStack, queue_url: str) -> None:
    sqs = localstack.client("sqs")
    sqs.send_message(QueueUrl=queue_url, MessageBody="there is work")
    answer = sqs.receive_message(QueueUrl=queue_url, WaitTimeSeconds=2)
    assert [message["Body"] for message in answer["Messages"]] == ["there is work"]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child when its parent is killed outright")
def test_kill_9_of_the_parent_leaves_no_process(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from infra.local.localstack import LocalStack\n"
        "print(LocalStack(Path(sys.argv[1])).pid, flush=True); time.sleep(60)"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("LOCALSTACK_ENDPOINT", "AWS_ENDPOINT_URL")}
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "data")], cwd=ROOT, env=environment, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    with parent, parent.stdout:
        pid = int(parent.stdout.readline())
        assert _alive(pid)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    limit = time.monotonic() + 60
    while _alive(pid) and time.monotonic() < limit:
        time.sleep(0.02)
    assert not _alive(pid)


def test_a_named_endpoint_is_used_and_never_stopped(
    localstack: LocalStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALSTACK_ENDPOINT", localstack.endpoint)
    named = LocalStack(tmp_path / "unused")
    named.wait()
    assert named.pid is None
    named.stop()
    localstack.wait()


def test_a_named_endpoint_that_is_silent_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALSTACK_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(StackError, match="Nothing answers at"):
        LocalStack(tmp_path / "unused").wait()
