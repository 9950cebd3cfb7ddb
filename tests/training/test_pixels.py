"""From an image as it is stored to what the network reads."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from archspec.training.pixels import fitted


def columns(width: int, height: int) -> Image.Image:
    """Every column has its number as its grey."""
    return Image.fromarray(np.tile(np.arange(width, dtype="uint8"), (height, 1)))


def test_an_image_of_the_right_size_stays() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype="uint8")
    found = fitted(Image.fromarray(pixels), (3, 5, 7))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, pixels)


def test_the_middle_is_cut_out() -> None:
    np.testing.assert_array_equal(
        fitted(columns(20, 10), (1, 10, 10))[..., 0], np.tile(np.arange(5, 15), (10, 1))
    )
    np.testing.assert_array_equal(
        fitted(columns(10, 20).rotate(90, expand=True).rotate(-90, expand=True), (1, 10, 10)),
        fitted(columns(10, 10), (1, 10, 10)),
    )


@pytest.mark.parametrize("shape", [(1, 6, 9), (3, 9, 6), (3, 1, 1), (1, 40, 10)])
@pytest.mark.parametrize("size", [(12, 18), (18, 12), (1, 1), (5, 90), (90, 5)])
def test_any_size_becomes_the_input(shape: tuple[int, int, int], size: tuple[int, int]) -> None:
    found = fitted(Image.new("RGB", size, (10, 200, 30)), shape)
    assert found.shape == (*shape[1:], shape[0])
    if shape[0] == 3:
        assert (found == [10, 200, 30]).all()


def test_shrinking_averages() -> None:
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    found = fitted(Image.fromarray(board.astype("uint8")), (1, 8, 8))
    assert np.abs(found - 127.5).max() < 20


def test_a_strip_does_not_become_gigabytes() -> None:
    assert fitted(Image.new("L", (1, 60_000), 7), (3, 227, 227)).max() == 7
    assert fitted(Image.new("L", (60_000, 1), 7), (3, 227, 227)).max() == 7


def test_16_bits_become_8() -> None:
    grey = Image.fromarray(np.array([[0, 257, 32896, 65535]], dtype="uint16"))
    assert grey.mode == "I;16"
    assert fitted(grey, (1, 1, 4))[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"]
)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.filterwarnings("error")
def test_every_kind_of_colour(mode: str, channels: int) -> None:
    image = Image.new("I;16", (4, 4), 65535) if mode == "I;16" else white(mode)
    found = fitted(image, (channels, 4, 4))
    assert found.shape == (4, 4, channels)
    assert (found == 255).all()


def white(mode: str) -> Image.Image:
    image = Image.new("RGB", (4, 4), "white")
    if mode in ("PA", "P"):
        image = image.convert("P")
        image.info["transparency"] = b"\xff\x00"
        return image if mode == "P" else image.convert("PA")
    return image.convert(mode)
