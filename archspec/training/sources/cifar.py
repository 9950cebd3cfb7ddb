"""CIFAR-10 and CIFAR-100 as Krizhevsky publishes them, the version in binary files.

https://www.cs.toronto.edu/~kriz/cifar.html: a file is a row of records, each one byte with the
class (for CIFAR-100 two, the coarse class first) and 3,072 bytes of pixels: 32 x 32 of red, then of
green, then of blue.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.diagnostics import ArchspecError
from archspec.training.sources.base import Kind, Size, Source, folder_path, shown

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

    Bytes = npt.NDArray[np.uint8]

SIDE = 32
PIXELS = 3 * SIDE * SIDE
PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"


@dataclass(frozen=True)
class Layout:
    """The files of a data set: the folder that its archive unpacks to, and what lies in it.

    The class is the last of the `labels` bytes before the pixels.
    """

    name: str
    archive: str
    folder: str
    training: tuple[str, ...]
    held_out: str
    classes: str
    labels: int

    @property
    def record(self) -> int:
        """The bytes of an image with its labels."""
        return self.labels + PIXELS


LAYOUT10 = Layout(
    "cifar10",
    "cifar-10-binary.tar.gz",
    "cifar-10-batches-bin",
    tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    "test_batch.bin",
    "batches.meta.txt",
    1,
)
LAYOUT100 = Layout(
    "cifar100",
    "cifar-100-binary.tar.gz",
    "cifar-100-binary",
    ("train.bin",),
    "test.bin",
    "fine_label_names.txt",
    2,
)


class Cifar(Source):
    """The images of a folder with the binary files; those of the test file are held out.

    The files are mapped into memory, so that nothing is read twice and processes share it.
    Raises ArchspecError.
    """

    def __init__(self, layout: Layout, folder: Path) -> None:
        import numpy as np

        self.name = f"{layout.name}:{folder.absolute()}"
        place = folder / layout.folder if (folder / layout.folder).is_dir() else folder
        self.classes = _classes(layout, place)
        self._layout = layout
        self._files = (*layout.training, layout.held_out)
        self._records = [_records(layout, place / file) for file in self._files]
        # The number of the first image of each file, and the number of all.
        self._first = np.cumsum([0, *map(len, self._records)]).tolist()
        self.labels = []
        for file, records in zip(self._files, self._records, strict=True):
            labels = records[:, layout.labels - 1]
            wrong = np.flatnonzero(labels >= len(self.classes))
            if len(wrong):
                raise ArchspecError(
                    f"{shown(place / file)}: image {wrong[0]} (from 0) is of class "
                    f"{labels[wrong[0]]}, and {layout.classes} names {len(self.classes)} classes, "
                    f"0 to {len(self.classes) - 1}: the file is damaged or of another data set"
                )
            self.labels += labels.tolist()
        self.held_out = range(self._first[-2], self._first[-1])

    def image(self, index: int, least: Size | None = None) -> Image.Image:
        """Image `index` in red, green and blue, 32 x 32."""
        import numpy as np
        from PIL import Image

        file, place = self._place(index)
        pixels = self._records[file][place, self._layout.labels :].reshape(3, SIDE, SIDE)
        return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))

    def title(self, index: int) -> str:
        """Its file and its number there."""
        file, place = self._place(index)
        return f"{self._files[file]}/{place}"

    def check(self, indices: Iterable[int]) -> None:
        """Every label was looked at when the files were opened, and any pixels are an image."""

    def _place(self, index: int) -> tuple[int, int]:
        """The number of the file that an image is in, and of the image there."""
        file = bisect_right(self._first, index) - 1
        return file, index - self._first[file]


def _kind(layout: Layout, about: str) -> Kind:
    def opened(rest: str) -> Source:
        return Cifar(layout, folder_path(layout.name, rest))

    return Kind(layout.name, (f"{layout.name}:DIR",), about, opened)


CIFAR10 = _kind(LAYOUT10, "the binary files of CIFAR-10")
CIFAR100 = _kind(LAYOUT100, "the binary files of CIFAR-100, its 100 fine classes")


def _classes(layout: Layout, folder: Path) -> tuple[str, ...]:
    path = folder / layout.classes
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise _missing(layout, path, error) from None
    except UnicodeDecodeError:
        raise ArchspecError(f"{shown(path)} is no text: it has one class a line") from None
    names = tuple(line.strip() for line in lines if line.strip())
    if len(names) < 2 or len(set(names)) < len(names):
        raise ArchspecError(
            f"{shown(path)} names {len(set(names))} classes in {len(names)} lines; it has one "
            "class a line, all different, at least two"
        )
    return names


def _records(layout: Layout, path: Path) -> Any:
    """The records of a file, one a row, mapped into memory."""
    import numpy as np

    try:
        size = path.stat().st_size
        if size and size % layout.record == 0:
            return np.memmap(path, "uint8", "r").reshape(-1, layout.record)
    except OSError as error:
        raise _missing(layout, path, error) from None
    raise ArchspecError(
        f"{shown(path)} has {size:,} bytes, which are no whole number of images of "
        f"{layout.record:,} bytes: it was cut off or is no file of {layout.archive}; unpack that "
        "again"
    )


def _missing(layout: Layout, path: Path, error: OSError) -> ArchspecError:
    if not isinstance(error, FileNotFoundError):
        return ArchspecError(f"cannot read {shown(path)}: {error.strerror}")
    folder = path.parent
    if not folder.is_dir():
        reason = "is not a folder" if folder.exists() else "does not exist"
        return ArchspecError(f"the folder {shown(folder)} {reason}")
    found = f"the folder {shown(folder)} lacks {path.name}"
    if any((folder / name).exists() for name in ("data_batch_1", "train", "data_batch_1.mat")):
        found += " and holds the version for Python or Matlab"
    return ArchspecError(f"{found}; {layout.name} reads {layout.archive}, unpacked ({PAGE})")
