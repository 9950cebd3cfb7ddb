"""Pictures that are made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_runs import TINY, metrics, train

from archspec.diagnostics import ArchspecError
from archspec.training.sources import open_source
from archspec.training.sources.synthetic import NOISE


def pixels(data: str, index: int) -> np.ndarray:
    return np.asarray(open_source(data).image(index))


def test_the_defaults() -> None:
    found = open_source("synthetic")
    assert (len(found.classes), len(found.labels)) == (10, 5000)
    assert found.image(0).size == (64, 64)
    assert found.name == "synthetic:classes=10,images=5000,size=64x64,seed=0"
    assert open_source(found.name).fingerprint == found.fingerprint


def test_what_is_said() -> None:
    found = open_source("synthetic:size=20x30,classes=3,images=8,seed=5")
    assert list(found.labels) == [0, 1, 2, 0, 1, 2, 0, 1]
    assert (found.image(7).size, found.image(7).mode) == ((30, 20), "RGB")


def test_an_image_depends_on_the_seed_and_its_number_alone() -> None:
    data = "synthetic:size=16x16,images=40"
    assert (pixels(data, 3) == pixels(data, 3)).all()
    assert (pixels(data, 3) == pixels("synthetic:size=16x16,images=20", 3)).all()
    assert (pixels(data, 3) != pixels(data, 13)).any()
    assert (pixels(data, 3) != pixels(f"{data},seed=1", 3)).any()


def test_another_seed_makes_other_squares_and_other_noise() -> None:
    one, other = (f"synthetic:size=16x16,images=40,seed={seed}" for seed in (0, 1))
    # More than noise can make of the same squares.
    assert np.ptp(pixels(one, 3).astype(int) - pixels(other, 3)) > 2 * NOISE
    # In the difference of two images of a class, its squares are gone.
    noise = [pixels(data, 3).astype(int) - pixels(data, 13) for data in (one, other)]
    assert (noise[0] != noise[1]).any()


def test_an_image_is_the_squares_of_its_class_and_noise() -> None:
    """The mean over a square tells its colour: 32 noise levels on average, 18.5 of deviation."""
    first, second, other = (pixels("synthetic:size=256x256", i).astype(float) for i in (0, 10, 1))
    squares = [image.reshape(8, 32, 8, 32, 3).mean(axis=(1, 3)) for image in (first, second, other)]
    assert np.abs(squares[0] - squares[1]).max() < 5
    assert np.abs(squares[0] - squares[2]).max() > 40
    assert first.std(axis=(0, 1)).min() > 20


def test_a_network_learns_them(tmp_path: Path) -> None:
    text = TINY.replace("channels: 1", "channels: 3").replace("epochs: 4", "epochs: 6")
    train(tmp_path, text, data="synthetic:images=400,size=8x8", limit=None)
    assert metrics(tmp_path / "run")[-1]["val_top1"] > 0.9


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("clases=3", "no key `clases`: did you mean `classes`?"),
        ("x", "no key `x`: the keys are `classes`, `images`, `size`, `seed`"),
        ("images=1000,images=5", "`images` stands there twice"),
        ("images=5.5", "`images` takes a whole number, not `5.5`"),
        ("images=", "`images` takes a whole number, not ``"),
        ("size=64", "`size` takes HEIGHTxWIDTH such as 256x256, not `64`"),
        ("size=0x64", "0 height: from 1 to 8,192"),
        ("size=64x9000", "9,000 width: from 1 to 8,192"),
        ("classes=1", "1 classes: from 2 to 100,000"),
        ("images=19", "19 images: from 20, two for each class, to 10,000,000"),
        ("seed=99999999999999", "`seed` takes a whole number, not `99999999999999`"),
    ],
)
def test_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ArchspecError) as caught:
        open_source(f"synthetic:{text}")
    assert str(caught.value) == f"--data synthetic: {said}"
