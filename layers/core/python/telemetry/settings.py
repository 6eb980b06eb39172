"""Every setting of the service, read once from the environment and validated; wrong values are named. Stdlib only.

README.md lists the settings; a test compares the list with this module.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import parse_qs, unquote, urlsplit

from telemetry.errors import Code, TelemetryError

DEFAULT_UPLOAD_MAX_BYTES = 5_000_000_000
DatabaseAuth = Literal["password", "iam", "secret"]
StorageBackend = Literal["s3", "local"]
AddressingStyle = Literal["virtual", "path"]


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Where PostgreSQL is and how to sign in. `host` may be a directory that holds a Unix socket."""

    host: str
    port: int
    name: str
    user: str
    password: str = field(repr=False)
    auth: DatabaseAuth
    region: str
    secret_id: str
    tls: bool
    ca_file: str
    statement_timeout_s: float


@dataclass(frozen=True, slots=True)
class ObjectStorageSettings:
    """Where S3 is. `endpoint` is empty on AWS."""

    raw_bucket: str
    canonical_bucket: str
    endpoint: str
    region: str
    prefix: str
    addressing_style: AddressingStyle


@dataclass(frozen=True, slots=True)
class LocalStorageSettings:
    """A directory instead of S3, and the server that takes signed PUTs for it."""

    root: Path
    url: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. Build with `Settings.from_environment()`."""

    database: DatabaseSettings
    storage_backend: StorageBackend
    object_storage: ObjectStorageSettings
    local_storage: LocalStorageSettings
    nudge_queue_url: str
    sqs_endpoint: str
    upload_max_bytes: int
    upload_url_seconds: int
    upload_expiry_hours: int
    upload_open_max: int
    download_url_seconds: int
    raw_retention_days: int
    failed_raw_retention_days: int
    worker_timeout_s: int
    auth_tenant_claim: str
    auth_required_scope: str

    @property
    def lease_s(self) -> int:
        """How long a claim holds without a heartbeat: the worker's timeout and a minute."""
        return self.worker_timeout_s + 60

    @staticmethod
    def from_environment(environment: Mapping[str, str] | None = None) -> "Settings":
        """Reads the environment (`os.environ` by default).

        Raises
        ------
        TelemetryError : SETTINGS_INVALID naming every variable that is missing or wrong, and what it takes.
        """
        reader = _Reader(os.environ if environment is None else environment)
        settings = Settings(
            database=_database(reader),
            storage_backend=(backend := reader.choice("TELEMETRY_STORAGE_BACKEND", StorageBackend, "s3")),
            object_storage=ObjectStorageSettings(
                raw_bucket=reader.text("TELEMETRY_OBJECT_STORAGE_RAW_BUCKET", required=backend == "s3"),
                canonical_bucket=reader.text("TELEMETRY_OBJECT_STORAGE_CANONICAL_BUCKET", required=backend == "s3"),
                endpoint=reader.url("TELEMETRY_OBJECT_STORAGE_ENDPOINT"),
                region=reader.text("TELEMETRY_OBJECT_STORAGE_REGION", reader.region()),
                prefix=reader.text("TELEMETRY_OBJECT_STORAGE_PREFIX").strip("/"),
                addressing_style=reader.choice("TELEMETRY_OBJECT_STORAGE_ADDRESSING_STYLE", AddressingStyle, "virtual"),
            ),
            local_storage=LocalStorageSettings(
                root=Path(reader.text("TELEMETRY_LOCAL_STORAGE_ROOT", required=backend == "local")),
                url=reader.url("TELEMETRY_LOCAL_STORAGE_URL", required=backend == "local"),
                secret=reader.text("TELEMETRY_LOCAL_STORAGE_SECRET", required=backend == "local"),
            ),
            nudge_queue_url=reader.url("TELEMETRY_NUDGE_QUEUE_URL"),
            sqs_endpoint=reader.url("TELEMETRY_NUDGE_QUEUE_ENDPOINT"),
            upload_max_bytes=reader.whole("TELEMETRY_UPLOAD_MAX_BYTES", DEFAULT_UPLOAD_MAX_BYTES, 1, 5_368_709_120),
            upload_url_seconds=reader.whole("TELEMETRY_UPLOAD_URL_SECONDS", 900, 1, 900),
            upload_expiry_hours=reader.whole("TELEMETRY_UPLOAD_EXPIRY_HOURS", 24, 1, 720),
            upload_open_max=reader.whole("TELEMETRY_UPLOAD_OPEN_MAX", 1000, 1, 1_000_000),
            download_url_seconds=reader.whole("TELEMETRY_DOWNLOAD_URL_SECONDS", 900, 1, 3600),
            raw_retention_days=reader.whole("TELEMETRY_RAW_RETENTION_DAYS", 0, 0, 3650),
            failed_raw_retention_days=reader.whole("TELEMETRY_FAILED_RAW_RETENTION_DAYS", 7, 0, 3650),
            worker_timeout_s=reader.whole("TELEMETRY_WORKER_TIMEOUT_SECONDS", 900, 1, 900),
            auth_tenant_claim=reader.text("TELEMETRY_AUTH_TENANT_CLAIM", "sub"),
            auth_required_scope=reader.text("TELEMETRY_AUTH_REQUIRED_SCOPE", "telemetry"),
        )
        reader.finish()
        return settings


class _Reader:
    """Reads variables and gathers every complaint, so that one start names them all."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._wrong: list[str] = []

    def finish(self) -> None:
        if self._wrong:
            raise TelemetryError(Code.SETTINGS_INVALID, "; ".join(self._wrong))

    def complain(self, name: str, expected: str) -> None:
        # The value itself stays out: it may be a password.
        self._wrong.append(f"{name}: {expected}")

    def text(self, name: str, default: str = "", *, required: bool = False) -> str:
        value = self._environment.get(name, "").strip() or default
        if required and not value:
            self.complain(name, "must be set")
        return value

    def url(self, name: str, *, required: bool = False) -> str:
        value = self.text(name, required=required)
        if value and not re.match(r"https?://[^/]", value):
            self.complain(name, "must start with http:// or https:// and a host")
        return value.rstrip("/")

    def region(self) -> str:
        # Lambda sets the first, people and containers the second.
        return self.text("AWS_REGION", self.text("AWS_DEFAULT_REGION", "us-east-1"))

    def choice(self, name: str, choices: Any, default: str) -> Any:
        value = self.text(name, default).lower()
        allowed = get_args(choices)
        if value not in allowed:
            self.complain(name, f"must be one of {', '.join(allowed)}")
            return default
        return value

    def whole(self, name: str, default: int, lowest: int, highest: int) -> int:
        value = self.text(name, str(default))
        if not re.fullmatch(r"\d{1,18}", value) or not lowest <= int(value) <= highest:
            self.complain(name, f"must be a whole number from {lowest} to {highest}")
            return default
        return int(value)


def _database(reader: _Reader) -> DatabaseSettings:
    """`TELEMETRY_DATABASE_URL`, or its parts one by one; the parts win over the URL's."""
    url = urlsplit(reader.text("TELEMETRY_DATABASE_URL"))
    if url.scheme not in ("", "postgresql", "postgres"):
        reader.complain("TELEMETRY_DATABASE_URL", "must start with postgresql://")
    options = parse_qs(url.query)
    try:
        url_port = url.port
    except ValueError:
        reader.complain("TELEMETRY_DATABASE_URL", "has a port that is no number")
        url_port = None
    host = reader.text(
        "TELEMETRY_DATABASE_HOST", options.get("host", [""])[0] or unquote(url.hostname or ""), required=True
    )
    auth = reader.choice("TELEMETRY_DATABASE_AUTH", DatabaseAuth, "password")
    return DatabaseSettings(
        host=host,
        port=reader.whole("TELEMETRY_DATABASE_PORT", url_port or 5432, 1, 65535),
        name=reader.text("TELEMETRY_DATABASE_NAME", unquote(url.path.lstrip("/")) or "telemetry"),
        user=reader.text("TELEMETRY_DATABASE_USER", unquote(url.username or "") or "telemetry"),
        password=reader.text("TELEMETRY_DATABASE_PASSWORD", unquote(url.password or "")),
        auth=auth,
        region=reader.region(),
        secret_id=reader.text("TELEMETRY_DATABASE_SECRET_ID", required=auth == "secret"),
        # Plain only where there is no network in between: a Unix socket, or when asked for by name.
        tls=reader.choice(
            "TELEMETRY_DATABASE_TLS",
            Literal["require", "disable"],
            "disable" if host.startswith("/") or host in ("127.0.0.1", "localhost", "::1") else "require",
        )
        == "require",
        ca_file=reader.text("TELEMETRY_DATABASE_CA_FILE"),
        statement_timeout_s=float(reader.whole("TELEMETRY_DATABASE_STATEMENT_TIMEOUT_SECONDS", 20, 1, 900)),
    )
