"""Images with labels: where they come from, how they are split, and the batches of an epoch.

One pipeline for every backend, on grain: sources with random access, a shuffle that depends on
the seed and the epoch alone, decoding in threads ahead of the model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.diagnostics import ArchspecError, shortened
from archspec.layers.base import Shape, show
from archspec.spec.recipe import Preprocessing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

    Array = npt.NDArray[np.floating[Any]]
    Labels = npt.NDArray[np.integer[Any]]

SUFFIXES = (".jpg", ".jpeg", ".png")
HELD_OUT = 0.2
SPLIT_SEED = 0
STATISTICS_IMAGES = 1000
THREADS = 2


class Source(ABC):
    """Labelled images by number; decoding one touches no other."""

    classes: tuple[str, ...]
    labels: Sequence[int]

    @abstractmethod
    def image(self, index: int) -> Image.Image:
        """Image `index`, as it is stored."""


class Digits(Source):
    """scikit-learn's 1,797 scans of handwritten digits, 8 x 8 pixels in 17 greys."""

    def __init__(self) -> None:
        from sklearn.datasets import load_digits

        data = load_digits()
        self.classes = tuple(str(name) for name in data.target_names)
        self.labels = [int(label) for label in data.target]
        self._pixels = (data.images * (255 / 16)).round().astype("uint8")

    def image(self, index: int) -> Image.Image:
        """Image `index` as greys of 0 to 255."""
        from PIL import Image

        return Image.fromarray(self._pixels[index])


class Folder(Source):
    """A folder with one sub-folder a class, which holds JPEG and PNG files."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            reason = "is not a folder" if folder.exists() else "does not exist"
            raise ArchspecError(f"the image folder {folder} {reason}")
        classes = sorted(
            path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
        )
        if len(classes) < 2:
            raise ArchspecError(
                f"{folder} has {len(classes)} sub-folders; one sub-folder for each class is "
                "needed, at least two"
            )
        self.classes = tuple(path.name for path in classes)
        self.labels = []
        self._paths: list[Path] = []
        for label, path in enumerate(classes):
            images = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
            if not images:
                raise ArchspecError(
                    f"the class folder {path} has no images ({', '.join(SUFFIXES)})"
                )
            self._paths += images
            self.labels += [label] * len(images)

    def image(self, index: int) -> Image.Image:
        """Decode image `index`. Raises ArchspecError with its path when that fails."""
        from PIL import Image

        path = self._paths[index]
        try:
            with Image.open(path) as image:
                image.load()
                return image
        except Exception as error:  # Pillow raises many kinds on damaged files
            reason = shortened(str(error), 120)
            raise ArchspecError(f"cannot read the image {path}: {reason}") from None


def open_source(data: str) -> Source:
    """The source that `--data` names: ``digits`` or ``folder:DIR``. Raises ArchspecError."""
    kind, _, rest = data.partition(":")
    if data == "digits":
        return Digits()
    if kind == "folder" and rest:
        return Folder(Path(rest).expanduser())
    raise ArchspecError(f"--data is `digits` or `folder:DIR`, not `{shortened(data)}`")


@dataclass(frozen=True)
class Images:
    """A part of a source, as grain reads it: every image at the network's input size."""

    source: Source
    indices: Sequence[int]
    shape: Shape
    scaling: Scaling | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> dict[str, Any]:
        index = self.indices[position]
        pixels = fitted(self.source.image(index), self.shape)
        if self.scaling is not None:
            pixels = (pixels * self.scaling.rescale - self.scaling.mean) / self.scaling.std
        return {"image": pixels.astype("float32"), "label": self.source.labels[index]}

    def batches(self, size: int, *, shuffle_seed: int | None = None) -> Iterator[dict[str, Any]]:
        """Batches of images N,H,W,C and labels; shuffled when there is a seed for it.

        A shuffled pass leaves out the images that do not fill a last batch, another few each
        time, unless there is not one full batch.
        """
        import grain

        dataset = grain.MapDataset.source(self)
        if shuffle_seed is not None:
            dataset = dataset.shuffle(seed=shuffle_seed)
        full_only = shuffle_seed is not None and len(self) >= size
        dataset = dataset.batch(size, drop_remainder=full_only)
        options = grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=4)
        yield from dataset.to_iter_dataset(options)


@dataclass(frozen=True)
class Scaling:
    """(p x rescale - mean) / std for a pixel value p, with one mean and std a channel."""

    rescale: float
    mean: Array
    std: Array


@dataclass(frozen=True)
class Data:
    """Training and held-out images with their class names."""

    classes: tuple[str, ...]
    training: Images
    held_out: Images


def prepare(source: Source, shape: Shape, preprocessing: Preprocessing, limit: int | None) -> Data:
    """Split a source and measure what its pixels need.

    A fifth of each class is held out; the split and the choice under `limit` depend on the
    source alone, so that every run and every backend sees the same. Raises ArchspecError.
    """
    import numpy as np

    if shape[0] not in (1, 3):
        raise ArchspecError(
            f"images have 1 or 3 channels and the network reads {show(shape)}: it cannot be "
            "trained on images"
        )
    numbers = np.random.default_rng(SPLIT_SEED)
    labels = np.asarray(source.labels)
    by_class = [
        numbers.permutation(np.flatnonzero(labels == c)) for c in range(len(source.classes))
    ]
    if limit is not None:
        by_class = _limited(by_class, limit)
    training: list[int] = []
    held_out: list[int] = []
    for name, members in zip(source.classes, by_class, strict=True):
        if len(members) < 2:
            raise ArchspecError(
                f"the class {name} has {len(members)} image{'s' if len(members) != 1 else ''}; "
                "two are needed, one to train on and one to hold out"
                + (f" (raise --limit to at least {2 * len(source.classes)})" if limit else "")
            )
        count = max(1, round(len(members) * HELD_OUT))
        held_out += members[:count].tolist()
        training += members[count:].tolist()
    scaling = _scaling(Images(source, training, shape), preprocessing)
    return Data(
        source.classes,
        Images(source, training, shape, scaling),
        Images(source, sorted(held_out), shape, scaling),
    )


def _limited(by_class: list[Any], limit: int) -> list[Any]:
    """The first images of each class, as equal in number as `limit` in all allows."""
    kept = [0] * len(by_class)
    left = limit
    while left > 0 and any(k < len(members) for k, members in zip(kept, by_class, strict=True)):
        for c, members in enumerate(by_class):
            if left > 0 and kept[c] < len(members):
                kept[c] += 1
                left -= 1
    return [members[:k] for members, k in zip(by_class, kept, strict=True)]


def _scaling(images: Images, preprocessing: Preprocessing) -> Scaling:
    """The recipe's numbers, those called `data` measured on up to 1,000 training images."""
    import numpy as np

    channels = images.shape[0]
    rescale = preprocessing.rescale
    measured: dict[str, Any] = {"mean": np.zeros(channels), "std": np.ones(channels)}
    if "data" in (preprocessing.mean, preprocessing.std):
        step = max(1, len(images) // STATISTICS_IMAGES)
        pixels = [images[i]["image"] for i in range(0, len(images), step)]
        total = sum(p.sum(axis=(0, 1), dtype="float64") for p in pixels)
        squares = sum(np.square(p, dtype="float64").sum(axis=(0, 1)) for p in pixels)
        count = sum(p.shape[0] * p.shape[1] for p in pixels)
        mean = total / count
        measured["mean"] = rescale * mean
        spread = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
        measured["std"] = rescale * np.where(spread > 0, spread, 1.0)

    def numbers(name: str) -> Array:
        value = getattr(preprocessing, name)
        if value == "data":
            return np.asarray(measured[name], dtype="float32")
        if value is None:
            return np.ones(channels, dtype="float32")
        if len(value) != channels:
            raise ArchspecError(
                f"the recipe's preprocessing.{name} has {len(value)} numbers and the network "
                f"reads {channels} channels"
            )
        return np.asarray(value, dtype="float32")

    return Scaling(rescale, numbers("mean"), numbers("std"))


def fitted(image: Image.Image, shape: Shape) -> Array:
    """An image as H,W,C of 0 to 255: short side to the input's, then the centre cut out."""
    import numpy as np
    from PIL import Image

    channels, height, width = shape
    image = image.convert("RGB" if channels == 3 else "L")
    scale = max(height / image.height, width / image.width)
    size = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
    if size != image.size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    image = image.crop((left, top, left + width, top + height))
    return np.asarray(image, dtype="float32").reshape(height, width, channels)
