"""JPEG and PNG files: found, looked at, decoded."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from archspec.diagnostics import shortened
from archspec.training.sources.base import Size, UnreadableError, shown

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".jpg", ".jpeg", ".png")
# What Pillow may take a file for: some of its other readers start programs.
FORMATS = ("JPEG", "PNG")
# How much larger than it is needed a JPEG file is decoded at least. Hard edges come out 2 of 255
# from where they would if all of it were scaled, in the mean; 7 with a margin of 1.
MARGIN = 2
# Files whose headers are read at the same time, and that are given out to be read.
_CHECKS, _AT_ONCE = 16, 1024
# The EXIF tag of the orientation, and its values that stand for a picture on its side.
_ORIENTATION, _ON_ITS_SIDE = 0x0112, (5, 6, 7, 8)


def read_image(path: Path, least: Size | None = None) -> Image.Image:
    """Decode a JPEG or PNG file, turned as its EXIF orientation says. Raises UnreadableError.

    Where `least` is given, a JPEG file is decoded at an eighth, a quarter or half of its size, if
    that is `MARGIN` times as large or more: the decoder averages over its 8 x 8 blocks, at a
    fraction of the work.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path, formats=FORMATS) as image:
            if least is not None and image.format == "JPEG":
                turned = image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE
                width, height = least[::-1] if turned else least
                image.draft(None, (MARGIN * width, MARGIN * height))
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return image
    except Exception as error:  # Pillow raises many kinds on damaged files
        raise _unreadable(path, error) from None


def check_images(paths: Iterable[Path]) -> None:
    """Read the header of each file, which finds what is no image, empty or far too large.

    Raises UnreadableError for the first of them. Not for threads: it changes what Python does
    with warnings.
    """
    import warnings

    from PIL import Image

    def check(path: Path) -> None:
        try:
            Image.open(path, formats=FORMATS).close()
        except Exception as error:
            raise _unreadable(path, error) from None

    # Several at once, because a million files lie on a disk that is far away.
    waiting = iter(paths)
    with warnings.catch_warnings(), ThreadPoolExecutor(_CHECKS) as pool:
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        while some := list(islice(waiting, _AT_ONCE)):
            for _ in pool.map(check, some):
                pass


def images_below(folder: Path) -> list[Path]:
    """The image files at any depth of a folder, in the order of their names. Raises OSError."""
    return sorted(_images(folder))


def _images(folder: Path) -> Iterator[Path]:
    """The image files below a folder. Raises OSError."""

    def fail(error: OSError) -> None:
        raise error

    for base, folders, files in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and name.lower().endswith(SUFFIXES):
                yield Path(base, name)


def _unreadable(path: Path, error: Exception) -> UnreadableError:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        empty = path.is_file() and not path.stat().st_size
        reason = "it is empty" if empty else "it is not a JPEG or PNG file"
    elif isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    else:
        reason = shortened(str(error) or type(error).__name__, 160)
    return UnreadableError(shown(path), reason)
