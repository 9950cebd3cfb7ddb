"""Loss and accuracy against scikit-learn and plain NumPy."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, log_loss, top_k_accuracy_score

from archspec.training.metrics import Score, confusion, score, sums


def counted(logits: Any, labels: Any, batch: int = 4, classes: int = 0) -> np.ndarray:
    """The sums of logits that a model returns for images which hold their own number."""
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

    found = sums(model, batches(), classes)
    assert repr(score(model, batches())) == repr(Score.of(found))  # NaN is not equal to itself
    return found


def scored(logits: Any, labels: Any, batch: int = 4) -> Score:
    return Score.of(counted(logits, labels, batch))


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


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_the_confusion_matrix_is_that_of_scikit_learn(classes: int) -> None:
    numbers = np.random.default_rng(classes)
    logits = numbers.normal(size=(30, classes)).astype("float32")
    labels = numbers.integers(0, classes, 30)
    found = counted(logits, labels, classes=classes)
    expected = confusion_matrix(labels, logits.argmax(axis=1), labels=range(classes))
    assert confusion(found).tolist() == expected.tolist()
    assert np.trace(confusion(found)) / 30 == Score.of(found).top1


def test_an_image_that_does_not_count_is_taken_for_another_class() -> None:
    # The diagonal is what top-1 says, with ties and with logits that are no numbers too.
    logits = [[1, 1, 0], [2, 1, 2], [0, 0, 0], [np.nan, 0, 0], [0, 1, 0], [np.nan] * 3]
    logits.append([-np.inf] * 3)
    found = counted(logits, [0, 2, 1, 0, 1, 2, 0], classes=3)
    assert confusion(found).tolist() == [[0, 3, 0], [1, 1, 0], [2, 0, 0]]
    assert Score.of(found).top1 == 1 / 7


def test_several_processes_score_as_one() -> None:
    numbers = np.random.default_rng(0)
    logits = numbers.normal(size=(23, 7)).astype("float32")
    labels = numbers.integers(0, 7, 23)
    whole = counted(logits, labels, classes=7)
    parts = [counted(logits[i::3], labels[i::3], classes=7) for i in range(3)]
    nothing = sums(lambda images: images, [], classes=7)  # a process without a single image
    together = np.sum([*parts, nothing], axis=0)
    np.testing.assert_array_equal(together[1:], whole[1:])
    np.testing.assert_allclose(together, whole, rtol=1e-14)
    batches = [{"image": logits, "label": labels}]
    assert score(lambda images: images, batches, lambda found: found * 2) == Score.of(whole)


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
