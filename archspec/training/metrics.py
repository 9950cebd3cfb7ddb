"""Loss and accuracy from logits, the same for every backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Score:
    """Mean cross-entropy, and the fraction of images whose class is the best, or among five."""

    loss: float
    top1: float
    top5: float


def score(logits_of: Callable[[Array], Array], batches: Iterable[dict[str, Any]]) -> Score:
    """Score a model on batches of `image` and `label`.

    Cross-entropy in float64: log(sum(exp(z))) - z_label; NaN where a logit is. An image counts
    for top-k when fewer than k other classes have a logit as high as its own; with five classes
    or fewer, every image counts for top-5. The last batch is filled up to the size of the
    others, so that a compiled model sees one shape.
    """
    import numpy as np

    loss = 0.0
    hits = {1: 0, 5: 0}
    count = size = 0
    for batch in batches:
        images, labels = batch["image"], np.asarray(batch["label"])
        size = max(size, len(images))
        if len(images) < size:
            filled = np.zeros((size, *images.shape[1:]), images.dtype)
            filled[: len(images)] = images
            images = filled
        logits = logits_of(images)[: len(labels)].astype("float64")
        of_label = logits[np.arange(len(labels)), labels]
        highest = logits.max(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):  # infinite logits give NaN
            total = np.log(np.exp(logits - highest).sum(axis=1)) + highest[:, 0]
            loss += float((total - of_label).sum())
        # A class ranks behind all that are not worse: neither equal logits nor NaN count.
        rank = (~(logits < of_label[:, None])).sum(axis=1)
        for k in hits:
            hits[k] += int((rank <= min(k, logits.shape[1])).sum())
        count += len(labels)
    return Score(loss / count, hits[1] / count, hits[5] / count)
