"""Fetches canonical files: checked against their SHA-256, gone on with after a break, and never half there."""

import hashlib
from pathlib import Path

import httpx

from infra.local.client.errors import BrokenOff, ClientError
from infra.local.client.requests import ATTEMPTS, Requests, backoff
from infra.local.client.steps import Phase, Progress, Step
from telemetry.api import models
from telemetry.errors import Code

BLOCK = 1 << 20


def download(requests: Requests, dataset: models.DownloadableDataset, to: Path, progress: Progress) -> None:
    """Fetches a file into `to`, by way of a hidden file beside it that a later call goes on with; makes its folder.

    Raises
    ------
    ClientError : when the store refuses, or what came is not what the service promised.
    """
    if to.exists() and _sha256(to) == dataset.sha256:
        progress(Step(Phase.DOWNLOAD, dataset.byte_size, dataset.byte_size))
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    part = to.with_name(f".{to.name}.{dataset.sha256[:12]}.part")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _fetch(requests, dataset, part, progress)
        except httpx.TransportError as error:
            if attempt == ATTEMPTS:
                raise BrokenOff(
                    f"The download broke off ({type(error).__name__}).", remedy="Download it again: it goes on."
                ) from None
            requests.pause(backoff(attempt))
            continue
        if _sha256(part) == dataset.sha256:
            part.replace(to)
            return
        part.unlink()  # and from the beginning, once: a part of another time may have spoilt it
        if attempt > 1:
            break
    raise ClientError(
        f"{to.name} arrived changed: its SHA-256 is not the one that the service gives.",
        remedy="Download it again.",
        code=Code.CHECKSUM_MISMATCH,
    )


def _fetch(requests: Requests, dataset: models.DownloadableDataset, part: Path, progress: Progress) -> None:
    """Appends what is missing to `part`; raises httpx.TransportError when it breaks off."""
    done = part.stat().st_size if part.exists() else 0
    if done == dataset.byte_size:
        return
    if done > dataset.byte_size:
        part.unlink()
        done = 0
    signed = dataset.download
    # The bytes as they are stored are what the checksum is of.
    headers = {"accept-encoding": "identity", **signed.headers, **({"range": f"bytes={done}-"} if done else {})}
    with requests.store.stream(signed.method, signed.url, headers=headers) as answer:
        if answer.status_code not in (200, 206):
            if answer.status_code >= 500:
                raise httpx.RemoteProtocolError("the store failed")
            raise ClientError(
                f"The file store refused the download: {answer.status_code} {answer.reason_phrase}.",
                remedy="Ask for it again: its address is valid for some minutes only.",
            )
        if answer.status_code == 200:
            done = 0
        with part.open("ab" if done else "wb") as out:
            for block in answer.iter_raw(BLOCK):
                requests.pause(0)
                done += len(block)
                if done > dataset.byte_size:
                    break  # the checksum tells
                out.write(block)
                progress(Step(Phase.DOWNLOAD, done, dataset.byte_size))
    if done < dataset.byte_size:
        raise httpx.RemoteProtocolError("the store ended early")


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
