"""Where labelled images come from."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from archspec.diagnostics import ArchspecError, listing, shortened

if TYPE_CHECKING:
    from PIL import Image

DEFAULT = "digits"
SUFFIXES = (".jpg", ".jpeg", ".png")
# What Pillow may take a file for: some of its other readers start programs.
FORMATS = ("JPEG", "PNG")
# Characters of a path in a message.
_PATH = 4096


class Source(ABC):
    """Labelled images by number; decoding one touches no other.

    `name` is what `--data` says, with an absolute path: it means the same in every folder.
    """

    name: str
    classes: tuple[str, ...]
    labels: Sequence[int]

    @abstractmethod
    def image(self, index: int) -> Image.Image:
        """Image `index`, upright, in the colours it is stored in. Raises ArchspecError."""

    @abstractmethod
    def title(self, index: int) -> str:
        """What identifies image `index` within the source."""

    @abstractmethod
    def check(self, indices: Iterable[int]) -> None:
        """Raise ArchspecError where an image's header shows that it cannot be read."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the images' titles, classes and order."""
        digest = hashlib.sha256()
        for index, label in enumerate(self.labels):
            line = f"{self.classes[label]}\0{self.title(index)}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


class Digits(Source):
    """scikit-learn's 1,797 scans of handwritten digits, 8 x 8 pixels in 17 greys."""

    def __init__(self) -> None:
        from sklearn.datasets import load_digits

        data = load_digits()
        self.name = DEFAULT
        self.classes = tuple(str(name) for name in data.target_names)
        self.labels = [int(label) for label in data.target]
        self._pixels = (data.images * (255 / 16)).round().astype("uint8")

    def image(self, index: int) -> Image.Image:
        """Image `index` as greys of 0 to 255."""
        from PIL import Image

        return Image.fromarray(self._pixels[index])

    def title(self, index: int) -> str:
        """Its number."""
        return str(index)

    def check(self, indices: Iterable[int]) -> None:
        """Nothing can be wrong with them."""


class Folder(Source):
    """A folder with one sub-folder a class, which holds JPEG and PNG files at any depth.

    Names that begin with a dot are left alone, and so are links to folders below a class: they
    could lead into another class. Raises ArchspecError.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = f"folder:{folder.absolute()}"
        self.labels = []
        self._paths: list[Path] = []
        try:
            classes = _class_folders(folder)
            for label, path in enumerate(classes):
                images = images_below(path)
                if not images:
                    raise ArchspecError(
                        f"the class folder {shown(path)} has no images ({', '.join(SUFFIXES)})"
                    )
                self._paths += images
                self.labels += [label] * len(images)
        except OSError as error:
            where = shown(error.filename or folder)
            raise ArchspecError(f"cannot read the folder {where}: {error.strerror}") from None
        self.classes = tuple(path.name for path in classes)

    def image(self, index: int) -> Image.Image:
        """Decode image `index`, turned as its EXIF orientation says."""
        return read_image(self._paths[index])

    def title(self, index: int) -> str:
        """Its path below the folder."""
        return self._paths[index].relative_to(self._folder).as_posix()

    def check(self, indices: Iterable[int]) -> None:
        """Read the header of each file."""
        check_images(self._paths[index] for index in indices)


def open_source(data: str) -> Source:
    """The source that `--data` names: ``digits`` or ``folder:DIR``. Raises ArchspecError."""
    kind, _, rest = data.partition(":")
    if data == "digits":
        return Digits()
    if kind == "folder" and rest:
        try:
            return Folder(Path(rest).expanduser())
        except RuntimeError as error:  # ~name without such a user
            raise ArchspecError(f"--data {shown(data)}: {error}") from None
    meant = f"; did you mean `folder:{shown(data)}`?" if data and Path(data).is_dir() else ""
    raise ArchspecError(f"--data is `digits` or `folder:DIR`, not `{shortened(data)}`{meant}")


def read_image(path: Path) -> Image.Image:
    """Decode a JPEG or PNG file, turned as its EXIF orientation says. Raises ArchspecError."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path, formats=FORMATS) as image:
            image.load()
            return ImageOps.exif_transpose(image)
    except Exception as error:  # Pillow raises many kinds on damaged files
        raise _unreadable(path, error) from None


def check_images(paths: Iterable[Path]) -> None:
    """Read the header of each file, which finds what is no image, empty or far too large.

    Raises ArchspecError. Not for threads: it changes what Python does with warnings.
    """
    import warnings

    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for path in paths:
            try:
                Image.open(path, formats=FORMATS).close()
            except Exception as error:
                raise _unreadable(path, error) from None


def images_below(folder: Path) -> list[Path]:
    """The image files at any depth of a folder, in the order of their names. Raises OSError."""
    return sorted(_images(folder))


def shown(path: object) -> str:
    """A path for a message: whole, on one line, printable."""
    return shortened(str(path), _PATH)


def _class_folders(folder: Path) -> list[Path]:
    """The sub-folders, one a class, in the order of their names."""
    if not folder.is_dir():
        reason = "is not a folder" if folder.exists() else "does not exist"
        raise ArchspecError(f"the image folder {shown(folder)} {reason}")
    found = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    for path in found:
        if folder.resolve().is_relative_to(path.resolve()):
            raise ArchspecError(f"the class folder {shown(path)} is a link to where it lies")
    if len(found) < 2:
        has = (
            f"only one sub-folder, {listing([shown(found[0].name)])}" if found else "no sub-folder"
        )
        raise ArchspecError(
            f"the image folder {shown(folder)} has {has}; it needs one for each class, at least two"
        )
    return sorted(found, key=lambda path: path.name)


def _images(folder: Path) -> Iterator[Path]:
    """The image files below a folder. Raises OSError."""

    def fail(error: OSError) -> None:
        raise error

    for base, folders, files in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and name.lower().endswith(SUFFIXES):
                yield Path(base, name)


def _unreadable(path: Path, error: Exception) -> ArchspecError:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        reason = "it is not a JPEG or PNG file" if path.stat().st_size else "it is empty"
    elif isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    else:
        reason = shortened(str(error) or type(error).__name__, 160)
    return ArchspecError(f"cannot read the image {shown(path)}: {reason}")
