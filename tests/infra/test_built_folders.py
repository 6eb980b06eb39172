"""What `make build` makes is enough by itself: measured, imported and run in a clean interpreter, from there alone."""

import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from infra.build import parts
from infra.build.interpreter import RUNTIME, find_python
from infra.build.lazy import PACKAGES, late, lazy
from infra.build.parts import LAYERS, Target, build, functions, host_target, layers_of, unzipped_size, zipped_size
from infra.build.settled import with_version, without_fields
from infra.build.slim import strip
from infra.build.wheels import PLATFORMS, BuildError
from infra.runtime.emulator import interpreter, python_path

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "fixtures" / "telemetry"
MIB = 2**20
API_FUNCTIONS = ("uploads", "sessions", "object_created")
WORKERS_ALONE = ("pyarrow", "gpxpy", "lxml", "numpy", "pandas", "sqlalchemy", "alembic")

# Every module of ours and of Arrow that the worker may load, every codec through a Parquet file, every reader.
EVERYTHING = """
import importlib, io, json, pkgutil, sys, tempfile
from pathlib import Path
import pyarrow as pa, pyarrow.compute, pyarrow.csv, pyarrow.parquet as pq
import telemetry
for module in pkgutil.walk_packages(telemetry.__path__, "telemetry."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
table = pa.table({"x": list(range(5000)), "s": ["abc"] * 5000})
codecs = []
for codec in ("none", "snappy", "gzip", "brotli", "lz4", "zstd"):
    file = io.BytesIO()
    pq.write_table(table, file, compression=codec)
    assert pq.read_table(io.BytesIO(file.getvalue())).equals(table), codec
    codecs.append(codec)
from telemetry.formats.__main__ import main
from telemetry.formats.recognition import readers
seen = {}
for path in sys.argv[1:]:
    sys.argv = ["formats", "--json", path]
    out, sys.stdout = sys.stdout, io.StringIO()
    try:
        code = main()
    finally:
        text, sys.stdout = sys.stdout.getvalue(), out
    seen[path] = [code, text]
import boto3
import os
from telemetry.database.connection import _iam_token
from telemetry.settings import Settings
os.environ.update(AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY="secret", AWS_DEFAULT_REGION="eu-central-1")
given = {"TELEMETRY_DATABASE_HOST": "db", "TELEMETRY_DATABASE_AUTH": "iam"}
given |= {f"TELEMETRY_OBJECT_STORAGE_{kind}_BUCKET": "bucket" for kind in ("RAW", "CANONICAL")}
assert "X-Amz-Signature=" in _iam_token(Settings.from_environment(given).database)
for service in ("s3", "sqs", "secretsmanager"):
    boto3.client(service, region_name="eu-central-1")
loaded = {name: module.__file__ for name, module in list(sys.modules.items()) if getattr(module, "__file__", None)}
print(json.dumps({"codecs": codecs, "readers": len(readers()), "seen": seen, "loaded": loaded}))
"""


def _run(function: str, target: Target, code: str, *arguments: str | Path) -> str:
    """Standard output of `code` in a clean interpreter that sees the built folders and nothing else."""
    done = subprocess.run(
        [interpreter(target), "-s", "-S", "-c", code, *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        env={"PYTHONPATH": os.pathsep.join(map(str, python_path(function, target))), "PYTHONDONTWRITEBYTECODE": "1"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def target() -> Target:
    """What this machine can run: Lambda's Python where it is here, else another (the skipped tests say so)."""
    return host_target()


@pytest.mark.parametrize("architecture", PLATFORMS)
def test_sizes(architecture: str) -> None:
    target = Target(architecture)
    for function in functions():
        folders_of = [f"functions/{function}", *(f"layers/{layer}" for layer in layers_of(function))]
        folders = [build(target, part) for part in folders_of]
        assert sum(map(unzipped_size, folders)) <= 115 * MIB, function
        assert sum(map(zipped_size, folders)) < 50 * MIB, function


@pytest.mark.parametrize("architecture", PLATFORMS)
def test_libraries_are_the_architectures(architecture: str) -> None:
    machine = {"x86_64": 62, "arm64": 183}[architecture]  # e_machine, System V ABI
    found = 0
    for layer in LAYERS[1:]:
        for library in build(Target(architecture), f"layers/{layer}").rglob("*.so*"):
            head = library.open("rb").read(20)
            assert struct.unpack_from("<H", head, 18)[0] == machine, library
            found += 1
    assert found > 10


@pytest.mark.skipif(find_python() is None, reason=f"no Python {RUNTIME} here to compile with")
@pytest.mark.parametrize("architecture", PLATFORMS)
def test_every_module_has_its_bytecode(architecture: str) -> None:
    target = Target(architecture)
    for part in (*(f"layers/{layer}" for layer in LAYERS), *(f"functions/{name}" for name in functions())):
        for source in build(target, part).rglob("*.py"):
            tag = f"cpython-{RUNTIME.replace('.', '')}"
            compiled = source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc"
            if "/data/" in source.as_posix() or "/templates/" in source.as_posix():
                continue
            assert compiled.exists(), source
            # PEP 552: hash-based and unchecked, so that no change of a file's time makes it worthless.
            assert compiled.read_bytes()[4] == 0b01, compiled


def test_every_reader_and_codec_from_the_built_folders_alone(target: Target) -> None:
    samples = sorted(path for path in FIXTURES.iterdir() if path.is_file())
    told = json.loads(_run("worker", target, EVERYTHING, *samples))
    assert told["codecs"] == ["none", "snappy", "gzip", "brotli", "lz4", "zstd"]
    assert told["readers"] >= 8
    for path, (code, text) in told["seen"].items():
        if path.endswith("csv_no_time.csv"):
            assert "CSV_NO_TIME_COLUMN" in text
        else:
            assert code in (0, None), (path, text)
            assert json.loads(text), path
    built = str(target.folder)
    prefix = re.compile(r"/lib(64)?/python3\.\d+/")
    strangers = {name: file for name, file in told["loaded"].items() if not file.startswith(built)}
    assert all(prefix.search(file) and "site-packages" not in file for file in strangers.values()), strangers


@pytest.mark.parametrize("function", functions())
def test_every_function_imports_alone(function: str, target: Target) -> None:
    loaded = json.loads(_run(function, target, "import app, json, sys; print(json.dumps(sorted(sys.modules)))"))
    assert "telemetry.services" in loaded
    if function == "migrate":
        assert "migrations.run" in loaded
    if function in API_FUNCTIONS:
        assert not {name.split(".")[0] for name in loaded} & set(WORKERS_ALONE)


@pytest.mark.parametrize("function", ["uploads", "sessions"])
def test_a_snapshot_holds_what_a_request_would_load(function: str, target: Target) -> None:
    code = """
import json, os, sys
os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"] = sys.argv[1]
import app
from telemetry.api import models
built = [models.__dict__[name].__pydantic_complete__ for name in models._MODULES if name in models.__dict__]
late = [name in sys.modules for name in ("botocore.session", "telemetry.storage.stores")]
print(json.dumps([len(built), all(built), *late]))
"""
    count, built, *loaded = json.loads(_run(function, target, code, "snap-start"))
    assert count > 20
    assert built
    assert all(loaded)
    few, _, *loaded = json.loads(_run(function, target, code, "on-demand"))
    assert few < count
    assert not any(loaded)


def test_lazy_packages_offer_what_they_did(target: Target) -> None:
    names = [package.replace("/", ".") for package in PACKAGES]
    code = f"""
import importlib, json
offered = {{}}
for name in {names!r}:
    package = importlib.import_module(name)
    offered[name] = [str(getattr(package, one)) for one in package.__all__]
    try:
        package.nothing_of_this_name
    except AttributeError:
        continue
    raise SystemExit(name)
print(json.dumps(offered))
"""
    offered = json.loads(_run("uploads", target, code))
    assert all(offered[name] for name in names)


def test_only_imports_from_the_package_itself_are_put_off() -> None:
    source = (
        "import os\n"
        "from package.inner import (\n    One,\n    Two as Second,\n)\n"
        "from .near import used\n"
        "from elsewhere import Three\n"
        "used(os)\n"
        "__all__ = ['One', 'Second', 'Three']\n"
    )
    made = lazy(source, "package")
    assert "from elsewhere import Three" in made
    assert "from .near import used" in made
    assert "from package.inner" not in made
    assert "{'One': ('package.inner', 'One'), 'Second': ('package.inner', 'Two')}" in made
    assert lazy("import os\n", "package") == "import os\n"


def test_late_imports_stand_before_each_use() -> None:
    source = (
        '"""What it is."""\n'
        "from dateutil.parser import (\n    ParserError as Wrong,\n    parse,\n)\n"
        "from other import thing\n"
        "class Reader:\n"
        "    def read(self, text):\n"
        "        if thing:\n"
        "            return [parse(one) for one in text]\n"
        "        try:\n"
        "            return int(text)\n"
        "        except Wrong:\n"
        "            return None\n"
    )
    made = late(source, "dateutil.parser")
    assert made == (
        '"""What it is."""\n'
        "\n\n\n\n"
        "from other import thing\n"
        "class Reader:\n"
        "    def read(self, text):\n"
        "        if thing:\n"
        "            from dateutil.parser import parse\n"
        "            return [parse(one) for one in text]\n"
        "        from dateutil.parser import ParserError as Wrong\n"
        "        try:\n"
        "            return int(text)\n"
        "        except Wrong:\n"
        "            return None\n"
    )


@pytest.mark.parametrize(
    "source", ["import os\n", "from a import b\nclass C(b): ...\n", "from a import b\ndef f(x=b): ...\n"]
)
def test_what_is_used_at_import_cannot_come_late(source: str) -> None:
    with pytest.raises(BuildError):
        late(source, "a")


def test_versions_are_written_in(tmp_path: Path) -> None:
    (tmp_path / "package-1.2.3.dist-info").mkdir()
    source = "import os\nfrom importlib.metadata import version\n__version__ = version('package')\n"
    assert with_version(source, tmp_path) == "import os\n\n__version__ = '1.2.3'\n"
    for other in ("import os\n", source.replace("'package'", "'absent'"), source + "version(__name__)\n"):
        with pytest.raises(BuildError):
            with_version(other, tmp_path)


def test_dictionaries_of_type_checkers_are_emptied() -> None:
    source = (
        'class A(TypedDict, total=False):\n    """Says it."""\n\n    one: int\n    two: str\nclass B:\n    one: int\n'
    )
    assert without_fields(source) == "class A(TypedDict, total=False):\n    pass\n\n\n\nclass B:\n    one: int\n"
    with pytest.raises(BuildError):
        without_fields("class B:\n    one: int\n")


def test_the_models_are_the_same_in_the_built_folders(target: Target) -> None:
    """Those of the API's description, which `make openapi` makes of the sources."""
    code = """
import json
from pydantic.json_schema import models_json_schema
from telemetry.api import models
everyone = [getattr(models, name) for name in models._MODULES]
ways = [(model, mode) for model in everyone for mode in ("validation", "serialization")]
print(json.dumps(models_json_schema(ways)[1]))
"""
    described = json.loads(_run("sessions", target, code))["$defs"]
    here = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "layers/core/python")},
    )
    assert len(described) > 20
    assert described == json.loads(here.stdout)["$defs"]


@pytest.mark.parametrize("function", [name for name in functions() if name != "migrate"])
def test_a_start_finds_every_generated_method_compiled(function: str, target: Target) -> None:
    code = """
import inspect, os, sys
os.environ["LAMBDA_TASK_ROOT"] = sys.argv[1]
import dataclasses, telemetry
run = vars(dataclasses)["exec"]
known = inspect.getclosurevars(run).nonlocals["known"]
compiled = []
def counted(source, *scopes):
    if source not in known:
        compiled.append(source)
    run(source, *scopes)
vars(dataclasses)["exec"] = counted
import app
print(len(known), len(compiled))
"""
    known, compiled = map(int, _run(function, target, code, build(target, f"functions/{function}")).split())
    assert known > 10
    assert compiled == 0


def test_migrations_lie_in_their_function(target: Target) -> None:
    folder = build(target, "functions/migrate")
    sources = {path.relative_to(ROOT) for path in (ROOT / "migrations").rglob("*.sql")}
    assert sources
    assert all((folder / path).exists() for path in sources)


def test_a_changed_source_builds_anew(target: Target, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = tmp_path / "root"
    for path in ("functions/worker", "infra/build", "layers/core/python", "requirements"):
        (root / path).mkdir(parents=True)
    for lock in ("base.txt", "arrow.txt"):
        (root / "requirements" / lock).write_text("")
    source, shared = root / "functions/worker/app.py", root / "layers/core/python/shared.py"
    source.write_text("")
    shared.write_text("")
    monkeypatch.setattr(parts, "BUILD", tmp_path / "build")
    monkeypatch.setattr(parts, "find_python", lambda version: None)  # nothing to compile, no layers to import
    monkeypatch.setattr(parts, "ROOT", root)
    monkeypatch.setattr(parts, "__file__", str(root / "infra" / "build" / "parts.py"))
    folder = build(target, "functions/worker")
    first, layers = folder.stat().st_ino, (folder / "layers.txt").read_text()
    assert build(target, "functions/worker").stat().st_ino == first  # nothing changed, nothing done
    source.write_text("changed = True\n")
    assert (build(target, "functions/worker") / "app.py").read_text() == "changed = True\n"
    shared.write_text("changed = True\n")  # a layer changed, so SAM must see another package
    assert (build(target, "functions/worker") / "layers.txt").read_text() != layers


def test_stripping_leaves_what_a_process_maps(tmp_path: Path) -> None:
    header = bytearray(64)
    header[:7] = b"\x7fELF\x02\x01\x01"
    struct.pack_into("<Q", header, 32, 64)  # program headers follow at once
    struct.pack_into("<Q", header, 40, 200)  # section headers
    struct.pack_into("<HHHHH", header, 54, 56, 1, 64, 3, 2)
    segment = bytearray(56)
    struct.pack_into("<Q", segment, 8, 120)
    struct.pack_into("<Q", segment, 32, 30)
    library = tmp_path / "library.so"
    library.write_bytes(bytes(header) + bytes(segment) + b"m" * 30 + b"symbols" * 20)
    assert strip(library) == 140
    stripped = library.read_bytes()
    assert stripped[120:] == b"m" * 30
    assert struct.unpack_from("<Q", stripped, 40)[0] == 0
    assert strip(library) == 0
    (text := tmp_path / "text.so").write_text("INPUT(libm.so.6)")
    assert strip(text) == 0
    assert text.read_text() == "INPUT(libm.so.6)"


@pytest.mark.parametrize(("part", "told"), [("core", "'core' is no part"), ("NoFunctionAtAll", "is no part")])
def test_a_part_that_is_none_is_told_in_a_line(part: str, told: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "infra.build", "--part", part, "--into", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=parts.ROOT, check=False)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
