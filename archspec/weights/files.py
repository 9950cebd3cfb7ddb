"""Files that are not trusted: what they may cost, and how they are refused.

A tensor that is stored as it is takes no more memory than the file is long. What is compressed
is bounded before it is unpacked (`allow_unpacking`). Every error is an ArchspecError with the
file, what is wrong and what to do.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import stat
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from archspec.diagnostics import ArchspecError, shortened

# How much of a file `sniff` sees.
HEAD_BYTES = 4096
# A file that unpacks to more than FREE_BYTES may not grow by more than this factor: weights are
# noise, which compresses to nine tenths, while deflate makes a thousandth of zeros.
FREE_BYTES = 64 << 20
MAX_GROWTH = 20
# No published network has a hundredth of these.
MAX_TENSORS = 100_000
MAX_AXES = 32
MAX_MEMBERS = 20_000
MAX_NAME = 200
MAX_HEADER = 16 << 20

# At the end of a zip archive: two records of its directory, a pointer between them, and the longest
# comment behind them.
_ZIP_RECORD, _ZIP_POINTER, _ZIP_RECORD_64 = 22, 20, 56
_ZIP_TAIL = _ZIP_RECORD_64 + _ZIP_POINTER + _ZIP_RECORD + 65535


def shown(path: Path) -> str:
    """A path as messages show it."""
    return shortened(str(path), 200)


def refused(path: Path, what: str, advice: str = "") -> ArchspecError:
    """The error that a file is refused with: `what` completes the sentence "FILE ...".

    `advice` says what to do, an imperative.
    """
    return ArchspecError(f"{shown(path)} {what}" + (f"; {advice}" if advice else ""))


def damaged(path: Path, what: str) -> ArchspecError:
    """The error for a file that breaks its own format. `what` is a whole sentence's worth."""
    return refused(path, f"is damaged: {what}", "get or write the file again")


def unreadable(path: Path, error: Exception) -> ArchspecError:
    """The error for what a library raised while it read the file."""
    reason = (isinstance(error, OSError) and error.strerror) or " ".join(str(error).split())
    return damaged(path, shortened(reason or type(error).__name__, 200))


def regular(path: Path) -> int:
    """The size of a file in bytes. Raises ArchspecError unless it is one, with something in it."""
    try:
        found = path.stat()
    except FileNotFoundError:
        raise refused(path, "does not exist", "give the path of a file with weights") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ArchspecError(f"cannot read {shown(path)}: {reason}") from None
    if stat.S_ISDIR(found.st_mode):
        raise refused(path, "is a folder", "give the file with weights in it")
    if not stat.S_ISREG(found.st_mode):
        raise refused(path, "is no regular file", "give the path of a file with weights")
    if found.st_size == 0:
        raise refused(path, "is empty", "get or write the file again")
    return found.st_size


@dataclass(frozen=True, slots=True)
class Head:
    """What a format is recognised by.

    `first` is the beginning of the file, `members` the names in it where it is a zip archive.
    """

    path: Path
    size: int
    first: bytes
    members: tuple[str, ...] = ()

    @property
    def suffix(self) -> str:
        """The file's ending in lower case: ".h5"; "" without one."""
        return self.path.suffix.lower()


def head(path: Path) -> Head:
    """The beginning of a file. Raises ArchspecError where there is none to read."""
    size = regular(path)
    with opened(path) as stream:
        first = stream.read(HEAD_BYTES)
    members: tuple[str, ...] = ()
    if first[:2] == b"PK":
        with Archive(path) as archive:
            members = archive.names
    return Head(path, size, first, members)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file, to read from. Raises ArchspecError for what the system does not let through."""
    try:
        with path.open("rb") as stream:
            yield stream
    except OSError as error:
        raise ArchspecError(f"cannot read {shown(path)}: {error.strerror or error}") from None


def allow_unpacking(path: Path, declared: int, what: str = "the file") -> None:
    """Refuse what would be unpacked to `declared` bytes when that is far too much for the file.

    To be called before anything is unpacked. Raises ArchspecError.
    """
    size = path.stat().st_size
    if declared > FREE_BYTES and declared > MAX_GROWTH * size:
        raise refused(
            path,
            f"would unpack to {_bytes(declared)} from {_bytes(size)}: {what} grows by more than "
            f"the factor {MAX_GROWTH}, and weights hardly compress",
            "write it again without compression if you trust it",
        )


def allow_sharing(path: Path, total: int) -> None:
    """Refuse tensors of `total` bytes together when they are far more than the file has.

    Several tensors may share the numbers of one; what is done with each takes its time. Raises
    ArchspecError.
    """
    if total > FREE_BYTES and total > MAX_GROWTH * path.stat().st_size:
        raise refused(
            path,
            f"has tensors of more than {_bytes(total)} that share the {_bytes(path.stat().st_size)}"
            " of the file",
            "write each of them with numbers of its own",
        )


def elements(path: Path, name: str, shape: Sequence[int], stored: int | None = None) -> int:
    """The number of elements of a declared shape; `stored` is how many the file can have.

    Raises ArchspecError for a shape that no array has, or that the file has not the bytes for.
    """
    said = " x ".join(map(str, shape[:8])) or "a single number"
    if len(shape) > MAX_AXES or any(size < 0 for size in shape):
        raise damaged(path, f"{shortened(name)} has the impossible shape {shortened(said)}")
    count = math.prod(shape)
    if count.bit_length() > 60 or (stored is not None and count > stored):
        has = "" if stored is None else f", and the file has {stored:,} of these numbers"
        raise damaged(path, f"{shortened(name)} claims the shape {shortened(said)}{has}")
    return count


def climbs(name: str) -> bool:
    r"""Whether a path in a file leads out of the folder that it is meant to be in.

    It may be one of POSIX or of Windows: ``../net``, ``/net``, ``a\..\..\net``, ``C:net``.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return ".." in parts or any(part.startswith("/") or ":" in part for part in parts[:1])


class Archive:
    """A zip archive whose directory was looked through before anything is unpacked.

    Refused are names that climb out of the archive, two entries of one name, links, encryption,
    and sizes that only a zip bomb has. Nothing is ever written to disk. Raises ArchspecError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with opened(path) as stream:
            _directory_fits(path, stream)
        try:
            self._zip = zipfile.ZipFile(path)
        except OSError as error:
            raise ArchspecError(f"cannot read {shown(path)}: {error.strerror or error}") from None
        except Exception as error:  # zipfile raises whatever its bytes lead it to
            raise unreadable(path, error) from None
        try:
            self._members = self._checked()
        except ArchspecError:
            self._zip.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its files, in its own order."""
        return tuple(self._members)

    def size(self, name: str) -> int:
        """The size of one file, unpacked. Raises KeyError."""
        return self._members[name].file_size

    def read(self, name: str) -> bytes:
        """One of its files, unpacked."""
        if name not in self._members:
            raise damaged(self.path, f"it has no entry `{shortened(name)}`")
        info = self._members[name]
        try:
            # `read` of the whole archive would unpack an entry that is larger than it says.
            with self._zip.open(info) as stream:
                return stream.read(info.file_size)
        except Exception as error:  # a damaged stream fails in as many ways as zlib has
            raise damaged(
                self.path, f"its entry `{shortened(name)}` cannot be unpacked ({_reason(error)})"
            ) from None

    def _checked(self) -> dict[str, zipfile.ZipInfo]:
        found: dict[str, zipfile.ZipInfo] = {}
        infos = self._zip.infolist()
        if len(infos) > MAX_MEMBERS:
            raise refused(self.path, f"has {len(infos):,} entries, more than {MAX_MEMBERS:,}")
        for info in infos:
            name, entry = info.filename, f"its entry `{shortened(info.filename)}`"
            if climbs(name):
                raise refused(self.path, f"is refused: {entry} climbs out of the archive")
            if stat.S_ISLNK(info.external_attr >> 16):
                raise refused(self.path, f"is refused: {entry} is a link")
            if info.flag_bits & 1:
                raise refused(self.path, f"is encrypted: {entry}", "write it without a password")
            if name in found:
                raise refused(self.path, f"is refused: {entry} stands in it twice")
            if not info.is_dir():
                found[name] = info
        allow_unpacking(self.path, sum(info.file_size for info in found.values()))
        return found


def _directory_fits(path: Path, stream: BinaryIO) -> None:
    """Refuse an archive that announces too large a directory, before that is read."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _ZIP_TAIL))
    tail = stream.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0:
        return  # no archive, which is said when it is opened
    sizes = [int.from_bytes(tail[at + 12 : at + 16], "little")]
    large = at - _ZIP_POINTER - _ZIP_RECORD_64
    if large >= 0 and tail[large : large + 4] == b"PK\x06\x06":
        sizes.append(int.from_bytes(tail[large + 40 : large + 48], "little"))
    # An entry takes 46 bytes and its name. The larger format fills the smaller one's field up.
    directory = max(s for s in (*sizes, 0) if s != 0xFFFFFFFF)
    if directory > MAX_MEMBERS * (46 + MAX_NAME):
        raise refused(path, f"has a directory of {_bytes(directory)}: no weights need that")


def _reason(error: Exception) -> str:
    return shortened(" ".join(str(error).split()) or type(error).__name__, 100)


def _bytes(count: int) -> str:
    """So many bytes for people."""
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 1 << power:
            return f"{count / (1 << power):,.1f} {unit}"
    return f"{count} bytes"


@contextlib.contextmanager
def written(path: Path) -> Iterator[Path]:
    """A path beside `path`, of the same ending, whose file then takes the place of `path` at once.

    A process that dies leaves the file before. Everybody may read the new one whom the umask
    lets. Raises ArchspecError where nothing can be written.
    """
    target = _target(path)
    try:
        new = target.with_name(f".{secrets.token_hex(4)}.new.{path.name}")
        # Made here, so that nobody else's link of that name is followed.
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        with contextlib.ExitStack() as stack:
            stack.callback(_forget, new)
            yield new
            with new.open("rb+") as stream:
                os.fsync(stream.fileno())
            new.replace(target)
    except OSError as error:
        missing = not path.parent.exists()
        reason = f"there is no folder {shown(path.parent)}; make it first"
        raise ArchspecError(
            f"cannot write {shown(path)}: {reason if missing else error.strerror or error}"
        ) from None


def _target(path: Path) -> Path:
    """What is written when `path` is: the file that a link leads to, and not the link."""
    try:
        target = path.resolve()
        usable = target.is_file() or not target.exists()
    except (OSError, RuntimeError, ValueError) as error:  # a circle of links, no path at all
        raise ArchspecError(f"cannot write {shown(path)}: {_reason(error)}") from None
    if not usable:
        raise ArchspecError(f"cannot write {shown(path)}: it is no regular file")
    return target


def _forget(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
