"""What a source of labelled images is."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from archspec.diagnostics import ArchspecError, shortened
from archspec.training.statistics import PixelStatistics

if TYPE_CHECKING:
    from PIL import Image

# Width and height, as in Pillow.
Size = tuple[int, int]
# Decodes one image; what it takes is the `least` of `Source.image`.
Reader = Callable[[Size | None], "Image.Image"]

# Characters of a path in a message.
_PATH = 4096


class UnreadableError(ArchspecError):
    """An image cannot be read: `what` says which, `reason` why."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what, self.reason = what, reason

    def __str__(self) -> str:
        return f"cannot read the image {self.what}: {self.reason}"


class Source(ABC):
    """Labelled images by number; decoding one touches no other, in any thread.

    `name` is what `--data` says, with an absolute path: it means the same in every folder.
    `held_out` has the numbers of the images that its authors hold out, in ascending order; where
    it is None a fifth of each class is.
    """

    name: str
    classes: tuple[str, ...]
    labels: Sequence[int]
    held_out: Sequence[int] | None = None

    @abstractmethod
    def image(self, index: int, least: Size | None = None) -> Image.Image:
        """Image `index`, upright, in the colours it is stored in. Raises UnreadableError.

        Where `least` is given, it may come smaller than it is stored, in the same proportions,
        with neither side below that of `least`.
        """

    def reader(self, index: int) -> Reader:
        """What decodes image `index`, in any process: it can be sent to another one."""
        return partial(_read, self.name, index)

    @abstractmethod
    def title(self, index: int) -> str:
        """What identifies image `index` within the source."""

    @abstractmethod
    def check(self, indices: Iterable[int]) -> None:
        """Raise ArchspecError where an image's header shows that it cannot be read."""

    def statistics(self, channels: int) -> PixelStatistics | None:
        """What the training images' pixels are like in one channel or in three, if it is known."""
        return None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the images' titles, classes and order."""
        digest = hashlib.sha256()
        for index, label in enumerate(self.labels):
            line = f"{self.classes[label]}\0{self.title(index)}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def _read(name: str, index: int, least: Size | None) -> Image.Image:
    return _opened(name).image(index, least)


@cache
def _opened(name: str) -> Source:
    """The source that another process sent readers of, opened once."""
    from archspec.training.sources import open_source

    return open_source(name)


@dataclass(frozen=True)
class Kind:
    """A kind of source: how `--data` writes it, and what opens it.

    `forms` are what is written, ``NAME`` or ``NAME:WHAT``; `open` gets what stands after the
    colon, "" where nothing does, and raises ArchspecError. `about` says in a line what it is.
    """

    name: str
    forms: tuple[str, ...]
    about: str
    open: Callable[[str], Source]

    def takes(self, rest: str | None) -> bool:
        """Whether this may stand after the colon; None where there is no colon."""
        return self.name in self.forms if rest is None else rest != "" and ":" in self.forms[-1]


def folder_path(kind: str, rest: str) -> Path:
    """The folder of ``KIND:DIR``. Raises ArchspecError."""
    try:
        return Path(rest).expanduser()
    except RuntimeError as error:  # ~name without such a user
        raise ArchspecError(f"--data {kind}:{shown(rest)}: {error}") from None


def shown(path: object) -> str:
    """A path for a message: whole, on one line, printable."""
    return shortened(str(path), _PATH)
