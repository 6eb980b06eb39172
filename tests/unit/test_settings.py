"""Settings are read once, validated, and wrong ones are named without showing their values."""

import pytest

from telemetry.errors import Code, TelemetryError
from telemetry.settings import Settings

S3 = {
    "TELEMETRY_DATABASE_URL": "postgresql://ingest:pa%40ss@db.internal:6543/telemetry_prod",
    "TELEMETRY_OBJECT_STORAGE_RAW_BUCKET": "raw",
    "TELEMETRY_OBJECT_STORAGE_CANONICAL_BUCKET": "canonical",
}


def test_a_database_url_is_taken_apart() -> None:
    database = Settings.from_environment(S3).database
    assert (database.host, database.port, database.name) == ("db.internal", 6543, "telemetry_prod")
    assert (database.user, database.password) == ("ingest", "pa@ss")
    assert database.tls, "a network host is never spoken to in plain text unless asked for by name"


def test_a_unix_socket_url_needs_no_tls() -> None:
    url = "postgresql://postgres:@/postgres?host=/run/postgresql"
    database = Settings.from_environment(S3 | {"TELEMETRY_DATABASE_URL": url}).database
    assert (database.host, database.user, database.name) == ("/run/postgresql", "postgres", "postgres")
    assert not database.tls


def test_single_parts_win_over_the_url() -> None:
    settings = Settings.from_environment(S3 | {"TELEMETRY_DATABASE_NAME": "other", "TELEMETRY_DATABASE_PORT": "5433"})
    assert (settings.database.name, settings.database.port) == ("other", 5433)


def test_every_wrong_variable_is_named_at_once_and_no_value_is_shown() -> None:
    wrong = {
        "TELEMETRY_DATABASE_PASSWORD": "hunter2",
        "TELEMETRY_STORAGE_BACKEND": "ftp",
        "TELEMETRY_UPLOAD_MAX_BYTES": "lots",
        "TELEMETRY_UPLOAD_URL_SECONDS": "901",
        "TELEMETRY_NUDGE_QUEUE_URL": "sqs.example",
    }
    with pytest.raises(TelemetryError) as refused:
        Settings.from_environment(wrong)
    assert refused.value.code is Code.SETTINGS_INVALID
    for name in (*wrong, "TELEMETRY_DATABASE_HOST"):
        assert (name in refused.value.detail) == (name != "TELEMETRY_DATABASE_PASSWORD")
    for value in ("hunter2", "lots", "sqs.example"):
        assert value not in str(refused.value)


def test_the_local_backend_needs_its_directory_address_and_secret() -> None:
    with pytest.raises(TelemetryError) as refused:
        Settings.from_environment({"TELEMETRY_DATABASE_HOST": "h", "TELEMETRY_STORAGE_BACKEND": "local"})
    for name in ("ROOT", "URL", "SECRET"):
        assert f"TELEMETRY_LOCAL_STORAGE_{name}" in refused.value.detail
    assert "BUCKET" not in refused.value.detail


def test_secrets_stay_out_of_the_representation() -> None:
    assert "pa@ss" not in repr(Settings.from_environment(S3))


def test_the_lease_outlives_the_worker() -> None:
    settings = Settings.from_environment(S3 | {"TELEMETRY_WORKER_TIMEOUT_SECONDS": "300"})
    assert settings.lease_s == 360
