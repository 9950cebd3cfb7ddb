"""The handwritten digits that come with scikit-learn."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from archspec.training.sources.base import Kind, Size, Source

if TYPE_CHECKING:
    from PIL import Image


class Digits(Source):
    """scikit-learn's 1,797 scans of handwritten digits, 8 x 8 pixels in 17 greys."""

    def __init__(self) -> None:
        from sklearn.datasets import load_digits

        data = load_digits()
        self.name = KIND.name
        self.classes = tuple(str(name) for name in data.target_names)
        self.labels = [int(label) for label in data.target]
        self._pixels = (data.images * (255 / 16)).round().astype("uint8")

    def image(self, index: int, least: Size | None = None) -> Image.Image:
        """Image `index` as greys of 0 to 255."""
        from PIL import Image

        return Image.fromarray(self._pixels[index])

    def title(self, index: int) -> str:
        """Its number."""
        return str(index)

    def check(self, indices: Iterable[int]) -> None:
        """Nothing can be wrong with them."""


KIND = Kind("digits", ("digits",), "1,797 handwritten digits, 8 x 8", lambda _: Digits())
