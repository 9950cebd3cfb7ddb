"""Decode every image of a source once, and store it at the size that training needs.

The images are cut into shards in the order of the source, and a shard is written by one process on
its own: one that is there with its index and the right checksum is whole, whoever wrote it and
however that process ended. What a shard holds depends on its images and the settings alone, so a
preparation that was interrupted ends with the same bytes as one that was not.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import multiprocessing
import os
import shutil
import signal
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from archspec.diagnostics import ArchspecError
from archspec.training import durable
from archspec.training.data import split
from archspec.training.pixels import in_colours, short_side
from archspec.training.sources.base import Reader, Source, UnreadableError, shown
from archspec.training.sources.prepared import (
    FORMAT,
    INDEX,
    MANIFEST,
    SHARD,
    Class,
    Encoding,
    Index,
    Manifest,
    Pixels,
    Settings,
    Shard,
    Unreadable,
    checksum,
    encoded,
    index_of,
    manifest_of,
)
from archspec.training.statistics import Moments
from archspec.version import __version__
from archspec.weights.files import written

if TYPE_CHECKING:
    from PIL import Image

QUALITY = 95
# Images that a shard has at least, unless there are fewer; and shards that a store has at most,
# because training opens all of them.
LEAST_IN_SHARD, MOST_SHARDS = 64, 128
# Images that are encoded before all others, to tell how much will be written.
SAMPLE = 16
# Seconds between two looks at what the processes have done.
REPORT_EVERY = 0.5
# A block for each record, as random access needs; photographs hardly shrink by compression.
_WRITER = "group_size:1,uncompressed,max_parallelism:1"
_GREY = ("1", "L", "LA", "I", "I;16")
_JPEG_SIDE = 65_500
# What a file is called while it is written, until it has its own name.
_UNFINISHED = (".*.new.shard-*", f".*.new.{MANIFEST}")


@dataclass(frozen=True)
class PrepareOptions:
    """How a source is stored.

    Shorter sides above `size` are scaled to it; None keeps all sizes. `quality` is that of the
    encoding ``jpeg``. `max_bad` is how many unreadable images may be left out: an `int`, or a
    `float`, their share of all. `shards` follows from the number of images where it is None.
    """

    size: int | None = None
    encoding: Encoding = "raw"
    quality: int = QUALITY
    workers: int = 1
    max_bad: int | float = 0
    shards: int | None = None


@dataclass(frozen=True)
class PreparePlan:
    """What is about to be done. `expected` is about how many bytes are still to be written."""

    output: Path
    settings: Settings
    classes: int
    workers: int
    expected: int
    free: int


@dataclass(frozen=True)
class PrepareProgress:
    """How many images of `total` were looked at now, and `kept` from an earlier time."""

    done: int
    kept: int
    total: int


@dataclass(frozen=True)
class PrepareSummary:
    """How it ended: so many images were looked at now, in so many seconds, and `kept` before."""

    output: Path
    manifest: Manifest
    done: int
    kept: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The document of ``archspec data prepare --format json``."""
        return {
            "output": str(self.output),
            "done": self.done,
            "kept": self.kept,
            "seconds": round(self.seconds, 3),
            **self.manifest.to_json(),
        }


class PrepareWatcher(Protocol):
    """Somebody who is told how a preparation goes."""

    def start(self, plan: PreparePlan) -> None:
        """Tell what is about to be done."""

    def step(self, progress: PrepareProgress) -> None:
        """Tell how far it is, about twice a second."""

    def unreadable(self, image: Unreadable) -> None:
        """Tell of an image that cannot be read, in the order of the source."""

    def end(self, summary: PrepareSummary) -> None:
        """Tell that the store is finished."""


class Silent:
    """A watcher that says nothing."""

    def start(self, plan: PreparePlan) -> None:
        """Say nothing."""

    def step(self, progress: PrepareProgress) -> None:
        """Say nothing."""

    def unreadable(self, image: Unreadable) -> None:
        """Say nothing."""

    def end(self, summary: PrepareSummary) -> None:
        """Say nothing."""


def prepare(
    source: Source,
    output: Path,
    options: PrepareOptions | None = None,
    watcher: PrepareWatcher | None = None,
) -> PrepareSummary:
    """Store the images of a source in a folder, or go on with a store that was begun there.

    More workers than one are processes of their own: a program that asks for them calls this below
    ``if __name__ == "__main__":``. Raises ArchspecError where something cannot be read or written,
    or too many images cannot be read; what is written stays, and the same call goes on with it.
    """
    options, watcher = options or PrepareOptions(), watcher or Silent()
    began = time.perf_counter()
    _, held_out = split(source, None)
    _require_apart(source, output)
    with _alone(output), warnings.catch_warnings():
        _refuse_bombs()
        settings = _begun(output, _settings(source, options))
        jobs = _jobs(source, output, settings, frozenset(held_out))
        workers = min(options.workers, settings.shards)
        expected = _expected(source, output, settings)
        free = shutil.disk_usage(output).free
        watcher.start(PreparePlan(output, settings, len(source.classes), workers, expected, free))
        count = _Count(watcher, settings.images)
        indexes: dict[int, Index] = {}
        told = 0
        with contextlib.closing(_results(jobs, workers, count)) as results:
            for number, index, kept in results:
                indexes[number] = index
                while told in indexes:
                    for image in indexes[told].unreadable:
                        watcher.unreadable(image)
                    told += 1
                if kept:
                    count.kept += len(index.titles) + len(index.unreadable)
        count.tell()
        ordered = [indexes[number] for number in range(settings.shards)]
        _require_few(ordered, settings, options.max_bad)
        manifest = _manifest(source, settings, ordered)
        _write(output / MANIFEST, manifest.encoded())
    summary = PrepareSummary(output, manifest, count.done, count.kept, time.perf_counter() - began)
    watcher.end(summary)
    return summary


@dataclass(frozen=True)
class _Job:
    """A shard to write: its files without their endings, and its images."""

    number: int
    path: Path
    settings: Settings
    readers: tuple[Reader, ...]
    titles: tuple[str, ...]
    labels: tuple[int, ...]
    held_out: frozenset[int]


class _Count:
    """How far the preparation is, which it tells its watcher now and then."""

    def __init__(self, watcher: PrepareWatcher, total: int) -> None:
        self.done = self.kept = 0
        self._watcher, self._total = watcher, total
        self._told = time.monotonic()

    def one_more(self) -> None:
        self.done += 1
        if time.monotonic() - self._told >= REPORT_EVERY:
            self.tell()

    def tell(self) -> None:
        self._told = time.monotonic()
        self._watcher.step(PrepareProgress(self.done, self.kept, self._total))


class _StoppedError(Exception):
    """Ends what a worker does when the others have ended."""


def _settings(source: Source, options: PrepareOptions) -> Settings:
    images = len(source.labels)
    return Settings(
        source=_text(source.name),
        fingerprint=source.fingerprint,
        images=images,
        size=options.size,
        encoding=options.encoding,
        quality=options.quality if options.encoding == "jpeg" else None,
        shards=options.shards or max(1, min(images // LEAST_IN_SHARD, MOST_SHARDS)),
    )


def _require_apart(source: Source, output: Path) -> None:
    """The store must not become a class of its own source. Raises ArchspecError."""
    _, _, where = source.name.partition(":")
    folder = Path(where)
    if where and folder.is_dir() and output.resolve().is_relative_to(folder.resolve()):
        raise ArchspecError(
            f"--output {shown(output)} lies in the source {shown(folder)}; choose another folder"
        )


@contextlib.contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Make the folder, and let no other preparation write there. Raises ArchspecError."""
    try:
        str(output.absolute()).encode()
    except UnicodeEncodeError:
        raise ArchspecError(
            f"--output {shown(output)}: the path is no UTF-8, which ArrayRecord needs; choose "
            "another"
        ) from None
    with contextlib.ExitStack() as held:
        try:
            output.mkdir(parents=True, exist_ok=True)
            held.enter_context(durable.locked(output))
        except durable.Locked:
            raise ArchspecError(
                f"another `archspec data prepare` writes to {shown(output)} right now"
            ) from None
        except OSError as error:
            reason = "it is a file" if output.is_file() else error.strerror
            raise ArchspecError(f"cannot write to --output {shown(output)}: {reason}") from None
        yield


def _begun(output: Path, settings: Settings) -> Settings:
    """The settings of the store that is in the folder, after writing them where it is empty.

    Raises ArchspecError where there is something else, or a store of other images or settings.
    """
    try:
        for pattern in _UNFINISHED:
            for left in output.glob(pattern):
                left.unlink()
        names = sorted(path.name for path in output.iterdir())
    except OSError as error:
        where = shown(error.filename or output)
        raise ArchspecError(f"cannot write to --output {where}: {error.strerror}") from None
    if not names:
        _write(output / MANIFEST, Manifest(FORMAT, __version__, settings).encoded())
        return settings
    if MANIFEST not in names:
        raise ArchspecError(
            f"--output {shown(output)} holds something else ({shown(names[0])}); choose another"
        )
    before = manifest_of(output).settings
    if (before.fingerprint, before.images) != (settings.fingerprint, settings.images):
        raise ArchspecError(
            f"the store in {shown(output)} was begun with other images than "
            f"{shown(settings.source)} has now ({before.images:,}, now {settings.images:,}, or of "
            "other names); choose another --output"
        )
    # A source that was moved has the same images.
    now = replace(settings, source=before.source)
    if before != now:
        old, new = asdict(before), asdict(now)
        changed = [f"{name} {_said(old[name])}" for name in old if old[name] != new[name]]
        raise ArchspecError(
            f"the store in {shown(output)} was begun with {', '.join(changed)}; give the same, or "
            "choose another --output"
        )
    return before


def _said(value: object) -> str:
    return "none" if value is None else str(value)


def _jobs(
    source: Source, output: Path, settings: Settings, held_out: frozenset[int]
) -> Iterator[_Job]:
    for number, numbers in enumerate(settings.ranges()):
        yield _Job(
            number,
            output / settings.shard(number),
            settings,
            tuple(source.reader(index) for index in numbers),
            tuple(_text(source.title(index)) for index in numbers),
            tuple(int(source.labels[index]) for index in numbers),
            frozenset(index - numbers.start for index in numbers if index in held_out),
        )


def _expected(source: Source, output: Path, settings: Settings) -> int:
    """About how many bytes are to be written, from a few of the images."""
    sizes = []
    for index in range(0, settings.images, -(-settings.images // SAMPLE)):
        with contextlib.suppress(UnreadableError):
            sizes.append(len(_record(_stored(source.reader(index), settings), settings)))
    there = sum(path.stat().st_size for path in output.glob(f"shard-*{SHARD}"))
    return max(0, sum(sizes) * settings.images // max(len(sizes), 1) - there)


def _results(
    jobs: Iterable[_Job], workers: int, count: _Count
) -> Generator[tuple[int, Index, bool]]:
    """The number and the index of each shard, and whether it was there; in any order."""
    if workers == 1:
        for job in jobs:
            yield _finished(job, count.one_more)
        return
    # A process that is begun anew has no thread of another library that could hold a lock.
    context = multiprocessing.get_context("spawn")
    done, stop = context.Value("q", 0), context.Event()
    pool = ProcessPoolExecutor(workers, context, _begin_worker, (done, stop))
    waiting, pending = iter(jobs), set[Future[tuple[int, Index, bool]]]()
    try:
        while True:
            for job in islice(waiting, 2 * workers - len(pending)):
                pending.add(pool.submit(_work, job))
            if not pending:
                return
            ended, pending = wait(pending, REPORT_EVERY, FIRST_COMPLETED)
            count.done = done.value
            count.tell()
            for future in ended:
                yield future.result()
    except BrokenProcessPool:
        raise ArchspecError(
            "a process that decodes images was killed, perhaps for lack of memory; what is written "
            "stays: give the same command with fewer --workers"
        ) from None
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


# What the processes of a preparation share: the number of images that were looked at, and whether
# to stop.
_shared: Any = None


def _begin_worker(done: Any, stop: Any) -> None:
    global _shared
    _shared = done, stop
    _refuse_bombs()
    # Ctrl-C is for the process that was started by hand, which then stops the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Leave no process behind when the one that began it is killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _refuse_bombs() -> None:
    """Take what Pillow only warns of, an image far too large, as training takes it."""
    from PIL import Image

    warnings.simplefilter("error", Image.DecompressionBombWarning)


def _work(job: _Job) -> tuple[int, Index, bool]:
    done, stop = _shared

    def one_more() -> None:
        with done.get_lock():
            done.value += 1
        if stop.is_set():
            raise _StoppedError

    return _finished(job, one_more)


def _finished(job: _Job, one_more: Callable[[], None]) -> tuple[int, Index, bool]:
    """A shard's number and index, and whether it was there; `one_more` is told of each image.

    Raises ArchspecError where it cannot be written.
    """
    index = _whole(job)
    return (job.number, index, True) if index else (job.number, _shard(job, one_more), False)


def _whole(job: _Job) -> Index | None:
    """The index of a shard that is as it would be if it were written now, None for another."""
    shard, beside = _paths(job)
    try:
        index = index_of(beside.read_bytes())
        if shard.stat().st_size != index.bytes or checksum(shard) != index.sha256:
            return None
    except (OSError, ValueError):
        return None
    bad = {image.image for image in index.unreadable}
    images = [number for number, title in enumerate(job.titles) if title not in bad]
    # The titles and labels are those of the source's fingerprint.
    held_out = tuple(place for place, number in enumerate(images) if number in job.held_out)
    # What could not be read may have been repaired.
    bad_readers = [r for r, title in zip(job.readers, job.titles, strict=True) if title in bad]
    repaired = any(_readable(reader, job.settings) for reader in bad_readers)
    return None if repaired or index.held_out != held_out else index


def _shard(job: _Job, one_more: Callable[[], None]) -> Index:
    """Write a shard and its index. Raises ArchspecError."""
    from array_record.python.array_record_module import ArrayRecordWriter

    shard, beside = _paths(job)
    titles: list[str] = []
    labels: list[int] = []
    held_out: list[int] = []
    unreadable: list[Unreadable] = []
    rgb, grey = Moments.none(3), Moments.none(1)
    try:
        with written(shard) as new, _said_as_os_error():
            writer = ArrayRecordWriter(str(new), _WRITER)
            for number, reader in enumerate(job.readers):
                try:
                    image = _stored(reader, job.settings)
                except UnreadableError as error:
                    unreadable.append(Unreadable(job.titles[number], _text(error.reason)))
                else:
                    writer.write(_record(image, job.settings))
                    if number in job.held_out:
                        held_out.append(len(titles))
                    else:
                        rgb += _moments(image, "RGB")
                        grey += _moments(image, "L")
                    titles.append(job.titles[number])
                    labels.append(job.labels[number])
                one_more()
            writer.close()
            size, sha256 = new.stat().st_size, checksum(new)
        index = Index(
            tuple(titles),
            tuple(labels),
            tuple(held_out),
            tuple(unreadable),
            rgb,
            grey,
            size,
            sha256,
        )
        _write(beside, encoded(index))
    except ArchspecError as error:
        raise ArchspecError(
            f"{error}; the shards that are whole stay, and the same command goes on with them"
        ) from None
    return index


@contextlib.contextmanager
def _said_as_os_error() -> Iterator[None]:
    """Turn what the writer of shards raises into what a file raises."""
    try:
        yield
    except RuntimeError as error:
        # "write() failed: No space left on device; writing ...; at byte ..."
        reason = str(error).partition(";")[0].rpartition(": ")[2]
        raise OSError(0, reason) from None


def _paths(job: _Job) -> tuple[Path, Path]:
    """The shard and the index beside it."""
    return job.path.with_name(job.path.name + SHARD), job.path.with_name(job.path.name + INDEX)


def _readable(reader: Reader, settings: Settings) -> bool:
    try:
        _stored(reader, settings)
    except UnreadableError:
        return False
    return True


def _stored(reader: Reader, settings: Settings) -> Image.Image:
    """An image as it is stored: RGB or grey in 8 bits, scaled. Raises UnreadableError."""
    from PIL import Image

    side = settings.size
    image = reader(None if side is None else (side, side))
    image = in_colours(image, 1 if image.mode in _GREY else 3)
    if side is not None and min(image.size) > side:
        image = image.resize(short_side(image.size, side), Image.Resampling.BILINEAR)
    if settings.encoding == "jpeg" and max(image.size) > _JPEG_SIDE:
        raise UnreadableError(
            "",
            f"{image.width} x {image.height} pixels are too many for JPEG, {_JPEG_SIDE:,} a side",
        )
    return image


def _record(image: Image.Image, settings: Settings) -> bytes:
    """The file that an image is stored as."""
    stream = io.BytesIO()
    if settings.quality is None:
        image.save(stream, "PPM")
    else:
        image.save(stream, "JPEG", quality=settings.quality)
    return stream.getvalue()


def _moments(image: Image.Image, mode: str) -> Moments:
    import numpy as np

    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    return Moments.of(pixels.reshape(-1, len(mode)))


def _require_few(indexes: Sequence[Index], settings: Settings, max_bad: int | float) -> None:
    """Raise ArchspecError where more images are unreadable than may be."""
    bad = [image.image for index in indexes for image in index.unreadable]
    most = int(max_bad * settings.images) if isinstance(max_bad, float) else max_bad
    if len(bad) > most:
        more = f" and {len(bad) - 1:,} more" if len(bad) > 1 else ""
        raise ArchspecError(
            f"{len(bad):,} of {settings.images:,} images cannot be read ({shown(bad[0])}{more}) "
            f"and --max-bad allows {most:,}; repair them and give the same command again, which "
            f"goes on with what is stored, or leave them out with --max-bad {len(bad)}"
        )


def _manifest(source: Source, settings: Settings, indexes: Sequence[Index]) -> Manifest:
    """What the finished store is. Raises ArchspecError for a class with nothing to train on."""
    training, held_out = Counter[int](), Counter[int]()
    rgb, grey = Moments.none(3), Moments.none(1)
    for index in indexes:
        apart = set(index.held_out)
        for number, label in enumerate(index.labels):
            (held_out if number in apart else training)[label] += 1
        rgb, grey = rgb + index.rgb, grey + index.grey
    for label, name in enumerate(source.classes):
        if not training[label]:
            raise ArchspecError(
                f"no image of the class {shown(name)} that is for training can be read; repair "
                "some of them and give the same command again"
            )
    return Manifest(
        FORMAT,
        __version__,
        settings,
        tuple(
            Class(_text(name), training[label], held_out[label])
            for label, name in enumerate(source.classes)
        ),
        Pixels(rgb.statistics(), grey.statistics()),
        tuple(image for index in indexes for image in index.unreadable),
        tuple(
            Shard(
                settings.shard(number),
                len(index.titles),
                index.bytes,
                index.sha256,
                hashlib.sha256(encoded(index)).hexdigest(),
            )
            for number, index in enumerate(indexes)
        ),
    )


def _write(path: Path, data: bytes) -> None:
    """Write a file whole, or leave the one before it. Raises ArchspecError."""
    with written(path) as new:
        new.write_bytes(data)


def _text(name: str) -> str:
    """A name as JSON can hold it: bytes that are no UTF-8 are spelt out."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
