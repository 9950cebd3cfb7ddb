"""Stores that `archspec data prepare` makes: images decoded once, in shards that grain reads.

A store is a folder with `manifest.json` and, for every shard, an ArrayRecord file with one record
an image and a JSON file, the index, that says what the records are. A record is a whole file: PPM
(PGM for a grey image), which is the pixels after a header of 15 bytes, or JPEG.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
from bisect import bisect_right
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from archspec.analysis.numbers import counted, short_bytes
from archspec.analysis.section import Column, Section
from archspec.diagnostics import ArchspecError, shortened
from archspec.training.sources.base import (
    Kind,
    Size,
    Source,
    UnreadableError,
    folder_path,
    shown,
)
from archspec.training.statistics import Moments, PixelStatistics

if TYPE_CHECKING:
    from PIL import Image

MANIFEST = "manifest.json"
# Raised when stores are written that an older archspec cannot read.
FORMAT = 1
SHARD, INDEX = ".arrayrecord", ".json"
# What Pillow may take a record for.
FORMATS = ("PPM", "JPEG")
# Bytes that a checksum is computed of at a time.
_PIECE = 1 << 20

Encoding = Literal["raw", "jpeg"]
T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """What a store is made of, and how.

    `images` are the images of the source, `fingerprint` is its own. `size` is the length to which
    the shorter side of a larger image is scaled, None for none; `quality` is that of JPEG, and
    None without it.
    """

    source: str
    fingerprint: str
    images: int
    size: int | None
    encoding: Encoding
    quality: int | None
    shards: int

    def ranges(self) -> list[range]:
        """The numbers of the source's images in each shard, the unreadable ones included."""
        bounds = [self.images * number // self.shards for number in range(self.shards + 1)]
        return [range(*pair) for pair in pairwise(bounds)]

    def shard(self, number: int) -> str:
        """The name of the files of a shard, without their endings."""
        return f"shard-{number:05}-of-{self.shards:05}"


@dataclass(frozen=True)
class Unreadable:
    """An image of the source that was left out, and why."""

    image: str
    reason: str


@dataclass(frozen=True)
class Index:
    """What stands beside a shard about its records, in their order.

    `held_out` has the numbers of the held-out records, from 0; `rgb` and `grey` are sums over the
    pixels of the others, in three channels and in one. `bytes` and `sha256` are those of the shard.
    """

    titles: tuple[str, ...]
    labels: tuple[int, ...]
    held_out: tuple[int, ...]
    unreadable: tuple[Unreadable, ...]
    rgb: Moments
    grey: Moments
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Shard:
    """A shard, for the manifest. `index_sha256` is that of the index beside it."""

    file: str
    images: int
    bytes: int
    sha256: str
    index_sha256: str


@dataclass(frozen=True)
class Class:
    """A class, and how many images of it a store has."""

    name: str
    training: int
    held_out: int


@dataclass(frozen=True)
class Pixels:
    """What the pixels of all training images are like, in three channels and in one."""

    rgb: PixelStatistics
    grey: PixelStatistics


@dataclass(frozen=True)
class Manifest:
    """What a store is, as in its `manifest.json`. Without `pixels` it is not finished."""

    format: int
    archspec: str
    settings: Settings
    classes: tuple[Class, ...] = ()
    pixels: Pixels | None = None
    unreadable: tuple[Unreadable, ...] = ()
    shards: tuple[Shard, ...] = ()

    @property
    def training(self) -> int:
        """The number of training images."""
        return sum(one.training for one in self.classes)

    @property
    def held_out(self) -> int:
        """The number of held-out images."""
        return sum(one.held_out for one in self.classes)

    @property
    def size(self) -> int:
        """The bytes of all shards."""
        return sum(shard.bytes for shard in self.shards)

    def encoded(self) -> bytes:
        """The bytes of the file."""
        return (json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n").encode()

    def to_json(self) -> dict[str, Any]:
        """The document of ``--format json``."""
        totals = {"training": self.training, "held_out": self.held_out, "bytes": self.size}
        return {**totals, **asdict(self)}

    def sections(self, path: Path) -> tuple[Section, ...]:
        """A finished store for people."""
        assert self.pixels is not None
        settings, rgb = self.settings, self.pixels.rgb
        images = self.training + self.held_out
        how = "raw" if settings.encoding == "raw" else f"JPEG of quality {settings.quality}"
        size = f"shorter side {settings.size} at most" if settings.size else "sizes as they were"
        shards, each = counted(len(self.shards), "shard"), short_bytes(self.size // images)
        rows = (
            (
                "images",
                f"{images:,} in {len(self.classes):,} classes: {self.training:,} for training, "
                f"{self.held_out:,} held out",
            ),
            ("unreadable", f"{len(self.unreadable):,}"),
            ("stored", f"{how}, {size}"),
            ("on disk", f"{short_bytes(self.size)} in {shards}, {each} an image"),
            ("mean", _numbers(rgb.mean)),
            ("std", _numbers(rgb.std)),
            ("eigenvalues", _numbers(rgb.eigenvalues)),
        )
        columns = (Column("what"), Column("value", folds=True))
        return (Section(shown(path), columns, rows),)


class Prepared(Source):
    """A finished store, whose training and held-out images are those it was made with.

    The sizes of the shards and the checksums of their indexes are looked at here; every record
    has a checksum of its own, which is looked at when it is read. Raises ArchspecError.
    """

    def __init__(self, folder: Path) -> None:
        if importlib.util.find_spec("array_record") is None:
            raise ArchspecError(
                "a prepared store needs array-record: pip install 'archspec-nn[train]'"
            )
        self.name = f"{KIND.name}:{folder.absolute()}"
        self._folder = folder
        self.manifest = finished(folder)
        self.classes = tuple(one.name for one in self.manifest.classes)
        self.labels = []
        self._titles: list[str] = []
        held_out: list[int] = []
        for shard in self.manifest.shards:
            require_size(folder, shard)
            index = _index(folder, shard, len(self.classes))
            held_out += (len(self.labels) + record for record in index.held_out)
            self.labels += index.labels
            self._titles += index.titles
        self.held_out = held_out
        # The number of the first image behind each shard.
        self._ends = list(accumulate(shard.images for shard in self.manifest.shards))

    def image(self, index: int, least: Size | None = None) -> Image.Image:
        """Decode image `index`."""
        from PIL import Image

        try:
            record = self._records[index]
            with Image.open(io.BytesIO(record), formats=FORMATS) as image:
                image.load()
                return image
        except Exception as error:  # the library raises RuntimeError, Pillow many kinds
            shard = self.manifest.shards[bisect_right(self._ends, index)].file + SHARD
            where = shown(self._folder / shard)
            look = f"`archspec data check {shown(self._folder)}` looks at all shards"
            raise UnreadableError(
                f"{shown(self._titles[index])} in {where}", f"{_reason(error)}; {look}"
            ) from None

    def title(self, index: int) -> str:
        """What it was called in the source that the store was made of."""
        return self._titles[index]

    def check(self, indices: Iterable[int]) -> None:
        """All images were decoded when the store was made."""

    def statistics(self, channels: int) -> PixelStatistics:
        """What the training images' pixels are like, in one channel or in three."""
        assert self.manifest.pixels is not None  # it is finished
        return self.manifest.pixels.grey if channels == 1 else self.manifest.pixels.rgb

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the classes and of all checksums: of every byte of every image."""
        shards = [(shard.sha256, shard.index_sha256) for shard in self.manifest.shards]
        text = json.dumps([self.classes, shards])
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def _records(self) -> Any:
        """The records of all shards, as grain reads them."""
        import grain

        return grain.sources.ArrayRecordDataSource(
            [
                _Records(str(self._folder / (shard.file + SHARD)), shard.images)
                for shard in self.manifest.shards
            ]
        )


class _Records:
    """All records of a file, as `ArrayRecordDataSource` wants to be told.

    Told so, it does not open all files to count them.
    """

    def __init__(self, filename: str, count: int) -> None:
        self.filename, self.skip, self.take, self.examples_in_shard = filename, 0, count, count


KIND = Kind(
    "prepared",
    ("prepared:DIR",),
    "what `archspec data prepare` made",
    lambda rest: Prepared(folder_path("prepared", rest)),
)


def is_store(folder: Path) -> bool:
    """Whether a folder has the manifest of a store, finished or not."""
    try:
        return _parsed(Manifest, (folder / MANIFEST).read_bytes()) is not None
    except (OSError, ValueError):
        return False


def manifest_of(folder: Path) -> Manifest:
    """The manifest of a store, finished or not. Raises ArchspecError."""
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        what = "is no prepared store: it has" if folder.is_dir() else "does not exist: there is"
        raise ArchspecError(
            f"{shown(folder)} {what} no {MANIFEST}; `archspec data prepare` makes one"
        ) from None
    except OSError as error:
        raise ArchspecError(f"cannot read {shown(path)}: {error.strerror}") from None
    try:
        said = json.loads(data)
        if isinstance(said, dict) and said.get("format") not in (None, FORMAT):
            raise ArchspecError(
                f"{shown(folder)} was made by archspec {shortened(str(said.get('archspec')))}, in "
                "a form that this one does not read; prepare it again, or update archspec"
            )
        found = _parsed(Manifest, data)
    except ValueError as error:
        raise ArchspecError(
            f"{shown(path)} is not the manifest of a prepared store: {_reason(error)}"
        ) from None
    settings = found.settings
    for shard in found.shards:
        # Nothing outside the folder is opened, whatever the manifest names.
        if shard.file not in map(settings.shard, range(settings.shards)):
            raise ArchspecError(f"{shown(path)} names {shown(shard.file)}, which is no shard of it")
    return found


def finished(folder: Path) -> Manifest:
    """The manifest of a store that is finished. Raises ArchspecError."""
    found = manifest_of(folder)
    if found.pixels is None:
        raise ArchspecError(
            f"the store {shown(folder)} is not finished; give the same `archspec data prepare` "
            "again, which goes on with it"
        )
    return found


def index_of(data: bytes) -> Index:
    """The index of a shard from the bytes of its file, as `encoded`. Raises ValueError."""
    found = _parsed(Index, data)
    if encoded(found) != data:
        raise ValueError("it was changed")
    return found


def encoded(index: Index) -> bytes:
    """The bytes of the file of an index: JSON with a checksum of its own."""
    said = asdict(index)
    check = hashlib.sha256(json.dumps(said).encode()).hexdigest()
    return json.dumps({**said, "check": check}, ensure_ascii=False).encode()


def require_size(folder: Path, shard: Shard) -> None:
    """Raise ArchspecError where a shard is not there, or is longer or shorter than it was."""
    path = folder / (shard.file + SHARD)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ArchspecError(f"cannot read the shard {shown(path)}: {error.strerror}") from None
    if size != shard.bytes:
        raise ArchspecError(
            f"the shard {shown(path)} is damaged: it has {size:,} bytes and had {shard.bytes:,}"
        )


def require_whole(folder: Path, tell: Callable[[int, int], None] | None = None) -> Manifest:
    """The manifest of a finished store, after reading all of its files.

    `tell` is told how many of how many shards were read. Raises ArchspecError, which names every
    file that is not what was written.
    """
    manifest = finished(folder)
    problems = []
    pool = ThreadPoolExecutor()
    try:
        found = pool.map(
            lambda shard: _problem(folder, shard, len(manifest.classes)), manifest.shards
        )
        for number, problem in enumerate(found):
            if problem:
                problems.append(problem)
            if tell:
                tell(number + 1, len(manifest.shards))
    finally:
        pool.shutdown(cancel_futures=True)
    if problems:
        raise ArchspecError(
            f"{'; '.join(problems)}. The `archspec data prepare` that made the store writes "
            "damaged shards anew"
        )
    return manifest


def _problem(folder: Path, shard: Shard, classes: int) -> str | None:
    """What is wrong with a shard or its index."""
    path = folder / (shard.file + SHARD)
    try:
        require_size(folder, shard)
        _index(folder, shard, classes)
        if checksum(path) != shard.sha256:
            return f"the shard {shown(path)} is damaged: it has another SHA-256 than it had"
    except ArchspecError as error:
        return str(error)
    except OSError as error:
        return f"cannot read {shown(path)}: {error.strerror}"
    return None


def checksum(path: Path) -> str:
    """The SHA-256 of a file. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _index(folder: Path, shard: Shard, classes: int) -> Index:
    """The index that belongs to a shard. Raises ArchspecError."""
    path = folder / (shard.file + INDEX)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArchspecError(f"cannot read {shown(path)}: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != shard.index_sha256:
        raise ArchspecError(f"{shown(path)} is damaged: it has another SHA-256 than it had")
    try:
        found = _parsed(Index, data)
    except ValueError as error:
        raise ArchspecError(f"{shown(path)} is no index of a shard: {_reason(error)}") from None
    labels, records = range(classes), range(shard.images)
    if (
        not len(found.titles) == len(found.labels) == shard.images
        or not all(label in labels for label in found.labels)
        or not all(record in records for record in found.held_out)
    ):
        raise ArchspecError(f"{shown(path)} does not fit its shard, which {MANIFEST} describes")
    return found


def _parsed(kind: type[T], data: bytes) -> T:
    """A dataclass from JSON. Raises ValueError."""
    return TypeAdapter(kind).validate_json(data)


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        return shown(f"{place}: {problem['msg']}" if place else problem["msg"])
    return shortened(" ".join(str(error).split()) or type(error).__name__, 200)


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
