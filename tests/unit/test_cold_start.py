"""What a start is spared changes nothing but its time."""

import dataclasses
import gc
import importlib.util
import marshal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from telemetry.cold_start import GENERATED, prepare, use_generated


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Puts back what a start changes in the whole process."""
    threshold = gc.get_threshold()
    yield
    vars(dataclasses).pop("exec", None)
    gc.set_threshold(*threshold)


def _texts_of(fields: list[str]) -> dict[str, Any]:
    """What `dataclasses` writes for a class with these fields, compiled."""
    compiled: dict[str, Any] = {}

    def run(source: str, *scopes: Any) -> None:
        compiled[source] = compile(source, "<string>", "exec")
        exec(source, *scopes)  # noqa: S102

    vars(dataclasses)["exec"] = run
    dataclasses.make_dataclass("Recorded", fields, frozen=True, slots=True)
    del vars(dataclasses)["exec"]
    return compiled


def _file(folder: Path, texts: dict[str, Any], magic: bytes = importlib.util.MAGIC_NUMBER) -> Path:
    file = folder / GENERATED
    file.write_bytes(magic + marshal.dumps(texts))
    return file


def test_methods_come_from_the_file_where_it_has_their_text(tmp_path: Path) -> None:
    # Not what the text says, so that it shows where a method came from.
    other = compile("raise LookupError('from the file')", "<string>", "exec")
    use_generated(_file(tmp_path, dict.fromkeys(_texts_of(["latitude", "longitude"]), other)))
    with pytest.raises(LookupError, match="from the file"):
        dataclasses.make_dataclass("Position", ["latitude", "longitude"], frozen=True, slots=True)
    epoch = dataclasses.make_dataclass("Epoch", ["week", "seconds"], frozen=True, slots=True)
    assert epoch(1, 2) == epoch(1, 2) != epoch(1, 3)


def test_a_class_from_the_file_is_like_any_other(tmp_path: Path) -> None:
    use_generated(_file(tmp_path, _texts_of(["latitude", "longitude"])))
    position = dataclasses.make_dataclass("Position", ["latitude", "longitude"], frozen=True, slots=True)
    here = position(1.5, longitude=2.5)
    assert repr(here) == "Position(latitude=1.5, longitude=2.5)"
    assert here == position(1.5, 2.5)
    assert hash(here) == hash(position(1.5, 2.5))
    assert dataclasses.replace(here, latitude=0) == position(0, 2.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        here.latitude = 3


@pytest.mark.parametrize("magic", [b"", b"\x00\x00\x00\x00"], ids=["damaged", "another Python"])
def test_a_file_of_another_kind_is_left_alone(tmp_path: Path, magic: bytes) -> None:
    use_generated(_file(tmp_path, {}, magic))
    assert "exec" not in vars(dataclasses)


def test_without_a_file_only_the_collector_is_told(tmp_path: Path) -> None:
    gc.set_threshold(700, 10, 10)
    prepare(str(tmp_path))
    assert gc.get_threshold()[0] > 10_000
    assert gc.get_threshold()[1:] == (10, 10)
    assert "exec" not in vars(dataclasses)
    _file(tmp_path, {})
    prepare(str(tmp_path))
    assert "exec" in vars(dataclasses)
