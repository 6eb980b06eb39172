"""The worker's own disk: a directory for a piece of work, and what is left of workers that are no more."""

import errno
import tempfile
from pathlib import Path

import pytest

from telemetry.errors import Code, TelemetryError
from telemetry.pipeline.working_directory import remove_leftovers, working_directory


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_goes_with_all_that_is_in_it(disk: Path) -> None:
    with pytest.raises(KeyError), working_directory() as directory:
        (directory / "deep").mkdir()
        (directory / "deep" / "file").write_bytes(b"x")
        raise KeyError
    assert list(disk.iterdir()) == []


def test_only_what_nobody_holds_is_left_over(disk: Path) -> None:
    elsewhere = disk / "elsewhere"
    elsewhere.mkdir()
    with working_directory() as directory:
        left = directory.with_name(directory.name[:-2] + "xy")
        left.mkdir()
        (left / "file").write_bytes(b"x")
        left.with_name(left.name + "z").symlink_to(elsewhere)
        assert remove_leftovers() == 1
        assert not left.exists()
        assert directory.is_dir(), "in use by this very process"
        assert elsewhere.is_dir(), "no link is followed"


def test_a_directory_taken_before_it_was_held_is_made_again(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    mkdtemp = tempfile.mkdtemp

    def taken_at_once(**named: str) -> str:
        made.append(Path(mkdtemp(**named)))
        if len(made) == 1:
            assert remove_leftovers() == 1
        return str(made[-1])

    monkeypatch.setattr(tempfile, "mkdtemp", taken_at_once)
    with working_directory() as directory:
        assert (made[0].exists(), directory) == (False, made[1])


@pytest.mark.parametrize(("number", "full"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EIO, False)])
def test_a_full_disk_has_a_code(disk: Path, number: int, full: bool) -> None:
    with pytest.raises((OSError, TelemetryError)) as caught, working_directory():
        raise OSError(number, "told by the system")
    assert (isinstance(caught.value, TelemetryError) and caught.value.code is Code.STORAGE_UNAVAILABLE) == full
