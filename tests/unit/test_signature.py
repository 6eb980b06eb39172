"""Signed URLs are those of AWS's own example and of botocore, whatever is signed."""

from datetime import UTC, datetime
from types import SimpleNamespace
from urllib.parse import quote, urlencode

import boto3
import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import CredentialRetrievalError
from hypothesis import given
from hypothesis import strategies as st

from telemetry import signature
from telemetry.database.connection import _iam_token
from telemetry.errors import Code, TelemetryError
from telemetry.settings import Settings
from telemetry.signature import Credentials, signed_url

AT = datetime(2013, 5, 24, tzinfo=UTC)
EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
ORIGINS = (
    "https://b.s3.eu-central-1.amazonaws.com",
    "http://127.0.0.1:9000",
    "https://S3.example:443",
    "http://[::1]:80",
)
# Bytes that a header may carry, and more than one space among them.
HEADER = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: AT.replace(tzinfo=None))
    monkeypatch.setattr("telemetry.signature.now", lambda: AT)


def test_the_example_of_s3s_documentation() -> None:
    """Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters", the example at its end."""
    url = signed_url(
        "GET",
        "https://examplebucket.s3.amazonaws.com/test.txt",
        headers={},
        service="s3",
        region="us-east-1",
        payload=signature.UNSIGNED_PAYLOAD,
        seconds=86400,
        credentials=EXAMPLE,
        at=AT,
    )
    assert url == (
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


def _url(origin: str, path: str, query: dict[str, str]) -> str:
    return f"{origin}/{quote(path, safe='/~')}" + (f"?{urlencode(query, quote_via=quote)}" if query else "")


@given(
    st.builds(Credentials, st.just("AKIA"), TEXT, st.none() | TEXT),
    st.sampled_from(["GET", "PUT"]),
    st.builds(_url, st.sampled_from(ORIGINS), TEXT, st.dictionaries(TEXT, TEXT, max_size=4)),
    st.dictionaries(st.from_regex(r"x-[a-z-]{1,12}", fullmatch=True), HEADER, max_size=4),
    st.integers(1, 604_800),
)
def test_every_url_is_the_one_that_botocore_signs(
    credentials: Credentials, method: str, url: str, headers: dict[str, str], seconds: int
) -> None:
    theirs = AWSRequest(method=method, url=url, headers=dict(headers))
    known = ReadOnlyCredentials(credentials.access_key, credentials.secret_key, credentials.token)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.auth.get_current_datetime", lambda: AT.replace(tzinfo=None))
        S3SigV4QueryAuth(known, "s3", "eu-central-1", expires=seconds).add_auth(theirs)
    ours = signed_url(
        method,
        url,
        headers=headers,
        service="s3",
        region="eu-central-1",
        payload=signature.UNSIGNED_PAYLOAD,
        seconds=seconds,
        credentials=credentials,
        at=AT,
    )
    assert ours == theirs.url


@pytest.mark.usefixtures("clock")
def test_a_token_of_rds_is_the_one_that_boto3_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a/token+of=a session")
    settings = Settings.from_environment(
        {
            "TELEMETRY_DATABASE_URL": "postgresql://telemetry_api@db.proxy.example",
            "TELEMETRY_DATABASE_AUTH": "iam",
            "TELEMETRY_OBJECT_STORAGE_RAW_BUCKET": "raw",
            "TELEMETRY_OBJECT_STORAGE_CANONICAL_BUCKET": "canonical",
            "AWS_REGION": "eu-central-1",
        }
    ).database
    theirs = (
        boto3.Session()
        .client("rds", region_name=settings.region)
        .generate_db_auth_token(settings.host, settings.port, settings.user)
    )
    assert _iam_token(settings) == theirs


def test_credentials_outside_of_lambda_are_those_that_botocore_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    found = SimpleNamespace(get_frozen_credentials=lambda: ("key", "secret", "token", "account"))
    monkeypatch.setattr("telemetry.signature._botocore_credentials", lambda: found)
    assert signature.credentials(missing=Code.DATABASE_UNAVAILABLE) == Credentials("key", "secret", "token")
    monkeypatch.setattr("telemetry.signature._botocore_credentials", lambda: None)
    with pytest.raises(TelemetryError) as raised:
        signature.credentials(missing=Code.DATABASE_UNAVAILABLE)
    assert raised.value.code is Code.DATABASE_UNAVAILABLE

    def silent() -> None:
        raise CredentialRetrievalError(provider="container-role", error_msg="timed out")

    monkeypatch.setattr(
        "telemetry.signature._botocore_credentials", lambda: SimpleNamespace(get_frozen_credentials=silent)
    )
    with pytest.raises(TelemetryError) as raised:
        signature.credentials(missing=Code.STORAGE_UNAVAILABLE)
    assert raised.value.code is Code.STORAGE_UNAVAILABLE


def test_neither_secret_nor_token_is_shown() -> None:
    assert "secret" not in repr(Credentials("AKIA", "secret", "token of secret"))
