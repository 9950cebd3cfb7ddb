"""Folders with one sub-folder a class."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from archspec.diagnostics import ArchspecError, listing
from archspec.training.sources.base import Kind, Reader, Size, Source, folder_path, shown
from archspec.training.sources.files import SUFFIXES, check_images, images_below, read_image
from archspec.training.sources.prepared import is_store

if TYPE_CHECKING:
    from PIL import Image

TRAINING = "train"
# What people call the folder of the images to hold out; of several the first counts.
HELD_OUT = ("val", "valid", "validation", "test")


class Folder(Source):
    """A folder with one sub-folder a class, which holds JPEG and PNG files at any depth.

    Where it holds `train` and `val` (or `valid`, `validation`, `test`) and these the classes,
    the second one's images are the held-out ones. Names that begin with a dot are left alone, and
    so are links to folders below a class: they could lead into another class. Raises
    ArchspecError.
    """

    def __init__(self, folder: Path) -> None:
        self.name = f"{KIND.name}:{folder.absolute()}"
        self.labels = []
        # Texts, because a million paths take a gigabyte; all begin with the folder.
        self._paths: list[str] = []
        self._inside = str(folder / "x")[:-1]  # "" for ".", "/" for the root
        try:
            parts = _parts(folder)
            for part in parts:
                first = len(self.labels)
                classes = _class_folders(part)
                for label, path in enumerate(classes):
                    images = images_below(path)
                    if not images:
                        raise ArchspecError(
                            f"the class folder {shown(path)} has no images ({', '.join(SUFFIXES)})"
                        )
                    self._paths += map(str, images)
                    self.labels += [label] * len(images)
                names = tuple(path.name for path in classes)
                if part == parts[0]:
                    self.classes = names
                else:
                    _require_same(parts, self.classes, names)
                    self.held_out = range(first, len(self.labels))
        except OSError as error:
            where = shown(error.filename or folder)
            raise ArchspecError(f"cannot read the folder {where}: {error.strerror}") from None

    def image(self, index: int, least: Size | None = None) -> Image.Image:
        """Decode image `index`, turned as its EXIF orientation says."""
        return read_image(Path(self._paths[index]), least)

    def reader(self, index: int) -> Reader:
        """Image `index` by its path: another process need not look through the whole folder."""
        return partial(read_image, Path(self._paths[index]))

    def title(self, index: int) -> str:
        """Its path below the folder."""
        return self._paths[index].removeprefix(self._inside).replace(os.sep, "/")

    def check(self, indices: Iterable[int]) -> None:
        """Read the header of each file."""
        check_images(Path(self._paths[index]) for index in indices)


def _open(rest: str) -> Source:
    folder = folder_path("folder", rest)
    if is_store(folder):
        raise ArchspecError(
            f"{shown(folder)} is a prepared store: read it with --data prepared:{shown(folder)}"
        )
    return Folder(folder)


KIND = Kind(
    "folder",
    ("folder:DIR",),
    "JPEG and PNG files, one sub-folder a class, or train/ and val/ with these",
    _open,
)


def _parts(folder: Path) -> tuple[Path, ...]:
    """The folders that hold the classes: `train` and the held-out part, or the folder itself.

    `train` and `val` with pictures of their own and no folders are two classes.
    """
    training = folder / TRAINING
    held_out = next((folder / name for name in HELD_OUT if (folder / name).is_dir()), None)
    if held_out is None or not training.is_dir() or not _holds_folders(training):
        return (folder,)
    if not _holds_folders(held_out):
        raise ArchspecError(
            f"{shown(held_out)} has no sub-folders, and {shown(training)} has one for each class: "
            "sort its images into folders of the same names, or move it away to hold out a fifth "
            "of the others"
        )
    return (training, held_out)


def _holds_folders(folder: Path) -> bool:
    return any(path.is_dir() and not path.name.startswith(".") for path in folder.iterdir())


def _require_same(
    parts: Sequence[Path], training: tuple[str, ...], held_out: tuple[str, ...]
) -> None:
    """The two parts must have the same classes. Raises ArchspecError."""
    for part, other, missing in (
        (parts[1], parts[0], sorted(set(training) - set(held_out))),
        (parts[0], parts[1], sorted(set(held_out) - set(training))),
    ):
        if missing:
            few = listing(shown(name) for name in missing[:5])
            more = f" and {len(missing) - 5:,} more" if len(missing) > 5 else ""
            raise ArchspecError(
                f"{shown(part)} lacks classes that {shown(other)} has, {few}{more}: both need a "
                "folder for each class"
            )


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
