"""Pixel statistics against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from archspec.training.statistics import Moments

RNG = np.random.default_rng(0)
# Correlated channels, as the colours of photographs are.
IMAGES = [
    (RNG.normal(size=(h, w, 3)) @ [[40, 30, 20], [0, 9, 3], [0, 0, 4]] + [110, 120, 90])
    .clip(0, 255)
    .astype("uint8")
    for h, w in ((7, 9), (1, 1), (30, 4))
]
PIXELS = np.concatenate([image.reshape(-1, 3) for image in IMAGES]).astype("float64")


def total(images: list[np.ndarray]) -> Moments:
    found = Moments.none(3)
    for image in images:
        found += Moments.of(image)
    return found


def test_mean_and_deviation() -> None:
    found = total(IMAGES).statistics()
    assert found.mean == pytest.approx(PIXELS.mean(axis=0), rel=1e-5)
    assert found.std == pytest.approx(PIXELS.std(axis=0), rel=1e-5)


def test_principal_components() -> None:
    found = total(IMAGES).statistics()
    covariance = np.cov(PIXELS, rowvar=False, bias=True)
    vectors = np.array(found.eigenvectors)
    assert list(found.eigenvalues) == sorted(found.eigenvalues, reverse=True)
    np.testing.assert_allclose(found.eigenvalues, np.linalg.eigvalsh(covariance)[::-1], rtol=1e-5)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(3), atol=1e-5)
    np.testing.assert_allclose(
        vectors.T @ np.diag(found.eigenvalues) @ vectors, covariance, rtol=1e-4
    )
    for vector in vectors:  # the sign is a convention, and everybody must get the same
        assert vector[np.abs(vector).argmax()] > 0


def test_the_order_is_no_matter() -> None:
    assert total(IMAGES) == total(IMAGES[::-1])
    assert total(IMAGES) == Moments.of(PIXELS.reshape(1, -1, 3))


def test_a_million_equal_pixels_do_not_deviate() -> None:
    """Sums of squares in floating point would leave something of 255^2."""
    found = Moments.of(np.full((1000, 1000, 1), 255, "uint8")).statistics()
    assert (found.mean, found.std, found.eigenvalues) == ((255,), (0,), (0,))
    assert found.eigenvectors == ((1,),)


def test_grey_pixels_have_one_component() -> None:
    grey = np.arange(256, dtype="uint8").reshape(16, 16, 1)
    found = Moments.of(np.repeat(grey, 3, axis=2)).statistics()
    # The variance of 0 to 255, in each of three channels, all along (1, 1, 1).
    assert found.eigenvalues == (pytest.approx(3 * (256**2 - 1) / 12, rel=1e-5), 0, 0)
    assert found.eigenvectors[0] == pytest.approx((3**-0.5,) * 3, rel=1e-5)
