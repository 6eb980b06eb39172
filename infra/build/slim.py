"""Takes out of installed packages what no function uses, and ELF symbols; both keep the layers far below the limit."""

import fnmatch
import shutil
import struct
from pathlib import Path

# What botocore is asked for; the other four hundred service models are 25 MiB.
SERVICES = ("s3", "secretsmanager", "sqs", "sts")

# Relative to the package index's own layout; a folder goes with all that is in it.
_ANYWHERE = ("*.pyi", "*.pyx", "*.pxd", "*.pxi", "*.h", "*.cc", "*.cpp", "__pycache__", "py.typed")
_UNUSED = (
    "bin",
    "boto3/data/*",
    "boto3/examples",
    "*.dist-info/sboms",
    "*.dist-info/licenses/*/vendored",
    # Arrow's file systems, transports and formats that nothing here reads or writes.
    "pyarrow/include",
    "pyarrow/includes",
    "pyarrow/src",
    "pyarrow/tests",
    "pyarrow/interchange",
    "pyarrow/libarrow_flight.so*",
    "pyarrow/libarrow_python_flight.so*",
    "pyarrow/libarrow_python_parquet_encryption.so*",
    "pyarrow/libarrow_s3.so*",
    "pyarrow/_azurefs.*",
    "pyarrow/_cuda.*",
    "pyarrow/_dataset_orc.*",
    "pyarrow/_dataset_parquet_encryption.*",
    "pyarrow/_feather.*",
    "pyarrow/_flight.*",
    "pyarrow/_gcsfs.*",
    "pyarrow/_hdfs.*",
    "pyarrow/_orc.*",
    "pyarrow/_parquet_encryption.*",
    "pyarrow/_pyarrow_cpp_tests.*",
    "pyarrow/_s3fs.*",
    "pyarrow/_substrait.*",
    "pyarrow/benchmark.py",
    "pyarrow/conftest.py",
    "pyarrow/cuda.py",
    "pyarrow/feather.py",
    "pyarrow/flight.py",
    "pyarrow/jvm.py",
    "pyarrow/orc.py",
    "pyarrow/substrait.py",
)


def slim(folder: Path) -> None:
    """Removes what is unused from a folder of installed packages, and strips its shared libraries."""
    for path in sorted(folder.rglob("*"), key=lambda found: len(found.parts)):
        relative = path.relative_to(folder).as_posix()
        if not path.exists():
            continue  # gone with its folder
        if (
            any(fnmatch.fnmatchcase(path.name, pattern) for pattern in _ANYWHERE)
            or any(fnmatch.fnmatchcase(relative, pattern) for pattern in _UNUSED)
            or _is_other_service(relative)
            or _is_second_name(path)
        ):
            _remove(path)
    for library in folder.rglob("*.so*"):
        strip(library)


def strip(library: Path) -> int:
    """Cuts off what follows the last byte that a process maps: symbol table, debug sections, section headers.

    The loader reads program headers only (System V ABI, chapter 5), so this needs no tool and works for every
    architecture. A library whose mapped parts reach to its end stays as it is. Gives the bytes saved.
    """
    with library.open("r+b") as file:
        header = file.read(64)
        if header[:6] != b"\x7fELF\x02\x01":  # 64 bit, little-endian
            return 0
        table, entry_size, entries = struct.unpack_from("<Q", header, 32)[0], *struct.unpack_from("<HH", header, 54)
        end = table + entry_size * entries
        file.seek(table)
        segments = file.read(entry_size * entries)
        for start in range(0, len(segments), entry_size):
            offset, size = (
                struct.unpack_from("<Q", segments, start + 8)[0],
                struct.unpack_from("<Q", segments, start + 32)[0],
            )
            end = max(end, offset + size)
        before: int = file.seek(0, 2)
        if end >= before:
            return 0
        file.truncate(end)
        file.seek(40)
        file.write(bytes(8))  # e_shoff
        file.seek(60)
        file.write(bytes(4))  # e_shnum, e_shstrndx
    return int(before - end)


def _is_other_service(relative: str) -> bool:
    parts = relative.split("/")
    return len(parts) == 3 and parts[:2] == ["botocore", "data"] and "." not in parts[2] and parts[2] not in SERVICES


def _is_second_name(path: Path) -> bool:
    """Wheels hold no links, so Arrow's carry each library up to three times; the loader asks for `….so.<version>`."""
    if not path.name.startswith(("libarrow", "libparquet")):
        return False
    versions = path.name.partition(".so")[2].split(".")[1:]
    return len(versions) != 1


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
