"""Loss and accuracy against scikit-learn and plain NumPy."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import log_loss, top_k_accuracy_score

from archspec.training.metrics import Score, score


def scored(logits: Any, labels: Any, batch: int = 4) -> Score:
    """Score logits that a model returns for images which hold their own number."""
    logits = np.asarray(logits, dtype="float32")

    def model(images: np.ndarray) -> np.ndarray:
        assert len(images) in (batch, len(logits)), "a compiled model sees one shape"
        return logits[images[:, 0, 0, 0].astype(int)]

    def batches() -> Iterator[dict[str, Any]]:
        for start in range(0, len(logits), batch):
            numbers = np.arange(start, min(start + batch, len(logits)), dtype="float32")
            yield {
                "image": numbers.reshape(-1, 1, 1, 1),
                "label": np.asarray(labels[start : start + batch]),
            }

    return score(model, batches())


@pytest.mark.parametrize("classes", [2, 3, 5, 6, 10])
@pytest.mark.parametrize("count", [3, 4, 30])
def test_it_agrees_with_scikit_learn(classes: int, count: int) -> None:
    numbers = np.random.default_rng(classes * count)
    logits = numbers.normal(size=(count, classes)).astype("float32") * 5
    labels = numbers.integers(0, classes, count)
    wide = logits.astype("float64")
    probabilities = np.exp(wide) / np.exp(wide).sum(axis=1, keepdims=True)
    found = scored(logits, labels)
    assert found.loss == pytest.approx(log_loss(labels, probabilities, labels=range(classes)))
    assert found.top1 == np.mean(logits.argmax(axis=1) == labels)
    if classes > 5:
        expected = top_k_accuracy_score(labels, logits, k=5, labels=range(classes))
        assert found.top5 == pytest.approx(expected)
    else:
        assert found.top5 == 1.0


def test_ties_do_not_count() -> None:
    # A network that says the same of every class knows nothing.
    assert scored(np.zeros((4, 10)), [0, 3, 5, 9]).top1 == 0.0
    assert scored(np.zeros((4, 10)), [0, 3, 5, 9]).top5 == 0.0
    found = scored([[1, 1, 0, 0, 0, 0, 0], [2, 1, 1, 1, 1, 1, 0]], [0, 1])
    assert (found.top1, found.top5) == (0.0, 0.5)


def test_large_logits_do_not_overflow() -> None:
    assert scored([[1e30, 0.0], [0.0, 1e30]], [0, 1]).loss == 0.0
    assert scored([[1000.0, 0.0]], [1]).loss == pytest.approx(1000.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_logits_that_are_no_numbers_are_never_right(bad: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = scored([[bad] * 10] * 4, [0, 1, 2, 3])
    assert not np.isfinite(found.loss)
    assert (found.top1, found.top5) == (0.0, 0.0)
