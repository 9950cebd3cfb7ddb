"""From an image as it is stored to what the network reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from archspec.diagnostics import ArchspecError
from archspec.spec.preprocessing import Preprocessing
from archspec.training.data import Images
from archspec.training.pixels import Scaling, fitted, least, require_fit, short_side, ten_crops
from archspec.training.sources import open_source


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


def rule(**keys: Any) -> Preprocessing:
    return Preprocessing.model_validate({"mean": (0.0, 0.0, 0.0), **keys})


def noise(width: int, height: int) -> Image.Image:
    numbers = np.random.default_rng(0)
    return Image.fromarray(numbers.integers(0, 256, (height, width, 3), dtype="uint8"))


# Width and height, and what they are with a shorter side of 32: the longer one is rounded down.
SIZES = [((500, 375), (42, 32)), ((375, 500), (32, 42)), ((32, 57), (32, 57)), ((20, 20), (32, 32))]


class TestShortSide:
    @pytest.mark.parametrize(("size", "scaled"), SIZES)
    def test_the_size(self, size: tuple[int, int], scaled: tuple[int, int]) -> None:
        assert short_side(size, 32) == scaled

    @pytest.mark.parametrize(("size", "scaled"), SIZES)
    @pytest.mark.parametrize("crop", [None, (30, 28)])
    def test_scaled_by_pillow_and_cut_out_of_the_middle(
        self, size: tuple[int, int], scaled: tuple[int, int], crop: tuple[int, int] | None
    ) -> None:
        """What torchvision's Resize(32) and CenterCrop do, by its formulas for their sizes."""
        image = noise(*size)
        whole = image.resize(scaled, Image.Resampling.BILINEAR)
        for height, width in [crop, (24, 27)] if crop else [(24, 27)]:
            left, top = round((whole.width - width) / 2), round((whole.height - height) / 2)
            whole = whole.crop((left, top, left + width, top + height))
        found = fitted(image, (3, 24, 27), rule(short_side=32, center_crop=crop))
        assert np.abs(found.astype(int) - np.asarray(whole)).max() <= 1

    def test_a_strip_does_not_become_gigabytes(self) -> None:
        assert fitted(Image.new("RGB", (1, 60_000), 7), (3, 24, 24), rule(short_side=256)).any()

    @pytest.mark.parametrize(
        ("keys", "said"),
        [
            ({"short_side": 26}, "short_side is 26 and the network reads 24 x 27: .* at least 27$"),
            ({"short_side": 40, "center_crop": 25}, "center_crop is 25 x 25 .* at least 27$"),
            ({"short_side": 40, "center_crop": (23, 30)}, "center_crop is 23 x 30 .* at least 24$"),
        ],
    )
    def test_smaller_than_the_input(self, keys: dict[str, Any], said: str) -> None:
        with pytest.raises(ArchspecError, match=said):
            require_fit((3, 24, 27), rule(**keys))

    def test_as_large_as_the_input(self) -> None:
        require_fit((3, 24, 27), rule(short_side=27, center_crop=(24, 27)))

    def test_what_a_decoder_must_keep(self) -> None:
        assert least((3, 24, 27), rule()) == (27, 24)
        assert least((3, 24, 27), rule(short_side=32)) == (32, 32)
        assert least((3, 24, 27), rule(), 0.25) == (108, 108)


class TestTenCrops:
    def test_corners_middle_and_their_mirrors(self) -> None:
        image = noise(42, 32)
        crops = ten_crops(image, (3, 24, 27), rule(short_side=32, rescale=0.5, std=(2.0,) * 3))
        assert (crops.shape, crops.dtype) == ((10, 24, 27, 3), np.float32)
        # Left and top: (42 - 27) / 2 is 7.5, which is rounded to 8.
        for place, (left, top) in enumerate([(0, 0), (15, 0), (0, 8), (15, 8), (8, 4)]):
            part = np.asarray(image.crop((left, top, left + 27, top + 24)), dtype="float64") / 4
            np.testing.assert_array_equal(crops[place], part)
            np.testing.assert_array_equal(crops[place + 5], part[:, ::-1])

    def test_out_of_the_middle(self) -> None:
        image = noise(48, 32)
        recipe = rule(short_side=32, center_crop=32)
        middle = ten_crops(image.crop((8, 0, 40, 32)), (3, 24, 24), recipe)
        np.testing.assert_array_equal(ten_crops(image, (3, 24, 24), recipe), middle)

    @pytest.mark.parametrize(("side", "around"), [(224, 256), (227, 259), (28, 32)])
    def test_the_papers_proportions_without_short_side(self, side: int, around: int) -> None:
        image = noise(60, 50)
        np.testing.assert_array_equal(
            ten_crops(image, (3, side, side), rule()),
            ten_crops(image, (3, side, side), rule(short_side=around)),
        )

    def test_in_batches(self) -> None:
        source = open_source("synthetic:images=20,size=20x24")
        recipe = rule(short_side=20)
        images = Images(source, [3, 5, 8], (3, 16, 16), preprocessing=recipe, crops=True)
        first, second = images.batches(2)
        assert (first["image"].shape, second["image"].shape) == (
            (2, 10, 16, 16, 3),
            (1, 10, 16, 16, 3),
        )
        expected = ten_crops(source.image(8), (3, 16, 16), recipe)
        np.testing.assert_array_equal(second["image"][0], expected)

    def test_grey(self) -> None:
        assert ten_crops(columns(16, 16), (1, 8, 8), rule(mean=(1.0,))).shape == (10, 8, 8, 1)


@pytest.mark.parametrize(
    "keys",
    [
        {"mean": (1e300,), "std": None},
        {"mean": (0.0,), "std": (1e-300,)},
        {"mean": (0.0,), "std": (1e-37,)},
        {"mean": (0.0,), "rescale": 1e300},
    ],
)
def test_numbers_that_float32_cannot_hold_are_refused(keys: dict[str, Any]) -> None:
    # Warnings are errors here, so none of NumPy's may come before the message.
    with pytest.raises(ArchspecError, match="far too large or small"):
        Scaling.of(Preprocessing(**keys), 1)


def test_small_and_large_numbers_that_float32_holds() -> None:
    scaled = Scaling.of(Preprocessing(mean=(1e30,), std=(1e25,), rescale=1e30), 1)
    [[[found]]] = scaled.scaled(np.full((1, 1, 1), 255, "uint8"))
    assert found == pytest.approx(254e5, rel=1e-6)
