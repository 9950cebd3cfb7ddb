"""What `data` stands for in a recipe: moments of the pixel values of many images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Statistics:
    """Mean and covariance of the channels of pixel values of 0 to 255, over all pixels."""

    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]

    @property
    def std(self) -> tuple[float, ...]:
        """The standard deviation of each channel; 1 where it does not vary."""
        variances = (row[channel] for channel, row in enumerate(self.covariance))
        return tuple(max(v, 0.0) ** 0.5 or 1.0 for v in variances)

    @property
    def principal_components(self) -> tuple[tuple[float, ...], tuple[tuple[float, ...], ...]]:
        """The eigenvalues of the covariance, the largest first, and the eigenvector of each.

        Eigenvectors have length 1. Their sign is free: the component that is largest without its
        sign is above 0.
        """
        import numpy as np

        values, columns = np.linalg.eigh(np.asarray(self.covariance, "float64"))
        vectors = columns.T[::-1]
        largest = vectors[np.arange(len(vectors)), np.abs(vectors).argmax(axis=1)]
        vectors = vectors * np.sign(largest)[:, None]
        eigenvalues = np.maximum(values[::-1], 0.0).tolist()
        return tuple(eigenvalues), tuple(tuple(row) for row in vectors.tolist())


class Moments:
    """Sums over the pixels of images with so many channels, in float64; images come in any order.

    Pixel values are whole numbers, so that the sums are exact (below 2**53) and the same in every
    order.
    """

    def __init__(self, channels: int) -> None:
        import numpy as np

        self.count = 0
        self._sum: Array = np.zeros(channels)
        self._products: Array = np.zeros((channels, channels))

    def add(self, pixels: npt.NDArray[Any]) -> None:
        """Count the pixels of an array ...,C of 0 to 255."""
        rows = pixels.reshape(-1, pixels.shape[-1]).astype("float64")
        self.count += len(rows)
        self._sum = self._sum + rows.sum(axis=0)
        self._products = self._products + rows.T @ rows

    def state(self) -> tuple[int, list[float], list[list[float]]]:
        """The number of pixels, their sums and the sums of their products: what `merge` takes."""
        return self.count, self._sum.tolist(), self._products.tolist()

    def merge(self, count: int, sums: Sequence[float], products: Sequence[Sequence[float]]) -> None:
        """Count the pixels of another one, by its `state`."""
        import numpy as np

        self.count += count
        self._sum = self._sum + np.asarray(sums)
        self._products = self._products + np.asarray(products)

    def statistics(self) -> Statistics:
        """Mean and covariance of what was counted, at least one pixel."""
        import numpy as np

        mean = self._sum / self.count
        covariance = self._products / self.count - np.outer(mean, mean)
        return Statistics(tuple(mean.tolist()), tuple(tuple(row) for row in covariance.tolist()))
