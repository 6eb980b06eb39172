"""Publishing the page: every file with its type, nothing stale, no token."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra.web.publish import PublishError, configuration, files, publish

BUCKET = "page"
CONFIGURATION = {"api": "https://api.example", "signIn": {"issuer": "https://login.example", "clientId": "page"}}
OUTPUTS = {
    "PageUrl": "https://telemetry.example/",
    "PageBucketName": BUCKET,
    "PageDistributionId": "E1",
    "PageConfiguration": json.dumps(CONFIGURATION),
}


class Cloud:
    """S3 as moto plays it; a stack and a distribution of its own."""

    def __init__(self, outputs: dict[str, str]) -> None:
        self.s3: Any = boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
        self.s3.create_bucket(Bucket=BUCKET)
        self._outputs = outputs
        self.invalidated: list[str] = []

    def __call__(self, service: str) -> Any:
        return self.s3 if service == "s3" else self

    def describe_stacks(self, **request: Any) -> dict[str, Any]:
        outputs = [{"OutputKey": key, "OutputValue": value} for key, value in self._outputs.items()]
        return {"Stacks": [{**request, "Outputs": outputs}]}

    def create_invalidation(self, **request: Any) -> None:
        assert request["DistributionId"] == "E1"
        self.invalidated += request["InvalidationBatch"]["Paths"]["Items"]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page of a few files."""
    for name in ("index.html", "main.js", "vendor/one/index.mjs", "screenshots/light.png", ".draft.js"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


@mock_aws
def test_the_bucket_holds_the_page_and_nothing_else(page: Path) -> None:
    cloud = Cloud(OUTPUTS)
    cloud.s3.put_object(Bucket=BUCKET, Key="old.js", Body=b"old")
    assert publish("telemetry-prod", cloud, page) == OUTPUTS["PageUrl"]
    kept = {entry["Key"] for entry in cloud.s3.list_objects_v2(Bucket=BUCKET)["Contents"]}
    assert kept == {"index.html", "main.js", "vendor/one/index.mjs", "config.json"}
    for key, kind, cache in (
        ("index.html", "text/html; charset=utf-8", "no-cache"),
        ("vendor/one/index.mjs", "text/javascript; charset=utf-8", "no-cache"),
        ("config.json", "application/json", "no-store"),
    ):
        head = cloud.s3.head_object(Bucket=BUCKET, Key=key)
        assert (head["ContentType"], head["CacheControl"]) == (kind, cache)
    assert json.loads(cloud.s3.get_object(Bucket=BUCKET, Key="config.json")["Body"].read()) == CONFIGURATION
    assert cloud.invalidated == ["/*"]


@mock_aws
def test_a_stack_without_a_page_is_left_alone(page: Path) -> None:
    cloud = Cloud({"ApiUrl": "https://api.example"})
    with pytest.raises(PublishError, match="deploy it with PageOrigin"):
        publish("telemetry-prod", cloud, page)
    assert cloud.s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def test_a_token_is_never_published() -> None:
    with pytest.raises(PublishError, match="may not hold token"):
        configuration(json.dumps(CONFIGURATION | {"token": "x"}))


def test_what_names_the_others_comes_last(page: Path) -> None:
    assert list(files(page))[-1] == "index.html"
