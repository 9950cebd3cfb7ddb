"""The mean, the deviation and the principal components of pixels, from sums that are exact."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Pixels = npt.NDArray[np.number[Any]]

# Digits of a measured number: what is written down is what is computed with, on every machine.
DIGITS = 6


@dataclass(frozen=True)
class PixelStatistics:
    """What the pixels of some images are like, on the scale of 0 to 255.

    `mean` and `std` (divided by n) are one number a channel. `eigenvalues` are those of the
    covariance of the channels (the variances along the principal components), the largest first;
    `eigenvectors` has a vector of length 1 for each. Krizhevsky et al. (2012, section 4.1) shift
    the colours of an image by the sum over i of eigenvectors[i] x a_i x eigenvalues[i].
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    eigenvalues: tuple[float, ...]
    eigenvectors: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Moments:
    """Sums over pixels whose values are whole numbers: exact, so that their order is no matter.

    `sums` has a number a channel, `products` the sum of the products of each two channels.
    """

    count: int
    sums: tuple[int, ...]
    products: tuple[tuple[int, ...], ...]

    @classmethod
    def none(cls, channels: int) -> Moments:
        """The sums over no pixel."""
        return cls(0, (0,) * channels, ((0,) * channels,) * channels)

    @classmethod
    def of(cls, pixels: Pixels) -> Moments:
        """The sums over an array whose last axis are the channels, of whole numbers 0 to 255."""
        channels = pixels.shape[-1]
        # The product of two bytes fits into 16 bits.
        planes = [pixels[..., c].astype("uint16").ravel() for c in range(channels)]
        products = [[0] * channels for _ in planes]
        for i, left in enumerate(planes):
            for j, right in enumerate(planes[: i + 1]):
                products[i][j] = products[j][i] = int((left * right).sum(dtype="uint64"))
        return cls(
            planes[0].size,
            tuple(int(plane.sum(dtype="uint64")) for plane in planes),
            tuple(map(tuple, products)),
        )

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.count + other.count,
            tuple(a + b for a, b in zip(self.sums, other.sums, strict=True)),
            tuple(
                tuple(a + b for a, b in zip(left, right, strict=True))
                for left, right in zip(self.products, other.products, strict=True)
            ),
        )

    def statistics(self) -> PixelStatistics:
        """What the sums say, to `DIGITS` digits. There must be a pixel."""
        import numpy as np

        n, channels = self.count, range(len(self.sums))
        # In integers: the difference of two large numbers loses nothing.
        covariance = [
            [(n * self.products[i][j] - self.sums[i] * self.sums[j]) / n**2 for j in channels]
            for i in channels
        ]
        values, vectors = np.linalg.eigh(np.asarray(covariance))
        # Grey pixels vary in one direction; what is left in the others is rounding.
        values = np.where(values > 1e-12 * values[-1], values, 0.0)
        # A vector and its opposite are the same component: the largest number of one is positive.
        ordered = [column * np.sign(column[np.abs(column).argmax()]) for column in vectors.T[::-1]]
        return PixelStatistics(
            mean=tuple(rounded(total / n) for total in self.sums),
            std=tuple(rounded(math.sqrt(covariance[c][c])) for c in channels),
            eigenvalues=tuple(rounded(float(value)) for value in values[::-1]),
            eigenvectors=tuple(tuple(rounded(float(x)) for x in vector) for vector in ordered),
        )


def rounded(value: float) -> float:
    """A measured number as it is written down."""
    return float(f"{value:.{DIGITS}g}")
