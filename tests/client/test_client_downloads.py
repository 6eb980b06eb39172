"""Downloads: they go on where they broke off, and are verified."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from infra.local.client import (
    ClientError,
)
from telemetry.api import models
from tests.client.service import (
    NOW,
    SECRET,
    Handler,
    Patient,
    answers,
)

CONTENT = b"PAR1" + bytes(range(256)) * 9000


def _dataset() -> models.DownloadableDataset:
    signed = {"method": "GET", "url": f"https://store.test/x?{SECRET}", "headers": {}, "expiresAt": NOW}
    return models.DownloadableDataset.model_validate(
        {
            "datasetId": str(uuid4()),
            "uploadId": str(uuid4()),
            "stream": "gnss_pvt",
            "schemaVersion": 1,
            "rowCount": 1,
            "byteSize": len(CONTENT),
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
            "startTimeUtc": NOW,
            "endTimeUtc": NOW,
            "quality": {},
            "download": signed,
        }
    )


def _serves(content: bytes, *, cut_at: int | None = None) -> tuple[list[str], Handler]:
    """A store with ranges; the first answer is cut."""
    ranges: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        wanted = request.headers.get("range", "")
        ranges.append(wanted)
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted).group(1)) if wanted else 0  # type: ignore[union-attr]
        end = cut_at if cut_at is not None and len(ranges) == 1 else None
        return httpx.Response(206 if wanted else 200, content=iter([content[start:end]]))

    return ranges, handle


def test_a_download_that_breaks_goes_on_and_is_verified(client_of: Callable[..., Patient], tmp_path: Path) -> None:
    ranges, handle = _serves(CONTENT, cut_at=1_500_000)
    to = tmp_path / "a.parquet"
    told: list[int] = []
    client_of(handle).download(_dataset(), to, lambda step: told.append(step.done))
    assert to.read_bytes() == CONTENT
    assert ranges == ["", "bytes=1500000-"]
    assert told[-1] == len(CONTENT)
    client_of(handle).download(_dataset(), to)
    assert len(ranges) == 2  # it is there already


def test_a_spoilt_part_is_thrown_away(client_of: Callable[..., Patient], tmp_path: Path) -> None:
    ranges, handle = _serves(CONTENT)
    dataset, to = _dataset(), tmp_path / "a.parquet"
    part = to.with_name(f".a.parquet.{dataset.sha256[:12]}.part")
    part.write_bytes(b"spoilt")
    client_of(handle).download(dataset, to)
    assert to.read_bytes() == CONTENT
    assert ranges == ["bytes=6-", ""]


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"!", CONTENT + b"!"])
def test_other_bytes_never_get_the_files_name(
    client_of: Callable[..., Patient], tmp_path: Path, content: bytes
) -> None:
    _, handle = _serves(content)
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(ClientError):
        client_of(handle).download(_dataset(), folder / "a.parquet")
    assert not (folder / "a.parquet").exists()


def test_a_download_that_is_refused_is_told_without_its_address(
    client_of: Callable[..., Patient], tmp_path: Path
) -> None:
    _, handle = answers(httpx.Response(403, text=SECRET))
    with pytest.raises(ClientError, match="403") as caught:
        client_of(handle).download(_dataset(), tmp_path / "a.parquet")
    assert SECRET not in str(caught.value)
