"""`make vendor`: writes the page's libraries anew, file by file as their npm packages hold them. It alone needs npm.

infra/page/vendor/vendored.json pins each package by version and by the SHA-512 of its tarball (npm's `integrity`), and
each file by its SHA-256. The files are committed as they are, but for a registry's address in a banner, so that the
page needs no build step and no network.
"""

import argparse
import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.local.process import ROOT
from infra.web import PAGE

VENDOR = PAGE / "vendor"
MANIFEST = VENDOR / "vendored.json"
_REGISTRY = re.compile(rb" \(https://www\.npmj[s]\.com/[^)\s]*\)")


class VendorError(Exception):
    """A package is not what the manifest says; the message says how."""


@dataclass(frozen=True, slots=True)
class Package:
    """One package of the manifest.

    Attributes
    ----------
    purpose : what the page needs it for.
    integrity : of its tarball, as npm writes it: `sha512-` and base64.
    files : path within the package, and below vendor/NAME/, to the SHA-256 in hex.
    """

    name: str
    version: str
    licence: str
    purpose: str
    integrity: str
    files: dict[str, str]


def read_manifest(manifest: Path = MANIFEST) -> list[Package]:
    """The packages in the order of the manifest."""
    return [Package(**entry) for entry in json.loads(manifest.read_text("utf-8"))["packages"]]


def write_manifest(packages: list[Package], manifest: Path = MANIFEST) -> None:
    """The manifest, in the one form that `read_manifest` reads."""
    document = {"packages": [asdict(package) for package in packages]}
    manifest.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")


def integrity(content: bytes) -> str:
    """As npm writes it (W3C Subresource Integrity)."""
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode("ascii")


def download(name: str, version: str) -> bytes:
    """The tarball of exactly this version, by npm and whatever registry it is set up for."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", f"{name}@{version}", "--silent", "--pack-destination", folder]
        try:
            subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
        except FileNotFoundError:
            raise VendorError("npm is not installed; on Debian: apt-get install npm") from None
        except subprocess.CalledProcessError as error:
            raise VendorError(f"npm did not give {name} {version} (exit code {error.returncode}).") from None
        return next(Path(folder).glob("*.tgz")).read_bytes()


def unpack(tarball: bytes, paths: list[str]) -> dict[str, bytes]:
    """The named files of a package.

    Raises
    ------
    VendorError : when one is missing.
    """
    with tempfile.SpooledTemporaryFile() as file:
        file.write(tarball)
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:gz") as archive:
            # The first folder's name is the packer's choice, mostly `package`.
            members = {member.name.partition("/")[2]: member for member in archive if member.isfile()}
            missing = sorted(set(paths) - set(members))
            if missing:
                raise VendorError(f"The package does not hold {', '.join(missing)}.")
            return {
                path: _REGISTRY.sub(b"", archive.extractfile(members[path]).read())  # type: ignore[union-attr]
                for path in paths
            }


def checked(package: Package, tarball: bytes) -> dict[str, bytes]:
    """The package's files, after tarball and files were held against the manifest.

    Raises
    ------
    VendorError : when they differ.
    """
    if (found := integrity(tarball)) != package.integrity:
        raise VendorError(f"{package.name} {package.version} is {found}, pinned is {package.integrity}.")
    files = unpack(tarball, list(package.files))
    for path, content in files.items():
        if hashlib.sha256(content).hexdigest() != package.files[path]:
            raise VendorError(f"{package.name} {package.version}: {path} is not the pinned one.")
    return files


def repinned(package: Package, version: str, tarball: bytes) -> Package:
    """The package at another version, with the same files."""
    files = unpack(tarball, list(package.files))
    return Package(
        package.name,
        version,
        package.licence,
        package.purpose,
        integrity(tarball),
        {path: hashlib.sha256(content).hexdigest() for path, content in files.items()},
    )


def write(package: Package, files: dict[str, bytes], vendor: Path = VENDOR) -> None:
    """Puts the files below vendor/NAME/, in place of whatever was there."""
    folder = vendor / package.name
    shutil.rmtree(folder, ignore_errors=True)
    for path, content in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def main() -> int:
    """Fetches what the manifest pins; with a name and a version pins that version first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", help="a package of the manifest to move to another version")
    parser.add_argument("version", nargs="?")
    arguments = parser.parse_args()
    packages = read_manifest()
    try:
        if arguments.name and arguments.name not in {package.name for package in packages}:
            raise VendorError(f"{arguments.name} is not in {MANIFEST.relative_to(ROOT)}.")
        for index, package in enumerate(packages):
            moving = package.name == arguments.name and arguments.version
            version = arguments.version if moving else package.version
            tarball = download(package.name, version)
            if moving:
                package = packages[index] = repinned(package, version, tarball)  # noqa: PLW2901
            write(package, checked(package, tarball))
            print(f"{package.name} {package.version}: {len(package.files)} files")  # noqa: T201
    except VendorError as error:
        print(f"vendor: {error}", file=sys.stderr)  # noqa: T201
        return 1
    write_manifest(packages)
    return 0


if __name__ == "__main__":
    sys.exit(main())
