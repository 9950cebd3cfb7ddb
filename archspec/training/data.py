"""Images for training: how they are split, scaled and put into batches.

One pipeline for every backend, on grain: sources with random access, a shuffle that depends on
the seed and the epoch alone, decoding in threads ahead of the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archspec.analysis.numbers import counted
from archspec.diagnostics import ArchspecError
from archspec.layers.base import Shape, show
from archspec.spec.preprocessing import Preprocessing
from archspec.training.pixels import fitted
from archspec.training.sources import Source, shown

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.floating[Any]]

HELD_OUT = 0.2
SPLIT_SEED = 0
STATISTICS_IMAGES = 1000
# Digits of a measured mean or deviation: what the run folder shows is what was computed with.
STATISTICS_DIGITS = 6
THREADS = 2
AHEAD = 4


@dataclass(frozen=True)
class Epoch:
    """A pass over the training images: the `number`-th, from 1, of a run with this seed.

    All that is random in it depends on these two and on what it is about (an image, a step), and
    on nothing that was drawn before.
    """

    seed: int
    number: int

    @property
    def shuffle_seed(self) -> int:
        """Another order of the images for each epoch of each seed, the same in every backend."""
        return (self.seed * 1_000_003 + self.number) % 2**31

    def step_seed(self, batch: int) -> int:
        """The seed of what a network draws in a step, which counts from 0 in each epoch."""
        return (self.shuffle_seed * 1_000_033 + batch) % 2**31


@dataclass(frozen=True, eq=False, repr=False)
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
            pixels = self.scaling.scaled(pixels)
        return {"image": pixels, "label": self.source.labels[index]}

    def batches(
        self,
        size: int,
        *,
        epoch: Epoch | None = None,
        start: int = 0,
        shard: tuple[int, int] = (0, 1),
    ) -> Iterator[dict[str, Any]]:
        """Batches of images N,H,W,C and labels; in the order of an `epoch`, or as they are.

        A shuffled pass leaves out the images that do not fill a last batch, another few each
        time, unless there is not one full batch. The first `start` batches are not read. Process
        `rank` of so many, `shard`, reads its part of each batch. What decoding raises is raised
        here.
        """
        import grain

        dataset = grain.MapDataset.source(self)
        if epoch is not None:
            dataset = dataset.shuffle(seed=epoch.shuffle_seed)
        full_only = epoch is not None and len(self) >= size
        dataset = dataset[start * size : len(self) - len(self) % size if full_only else None]
        rank, processes = shard
        dataset = dataset.batch(size // processes)[rank::processes]
        options = grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=AHEAD)
        yield from dataset.to_iter_dataset(options)

    def members(self, size: int, epoch: Epoch, batch: int) -> list[int]:
        """The numbers, in the source, of the images of a batch of an epoch; it counts from 0."""
        import grain

        order = grain.MapDataset.range(len(self)).shuffle(seed=epoch.shuffle_seed)
        positions = range(batch * size, min((batch + 1) * size, len(self)))
        return [self.indices[int(order[position])] for position in positions]

    def per_pass(self, size: int) -> int:
        """The images of a shuffled pass in batches of `size`."""
        return len(self) - len(self) % size if len(self) >= size else len(self)


@dataclass(frozen=True, eq=False)
class Scaling:
    """(p x rescale - mean) / std for a pixel value p, with one mean and std a channel."""

    rescale: float
    mean: Array
    std: Array

    @classmethod
    def of(cls, preprocessing: Preprocessing, channels: int) -> Scaling:
        """The numbers of a recipe, which must be numbers and not `data`. Raises ArchspecError."""
        import numpy as np

        arrays = []
        for name, default in (("mean", 0.0), ("std", 1.0)):
            value = getattr(preprocessing, name)
            value = (default,) * channels if value is None else value
            if len(value) != channels:
                raise ArchspecError(
                    f"the recipe's preprocessing.{name} has {counted(len(value), 'number')} and "
                    f"the network reads {counted(channels, 'channel')}"
                )
            arrays.append(np.asarray(value, dtype="float32"))
        return cls(preprocessing.rescale, *arrays)

    def scaled(self, pixels: Array) -> Array:
        """An image H,W,C of 0 to 255 as the network reads it, in float32."""
        found: Array = ((pixels * self.rescale - self.mean) / self.std).astype("float32")
        return found


@dataclass(frozen=True)
class Data:
    """Training and held-out images with their class names.

    `preprocessing` is the recipe's, with numbers in the place of `data`.
    """

    classes: tuple[str, ...]
    training: Images
    held_out: Images
    preprocessing: Preprocessing


def prepare(source: Source, shape: Shape, preprocessing: Preprocessing, limit: int | None) -> Data:
    """Split a source and measure what its pixels need.

    A fifth of each class is held out; the split and the choice under `limit` depend on the
    source alone, so that every run and every backend sees the same. Raises ArchspecError.
    """
    if shape[0] not in (1, 3):
        raise ArchspecError(
            f"images have 1 or 3 channels and the network reads {show(shape)}: it cannot be "
            "trained on images"
        )
    training, held_out = split(source, limit)
    source.check(sorted([*training, *held_out]))
    preprocessing = _measured(Images(source, training, shape), preprocessing)
    scaling = Scaling.of(preprocessing, shape[0])
    return Data(
        source.classes,
        Images(source, training, shape, scaling),
        Images(source, held_out, shape, scaling),
        preprocessing,
    )


def split(source: Source, limit: int | None) -> tuple[list[int], list[int]]:
    """The numbers of the training and of the held-out images. Raises ArchspecError."""
    import numpy as np

    numbers = np.random.default_rng(SPLIT_SEED)
    labels = np.asarray(source.labels)
    by_class = [
        numbers.permutation(np.flatnonzero(labels == c)) for c in range(len(source.classes))
    ]
    for name, members in zip(source.classes, by_class, strict=True):
        if len(members) < 2:
            raise ArchspecError(
                f"the class {shown(name)} has one image; two are needed, one to train on and one "
                "to hold out"
            )
    if limit is not None:
        least = 2 * len(by_class)
        if limit < least:
            raise ArchspecError(
                f"--limit {limit} is too few for {len(by_class)} classes: each needs an image to "
                f"train on and one to hold out, so at least {least}"
            )
        by_class = _limited(by_class, limit)
    training: list[int] = []
    held_out: list[int] = []
    for members in by_class:
        count = max(1, round(len(members) * HELD_OUT))
        held_out += members[:count].tolist()
        training += members[count:].tolist()
    return training, sorted(held_out)


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


def _measured(images: Images, preprocessing: Preprocessing) -> Preprocessing:
    """The recipe's numbers, those called `data` measured on up to 1,000 training images."""
    import numpy as np

    if "data" not in (preprocessing.mean, preprocessing.std):
        return preprocessing
    step = -(-len(images) // STATISTICS_IMAGES)
    chosen = Images(images.source, images.indices[::step], images.shape)
    total = squares = np.zeros(images.shape[0])
    count = 0
    for batch in chosen.batches(32):
        pixels = batch["image"].astype("float64")
        total = total + pixels.sum(axis=(0, 1, 2))
        squares = squares + np.square(pixels).sum(axis=(0, 1, 2))
        count += pixels[..., 0].size
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
    measured = {"mean": mean, "std": np.where(std > 0, std, 1.0)}
    return preprocessing.model_copy(
        update={
            name: tuple(_rounded(value * preprocessing.rescale) for value in values)
            for name, values in measured.items()
            if getattr(preprocessing, name) == "data"
        }
    )


def _rounded(value: float) -> float:
    return float(f"{value:.{STATISTICS_DIGITS}g}")
