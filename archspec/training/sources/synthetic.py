"""Pictures that are made up: to try a network, a recipe or a machine without any files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from archspec.diagnostics import ArchspecError, did_you_mean, listing, shortened
from archspec.training.sources.base import Kind, Size, Source

if TYPE_CHECKING:
    from PIL import Image

# The picture of a class is so many coloured squares wide and high.
SQUARES = 8
# What a picture is made of, in pixel values: the squares from 40 to 183, noise of 0 to 63.
DARKEST, BRIGHTEST, NOISE = 40, 184, 64
# Bytes of noise, of which each picture takes a part that begins elsewhere.
POOL = 1 << 20
MAX_SIDE, MAX_CLASSES, MAX_IMAGES = 8192, 100_000, 10_000_000
_SIZE = re.compile(r"(\d+)x(\d+)")


@dataclass(frozen=True)
class Made:
    """What ``synthetic:KEY=VALUE,...`` says; `height` and `width` are ``size=HEIGHTxWIDTH``."""

    classes: int = 10
    images: int = 5000
    height: int = 64
    width: int = 64
    seed: int = 0

    @property
    def text(self) -> str:
        """The same, written out."""
        said = {**asdict(self), "size": f"{self.height}x{self.width}"}
        return ",".join(f"{key}={said[key]}" for key in KEYS)


KEYS = ("classes", "images", "size", "seed")


class Synthetic(Source):
    """Pictures of coloured squares, one pattern a class, with noise over them.

    Image i is of class i modulo the number of classes. It is a function of the seed, its class and
    i, made in about a tenth of the time that a JPEG file of its size takes to decode.
    """

    def __init__(self, made: Made) -> None:
        import numpy as np

        self.name = f"{KIND.name}:{made.text}"
        self.classes = tuple(f"pattern{number}" for number in range(made.classes))
        self.labels = (np.arange(made.images) % made.classes).tolist()
        self._made = made
        noise = np.random.default_rng((made.seed, 0)).integers(0, NOISE, POOL, dtype="uint8")
        length = made.height * made.width * 3
        self._noise = np.tile(noise, 1 + -(-length // POOL))
        self._patterns = np.random.default_rng((made.seed, 1)).integers(
            DARKEST, BRIGHTEST, (made.classes, SQUARES, SQUARES, 3), dtype="uint8"
        )
        # The square that each row and each column of pixels lies in.
        self._rows = np.arange(made.height) * SQUARES // made.height
        self._columns = np.arange(made.width) * SQUARES // made.width

    def image(self, index: int, least: Size | None = None) -> Image.Image:
        """Image `index` in red, green and blue."""
        from PIL import Image

        made = self._made
        pattern = self._patterns[self.labels[index]]
        pixels = pattern.take(self._columns, axis=1).take(self._rows, axis=0)
        # A multiplier prime to the size of the pool: every image begins elsewhere in the noise.
        begin = index * 7919 % POOL
        pixels += self._noise[begin : begin + pixels.size].reshape(made.height, made.width, 3)
        return Image.fromarray(pixels)

    def title(self, index: int) -> str:
        """Its number."""
        return str(index)

    def check(self, indices: Iterable[int]) -> None:
        """Nothing can be wrong with them."""


def _open(rest: str) -> Source:
    return Synthetic(parse(rest))


KIND = Kind(
    "synthetic",
    ("synthetic", "synthetic:KEY=VALUE,..."),
    f"made-up pictures, with {', '.join(KEYS)}",
    _open,
)


def parse(text: str) -> Made:
    """``classes=100,images=10000,size=256x256,seed=1`` in any order. Raises ArchspecError."""
    found: dict[str, int] = {}
    for part in text.split(",") if text else ():
        key, _, value = part.partition("=")
        if key not in KEYS:
            near = did_you_mean(key, KEYS)
            raise _wrong(f"no key `{shortened(key)}`: {near or f'the keys are {listing(KEYS)}'}")
        names = ("height", "width") if key == "size" else (key,)
        if names[0] in found:
            raise _wrong(f"`{key}` stands there twice")
        found |= zip(names, _numbers(key, value), strict=True)
    made = Made(**found)
    for name, least, most in (
        ("classes", 2, MAX_CLASSES),
        ("images", 2 * made.classes, MAX_IMAGES),
        ("height", 1, MAX_SIDE),
        ("width", 1, MAX_SIDE),
    ):
        if not least <= getattr(made, name) <= most:
            each = ", two for each class," if name == "images" else ""
            raise _wrong(f"{getattr(made, name):,} {name}: from {least:,}{each} to {most:,}")
    return made


def _numbers(key: str, value: str) -> tuple[int, ...]:
    size = _SIZE.fullmatch(value)
    if key == "size" and size is not None and len(value) < 20:
        return int(size[1]), int(size[2])
    if key != "size" and value.isascii() and value.isdigit() and len(value) < 10:
        return (int(value),)
    takes = "HEIGHTxWIDTH such as 256x256" if key == "size" else "a whole number"
    raise _wrong(f"`{key}` takes {takes}, not `{shortened(value)}`")


def _wrong(reason: str) -> ArchspecError:
    return ArchspecError(f"--data {KIND.name}: {reason}")
