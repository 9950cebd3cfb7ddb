"""Loss, accuracy and confusions from logits, the same for every backend.

What is counted are sums over images. They add up: over batches, and over processes that have
looked at different images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.floating[Any]]
    Sums = npt.NDArray[np.float64]

# What the first entries of `sums` are: the cross-entropies, the images whose class is the best and
# among the best five, and all images.
_LOSS, _TOP1, _TOP5, _IMAGES, _FIGURES = range(5)


@dataclass(frozen=True)
class Score:
    """Mean cross-entropy, and the fraction of images whose class is the best, or among five."""

    loss: float
    top1: float
    top5: float

    @classmethod
    def of(cls, sums: Sums) -> Score:
        """The means of what `sums` has added up, of at least one image."""
        loss, top1, top5, images = (float(number) for number in sums[:_FIGURES])
        return cls(loss / images, top1 / images, top5 / images)


def score(
    logits_of: Callable[[Array], Array],
    batches: Iterable[dict[str, Any]],
    total: Callable[[Sums], Sums] | None = None,
) -> Score:
    """Score a model on batches of `image` and `label`.

    `total` adds up what several processes have found, each in its own images (`Group.sum`).
    """
    found = sums(logits_of, batches)
    return Score.of(found if total is None else total(found))


def sums(
    logits_of: Callable[[Array], Array], batches: Iterable[dict[str, Any]], classes: int = 0
) -> Sums:
    """What scores are made of, in float64: cross-entropy, hits of top-1 and top-5, images.

    With `classes`, the confusion matrix of so many classes follows, row by row (see `confusion`).

    Cross-entropy: log(sum(exp(z))) - z_label; NaN where a logit is. An image counts for top-k when
    fewer than k other classes have a logit as high as its own; with five classes or fewer, every
    image counts for top-5. The last batch is filled up to the size of the others, so that a
    compiled model sees one shape.
    """
    import numpy as np

    found = np.zeros(_FIGURES + classes**2)
    matrix = found[_FIGURES:].reshape(classes, classes)
    size = 0
    for batch in batches:
        images, labels = batch["image"], np.asarray(batch["label"])
        size = max(size, len(images))
        if len(images) < size:
            filled = np.zeros((size, *images.shape[1:]), images.dtype)
            filled[: len(images)] = images
            images = filled
        logits = logits_of(images)[: len(labels)].astype("float64")
        each = np.arange(len(labels))
        of_label = logits[each, labels]
        highest = logits.max(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):  # infinite logits give NaN
            total = np.log(np.exp(logits - highest).sum(axis=1)) + highest[:, 0]
            found[_LOSS] += (total - of_label).sum()
        # A class ranks behind all that are not worse: neither equal logits nor NaN count.
        rank = (~(logits < of_label[:, None])).sum(axis=1)
        for place, k in ((_TOP1, 1), (_TOP5, 5)):
            found[place] += (rank <= min(k, logits.shape[1])).sum()
        found[_IMAGES] += len(labels)
        if classes:
            others = logits.clip(min=np.finfo("float64").min)  # so that -inf is its own class alone
            others[each, labels] = -np.inf
            np.add.at(matrix, (labels, np.where(rank == 1, labels, others.argmax(axis=1))), 1)
    return found


def confusion(sums: Sums) -> npt.NDArray[np.int64]:
    """The images by class (rows) and by what they are taken for (columns), classes x classes.

    An image is taken for its class when it counts for top-1, so the diagonal adds up to those; any
    other for the best of the other classes, the first of equals.
    """
    import math

    counts = sums[_FIGURES:]
    classes = math.isqrt(len(counts))
    found: npt.NDArray[np.int64] = counts.reshape(classes, classes).astype("int64")
    return found
