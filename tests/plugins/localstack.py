"""Fixtures over a real S3 and SQS protocol: LocalStack in host mode, or the one that LOCALSTACK_ENDPOINT names.

`localstack.client("s3")` is a boto3 client of it; `storage_environment` is what `Settings.from_environment` takes.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from infra.local.localstack import LocalStack


@dataclass(frozen=True, slots=True)
class Buckets:
    """Names of two empty buckets."""

    raw: str
    canonical: str


@pytest.fixture(scope="session")
def localstack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """S3, SQS and CloudFormation with signatures and checksums enforced. Its credentials are in the environment."""
    server = LocalStack(tmp_path_factory.mktemp("localstack") / "data")
    try:
        server.wait()
        with pytest.MonkeyPatch.context() as environment:
            for name, value in server.environment.items():
                if name.startswith("AWS_"):
                    environment.setenv(name, value)
            yield server
    finally:
        server.stop()


@pytest.fixture
def buckets(localstack: LocalStack) -> Iterator[Buckets]:
    """Fresh raw and canonical buckets, removed afterwards."""
    unique = uuid.uuid4().hex[:12]
    made = Buckets(raw=f"raw-{unique}", canonical=f"canonical-{unique}")
    s3 = localstack.client("s3")
    for name in (made.raw, made.canonical):
        s3.create_bucket(Bucket=name)
    yield made
    for name in (made.raw, made.canonical):
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
            for entry in page.get("Contents", []):
                s3.delete_object(Bucket=name, Key=entry["Key"])
        s3.delete_bucket(Bucket=name)


@pytest.fixture
def queue_url(localstack: LocalStack) -> Iterator[str]:
    """A fresh SQS queue, removed afterwards."""
    sqs = localstack.client("sqs")
    url = sqs.create_queue(QueueName=f"queue-{uuid.uuid4().hex[:12]}")["QueueUrl"]
    yield url
    sqs.delete_queue(QueueUrl=url)


@pytest.fixture
def storage_environment(localstack: LocalStack, buckets: Buckets) -> dict[str, str]:
    """The variables that lead the service's settings to `buckets`."""
    return {
        **localstack.environment,
        "TELEMETRY_STORAGE_BACKEND": "s3",
        "TELEMETRY_OBJECT_STORAGE_RAW_BUCKET": buckets.raw,
        "TELEMETRY_OBJECT_STORAGE_CANONICAL_BUCKET": buckets.canonical,
    }
