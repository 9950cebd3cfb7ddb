"""Files and folders that stay whole when the machine dies.

What is written stands under another name first, is synchronised to the disk with the folder it is
in, and then renamed: whatever moment the power goes, the file or folder before is there, or the
new one. A folder has a manifest with the size and the SHA-256 of every file, so that what a disk,
a copy or somebody changed later is found before it is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

MANIFEST = "manifest.json"
# Beside its name: what is being written, what is being replaced, and what is being deleted.
NEW, OLD, GONE = ".new", ".old", ".gone"
# Bytes of a manifest that is read at most: it has a line a file.
MANIFEST_LIMIT = 64 << 10


class Damaged(Exception):
    """A folder is not what was written; the message says which file, and what is wrong."""


class Locked(Exception):
    """Another process holds a folder."""


@dataclass(frozen=True)
class _File:
    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


_Manifest = TypeAdapter(dict[str, _File])


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole, or leave the one before it. Raises OSError."""
    new = path.with_name(path.name + NEW)
    try:
        _write(new, data)
        new.replace(path)
        synchronise(path.parent)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder of these files and their manifest whole, or leave the one before it.

    While a folder takes the place of another, the one before stands beside it with the ending
    `OLD`, because no folder can replace another at once. Raises OSError.
    """
    new, old = path.with_name(path.name + NEW), path.with_name(path.name + OLD)
    remove(new)
    try:
        new.mkdir()
        said = {}
        for name, data in files.items():
            _write(new / name, data)
            said[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        _write(new / MANIFEST, (json.dumps(said, indent=2) + "\n").encode())
        synchronise(new)
        if path.exists():
            remove(old)
            path.replace(old)
        new.replace(path)
        synchronise(path.parent)
    except OSError:
        remove(new)
        raise
    remove(old)


def require_whole(path: Path, limits: Mapping[str, int]) -> None:
    """Compare a folder with its manifest: these files, none larger than its limit in bytes.

    Nothing outside the folder is read, whatever the manifest names. Raises Damaged.
    """
    for name, said in _manifest(path, limits).items():
        file = path / name
        size = _size(file)
        if size != said.bytes:
            raise Damaged(f"{name} has {size:,} bytes and {MANIFEST} says {said.bytes:,}")
        if size > limits[name]:
            raise Damaged(f"{name} has {size:,} bytes, more than can be in it")
        try:
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256")
        except OSError as error:
            raise Damaged(f"{name}: {error.strerror}") from None
        if digest.hexdigest() != said.sha256:
            raise Damaged(f"{name} has another SHA-256 than {MANIFEST} says")


def remove(path: Path) -> None:
    """Delete a folder, under another name first: a part of one is never taken for the whole."""
    gone = path.with_name(path.name + GONE)
    shutil.rmtree(gone, ignore_errors=True)
    if path.is_dir():
        path.replace(gone)
        shutil.rmtree(gone, ignore_errors=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a folder meanwhile, against whoever asks for it too. Raises Locked and OSError.

    The system forgets it with the process. Where it knows of no such thing, as Windows and some
    file systems, nothing is held: two people at once are unlikely enough.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(descriptor)


def synchronise(path: Path) -> None:
    """Let the names in a folder reach the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _manifest(path: Path, expected: Mapping[str, int]) -> dict[str, _File]:
    file = path / MANIFEST
    size = _size(file)
    if size > MANIFEST_LIMIT:
        raise Damaged(f"{MANIFEST} has {size:,} bytes, more than can be in it")
    try:
        found = _Manifest.validate_json(file.read_bytes())
    except OSError as error:
        raise Damaged(f"{MANIFEST}: {error.strerror}") from None
    except ValidationError:
        raise Damaged(f"{MANIFEST} is no list of files with sizes and SHA-256") from None
    if found.keys() != expected.keys():
        missing = sorted(expected.keys() - found.keys())
        what = f"lacks {missing[0]}" if missing else "names files that are not its own"
        raise Damaged(f"{MANIFEST} {what}")
    return found


def _size(file: Path) -> int:
    try:
        found = file.stat()
    except FileNotFoundError:
        raise Damaged(f"{file.name} is missing") from None
    except OSError as error:
        raise Damaged(f"{file.name}: {error.strerror}") from None
    if not stat.S_ISREG(found.st_mode):
        raise Damaged(f"{file.name} is no regular file")
    return found.st_size
