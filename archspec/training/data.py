"""Images for training: how they are split, scaled and put into batches.

One pipeline for every backend, on grain: sources with random access, a shuffle that depends on
the seed and the epoch alone, decoding in threads ahead of the model.
"""

from __future__ import annotations

import dataclasses
import math
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archspec.analysis.numbers import counted
from archspec.diagnostics import ArchspecError
from archspec.layers.base import Shape, show
from archspec.spec.preprocessing import Augmentation, PcaJitter, Preprocessing
from archspec.spec.recipe import Recipe
from archspec.training.augmentation import augmented
from archspec.training.pixels import PLAIN, Scaling, around, fitted, least, require_fit, ten_crops
from archspec.training.sources import Source, shown
from archspec.training.statistics import Moments, PixelStatistics, rounded

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.floating[Any]]

NONE = Augmentation()
HELD_OUT = 0.2
SPLIT_SEED = 0
STATISTICS_IMAGES = 1000
# Threads that decode, at most, one for each core; the images that one of them takes at a time; and
# the bytes of the images that are ready or under way, one batch at least.
THREADS = 16
PIECE = 16
AHEAD_BYTES = 1 << 30


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

    def numbers(self, index: int) -> np.random.Generator:
        """The random numbers of image `index` of a source.

        Philox gives independent numbers for every key (Salmon et al. 2011), so that none has to
        be drawn before another, in whatever thread or process.
        """
        import numpy as np

        key = index << 64 | self.seed << 32 | self.number
        return np.random.Generator(np.random.Philox(key=key))


@dataclass(frozen=True, eq=False, repr=False)
class Images:
    """A part of a source: every image at the network's input size `shape`.

    They are scaled as the recipe says where there is a `scaling`, else pixel values of 0 to 255.
    With `crops` there are the `ten_crops` of each instead, 10,H,W,C, scaled as `preprocessing`
    says, and no augmentation.
    """

    source: Source
    indices: Sequence[int]
    shape: Shape
    scaling: Scaling | None = None
    preprocessing: Preprocessing = PLAIN
    augmentation: Augmentation = NONE
    crops: bool = False

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> dict[str, Any]:
        """One `image` H,W,C in float32 and its `label`, without augmentation."""
        batch = self._empty(1)
        self._fill(batch, 0, [position], None)
        return {name: values[0] for name, values in batch.items()}

    def batches(
        self,
        size: int,
        *,
        epoch: Epoch | None = None,
        start: int = 0,
        shard: tuple[int, int] = (0, 1),
    ) -> Iterator[dict[str, Any]]:
        """Batches of `image` N,H,W,C and `label` N: in order, or as in an epoch of training.

        An epoch leaves out the images that do not fill a last batch, another few each time, unless
        there is not one full batch. `start` batches are left out at the beginning, and the others
        are what they would have been with them. `shard` is (rank, number of processes): each
        process gets its part of every batch, one after the other; of a last one that is not full
        the parts differ by one image at most, and some may be empty, so that all processes get
        equally many. What decoding raises is raised here; ArchspecError too where the processes
        cannot have equal parts of an epoch's batches.
        """
        import grain

        rank, processes = shard
        order: Any = range(len(self))
        total = len(self)
        if epoch is not None:
            order = grain.MapDataset.range(total).shuffle(seed=epoch.shuffle_seed)
            total = self.per_pass(size)
            require_equal_parts(total, size, processes)

        count = -(-total // size)
        if start >= count:
            return

        def positions(number: int) -> range:
            """Where the images of this process' part of a batch stand in the order."""
            first = number * size
            images = min(size, total - first)
            return range(*(first + images * part // processes for part in (rank, rank + 1)))

        # Threads make a batch together, a piece each, so that a large batch takes no longer to
        # begin with than a small one, and is not copied once its images are there.
        pieces = -(-size // (processes * PIECE))
        batches: dict[int, dict[str, Any]] = {}
        lock = threading.Lock()

        def fill(number: int) -> int:
            batch, piece = divmod(number, pieces)
            chosen = positions(batch)
            with lock:
                if batch not in batches:
                    batches[batch] = self._empty(len(chosen))
            begin = piece * PIECE
            part = [int(order[position]) for position in chosen[begin : begin + PIECE]]
            self._fill(batches[batch], begin, part, epoch)
            return number

        threads, ahead = _readers(pieces, PIECE * math.prod(self._image_shape) * 4)
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=ahead)
        source = grain.MapDataset.source(range(start * pieces, count * pieces))
        done = iter(source.map(fill).to_iter_dataset(options))
        for number in range(start, count):
            for _ in range(pieces):
                next(done)
            yield batches.pop(number)

    @property
    def _image_shape(self) -> Shape:
        """That of an image in a batch, or of its ten crops."""
        channels, height, width = self.shape
        return (*((10,) if self.crops else ()), height, width, channels)

    def _empty(self, count: int) -> dict[str, Any]:
        """Room for so many images and labels."""
        import numpy as np

        return {
            "image": np.empty((count, *self._image_shape), "float32"),
            "label": np.empty(count, "int64"),
        }

    def _fill(
        self, batch: dict[str, Any], begin: int, positions: Sequence[int], epoch: Epoch | None
    ) -> None:
        """Write the images of these positions into a batch, from place `begin` on."""
        for place, position in enumerate(positions, start=begin):
            index = self.indices[position]
            self._draw(index, epoch, batch["image"][place])
            batch["label"][place] = self.source.labels[index]

    def _draw(self, index: int, epoch: Epoch | None, out: Array) -> None:
        """Write an image of the source, or its ten crops, into an array."""
        shape, recipe = self.shape, self.preprocessing
        shift = None
        if self.crops:
            enough = least(shape, around(shape, recipe))
            out[...] = ten_crops(self.source.image(index, enough), shape, recipe)
            return
        if epoch is None or not self.augmentation.changes:
            pixels = fitted(self.source.image(index, least(shape, recipe)), shape, recipe)
        else:
            enough = least(shape, recipe, self.augmentation.smallest)
            pixels, shift = augmented(
                self.source.image(index, enough),
                shape,
                recipe,
                self.augmentation,
                epoch.numbers(index),
            )
        if self.scaling is None:
            out[...] = pixels
        else:
            self.scaling.scaled(pixels, shift, out)

    def members(self, size: int, epoch: Epoch, batch: int) -> list[int]:
        """The numbers, in the source, of the images of a batch of an epoch; it counts from 0."""
        import grain

        order = grain.MapDataset.range(len(self)).shuffle(seed=epoch.shuffle_seed)
        positions = range(batch * size, min((batch + 1) * size, len(self)))
        return [self.indices[int(order[position])] for position in positions]

    def per_pass(self, size: int) -> int:
        """The images of an epoch in batches of `size`."""
        return len(self) - len(self) % size if len(self) >= size else len(self)


def require_equal_parts(images: int, size: int, parts: int) -> None:
    """Every process, or device, trains on the same part of each batch. Raises ArchspecError.

    The mean over the parts is that over the batch only where they are equal.
    """
    several = f"{parts} processes or devices"
    if parts > 1 and images < size:
        fit = f"take --batch-size {images - images % parts} or less"
        raise ArchspecError(
            f"the {images:,} training images are fewer than one batch of {size:,}, and {several} "
            f"share whole batches: {'take fewer of them' if images < parts else fit}"
        )
    if size % parts:
        near = [n for n in (size - size % parts, size - size % parts + parts) if n]
        raise ArchspecError(
            f"a batch of {size:,} images does not divide into equal parts for {several}: take "
            f"--batch-size {' or '.join(map(str, near))}"
        )


def _readers(pieces: int, piece_bytes: int) -> tuple[int, int]:
    """How many threads read, and how many pieces of batches are under way or ready at most."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    threads = max(2, min(THREADS, cores))
    # Two batches ahead, so that one is ready whenever another has been taken.
    wanted = max(2 * threads, 2 * pieces)
    return threads, max(threads, pieces, min(wanted, AHEAD_BYTES // max(piece_bytes, 1)))


@dataclass(frozen=True)
class Data:
    """Training and held-out images with their class names.

    `preprocessing` and `augmentation` are the recipe's, with numbers in the place of `data`.
    """

    classes: tuple[str, ...]
    training: Images
    held_out: Images
    preprocessing: Preprocessing
    augmentation: Augmentation

    def resolved(self, recipe: Recipe) -> Recipe:
        """A recipe with what its images need in numbers."""
        return recipe.model_copy(
            update={"preprocessing": self.preprocessing, "augmentation": self.augmentation}
        )


def prepare(source: Source, shape: Shape, recipe: Recipe, limit: int | None) -> Data:
    """Split a source and measure what its pixels need.

    The images that the source's authors hold out are held out, else a fifth of each class; the
    split and the choice under `limit` depend on the source alone, so that every run and every
    backend sees the same. Raises ArchspecError.
    """
    if shape[0] not in (1, 3):
        raise ArchspecError(
            f"images have 1 or 3 channels and the network reads {show(shape)}: it cannot be "
            "trained on images"
        )
    require_fit(shape, recipe.preprocessing)
    training, held_out = split(source, limit)
    source.check(sorted([*training, *held_out]))
    measured = _measured(Images(source, training, shape, None, recipe.preprocessing), recipe)
    preprocessing, augmentation = measured
    scaling = Scaling.of(preprocessing, shape[0])
    _require_components(augmentation.pca_jitter, shape[0])
    return Data(
        source.classes,
        Images(source, training, shape, scaling, preprocessing, augmentation),
        Images(source, held_out, shape, scaling, preprocessing),
        preprocessing,
        augmentation,
    )


def split(source: Source, limit: int | None) -> tuple[list[int], list[int]]:
    """The numbers of the training and of the held-out images. Raises ArchspecError."""
    if source.held_out is not None:
        return _official(source, source.held_out, limit)
    by_class = _by_class(source, range(len(source.labels)))
    for name, members in zip(source.classes, by_class, strict=True):
        if len(members) < 2:
            raise ArchspecError(
                f"the class {shown(name)} has one image; two are needed, one to train on and one "
                "to hold out"
            )
    if limit is not None:
        _require_two_each(limit, len(by_class))
        by_class = _limited(by_class, limit)
    training: list[int] = []
    held_out: list[int] = []
    for members in by_class:
        count = max(1, round(len(members) * HELD_OUT))
        held_out += members[:count].tolist()
        training += members[count:].tolist()
    return sorted(training), sorted(held_out)


def _official(
    source: Source, held_out: Sequence[int], limit: int | None
) -> tuple[list[int], list[int]]:
    """The split of the source's authors; of a `limit` a fifth is held out."""
    apart = set(held_out)
    training = [index for index in range(len(source.labels)) if index not in apart]
    if limit is None:
        return training, sorted(apart)
    _require_two_each(limit, len(source.classes))
    count = min(len(apart), max(len(source.classes), round(limit * HELD_OUT)))
    parts = ((training, limit - count), (sorted(apart), count))
    first, second = (
        [int(i) for members in _limited(_by_class(source, part), most) for i in members]
        for part, most in parts
    )
    return sorted(first), sorted(second)


def _by_class(source: Source, indices: Sequence[int]) -> list[Any]:
    """The images of each class, in an order that depends on the source alone."""
    import numpy as np

    numbers = np.random.default_rng(SPLIT_SEED)
    chosen = np.asarray(indices)
    labels = np.asarray(source.labels)[chosen]
    return [
        numbers.permutation(chosen[np.flatnonzero(labels == label)])
        for label in range(len(source.classes))
    ]


def _require_two_each(limit: int, classes: int) -> None:
    if limit < 2 * classes:
        raise ArchspecError(
            f"--limit {limit} is too few for {classes} classes: each needs an image to train on "
            f"and one to hold out, so at least {2 * classes}"
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


def _measured(images: Images, recipe: Recipe) -> tuple[Preprocessing, Augmentation]:
    """The recipe's numbers, those called `data` measured on the training images."""
    preprocessing, augmentation = recipe.preprocessing, recipe.augmentation
    jitter = augmentation.pca_jitter
    wanted = [name for name in ("mean", "std") if getattr(preprocessing, name) == "data"]
    colours = jitter is not None and jitter.eigenvalues == "data"
    if not wanted and not colours:
        return preprocessing, augmentation
    found = images.source.statistics(images.shape[0]) or _statistics(images)
    scale = preprocessing.rescale
    # What never varies has no deviation, and nothing to be divided by.
    numbers = {"mean": found.mean, "std": tuple(value or 1.0 / scale for value in found.std)}
    preprocessing = preprocessing.model_copy(
        update={name: tuple(rounded(v * scale) for v in numbers[name]) for name in wanted}
    )
    if jitter is not None and colours:
        measured = {
            "eigenvalues": tuple(rounded(value * scale**2) for value in found.eigenvalues),
            "eigenvectors": found.eigenvectors,
        }
        jitter = jitter.model_copy(update=measured)
        augmentation = augmentation.model_copy(update={"pca_jitter": jitter})
    return preprocessing, augmentation


def _statistics(images: Images) -> PixelStatistics:
    """What the pixels of up to 1,000 images are like, evenly over a part of the source."""
    import numpy as np

    chosen = images.indices[:: -(-len(images) // STATISTICS_IMAGES)]
    moments = Moments.none(images.shape[0])
    for batch in dataclasses.replace(images, indices=chosen).batches(32):
        moments += Moments.of(batch["image"].astype(np.uint8))
    return moments.statistics()


def _require_components(jitter: PcaJitter | None, channels: int) -> None:
    if jitter is not None and len(jitter.eigenvalues) != channels:
        raise ArchspecError(
            f"the recipe's augmentation.pca_jitter has {len(jitter.eigenvalues)} eigenvalues and "
            f"the network reads {counted(channels, 'channel')}"
        )
