"""What chance does to training images, against NumPy's formulas and Pillow's own functions."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_runs import recipe

from archspec.diagnostics import ArchspecError
from archspec.spec.preprocessing import Augmentation, PcaJitter, Preprocessing
from archspec.training.augmentation import augmented, shifted
from archspec.training.data import Epoch, Images, prepare
from archspec.training.pixels import Scaling
from archspec.training.sources import open_source

PLAIN = Preprocessing(mean=(0.0, 0.0, 0.0))
SHAPE = (3, 8, 8)


def chance(**parts: Any) -> Augmentation:
    return Augmentation.model_validate(parts)


def places(width: int, height: int) -> Image.Image:
    """Red is the column and green the row of a pixel; blue is 255."""
    rows, columns = np.indices((height, width))
    blue = np.full_like(rows, 255)
    return Image.fromarray(np.stack([columns, rows, blue], axis=-1).astype("uint8"))


def drawn(image: Image.Image, augmentation: Augmentation, count: int, **rule: Any) -> np.ndarray:
    """The pixels of an image in so many epochs."""
    preprocessing = PLAIN.model_copy(update=rule)
    return np.stack(
        [
            augmented(image, SHAPE, preprocessing, augmentation, Epoch(0, number).numbers(0))[0]
            for number in range(1, count + 1)
        ]
    )


class TestRandomCrop:
    def test_every_place_is_as_likely(self) -> None:
        """Of 12 x 10 pixels, 5 x 3 crops; chi squared of 14 degrees is below 36 in 99.9 %."""
        crops = drawn(places(12, 10), chance(random_crop={}), 1500, short_side=10)
        found = Counter((int(c[0, 0, 0]), int(c[0, 0, 1])) for c in crops)
        assert set(found) == {(x, y) for x in range(5) for y in range(3)}
        assert sum((n - 100) ** 2 / 100 for n in found.values()) < 36
        for crop in crops[:50]:
            x, y = crop[0, 0, :2].astype(int)
            expected = places(12, 10).crop((x, y, x + 8, y + 8))
            np.testing.assert_array_equal(crop, np.asarray(expected))

    def test_out_of_the_scaled_image(self) -> None:
        """As if Pillow scaled the whole image and cut it then."""
        pixels = np.random.default_rng(0).integers(0, 256, (75, 100, 3), dtype="uint8")
        image = Image.fromarray(pixels)
        whole = np.asarray(image.resize((26, 20), Image.Resampling.BILINEAR), int)
        windows = np.lib.stride_tricks.sliding_window_view(whole, (8, 8), axis=(0, 1))
        for crop in drawn(image, chance(random_crop={}), 20, short_side=20):
            apart = np.abs(windows - crop.astype(int).transpose(2, 0, 1)).max(axis=(2, 3, 4))
            assert apart.min() <= 1

    def test_out_of_the_middle(self) -> None:
        crops = drawn(
            places(30, 20), chance(random_crop={}), 200, short_side=20, center_crop=(10, 9)
        )
        # 20 - 10 and 30 - 9 pixels are left over, half of them (rounded to even) on either side.
        assert {int(c[0, 0, 1]) for c in crops} == {5, 6, 7}
        assert {int(c[0, 0, 0]) for c in crops} == {10, 11}

    def test_padding_is_black(self) -> None:
        image = places(8, 8)
        padded = np.pad(np.asarray(image), ((2, 2), (2, 2), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (8, 8), axis=(0, 1))
        options = {windows[y, x].transpose(1, 2, 0).tobytes() for y in range(5) for x in range(5)}
        crops = drawn(image, chance(random_crop={"padding": 2}), 400)
        assert {np.ascontiguousarray(crop).tobytes() for crop in crops} == options


class TestRandomResizedCrop:
    def test_area_and_proportions(self) -> None:
        """Read off the corners of a picture whose pixels tell where they are."""
        image = places(200, 160)
        crop = {"scale": [0.2, 0.5], "ratio": [0.5, 2.0]}
        areas, ratios = [], []
        for found in drawn(image, chance(random_resized_crop=crop), 300).astype(float):
            width = (found[:, -1, 0] - found[:, 0, 0]).mean() * 8 / 7
            height = (found[-1, :, 1] - found[0, :, 1]).mean() * 8 / 7
            areas.append(width * height / (200 * 160))
            ratios.append(width / height)
        assert 0.18 < min(areas) < 0.22
        assert 0.46 < max(areas) < 0.52
        assert 0.45 < min(ratios) < 0.6
        assert 1.7 < max(ratios) < 2.2

    def test_the_whole_image(self) -> None:
        crop = {"scale": [1.0, 1.0], "ratio": [1.0, 1.0]}
        image = places(32, 32)
        expected = np.asarray(image.resize((8, 8), Image.Resampling.BILINEAR))
        (found,) = drawn(image, chance(random_resized_crop=crop), 1)
        np.testing.assert_array_equal(found, expected)

    def test_none_fits(self) -> None:
        """The middle, as wide to its height as is allowed."""
        crop = {"scale": [0.99, 1.0], "ratio": [1.0, 1.0]}
        (found,) = drawn(places(64, 32), chance(random_resized_crop=crop), 1)
        expected = places(64, 32).resize((8, 8), Image.Resampling.BILINEAR, box=(16, 0, 48, 32))
        np.testing.assert_array_equal(found, np.asarray(expected))


class TestFlip:
    @pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
    def test_as_often_as_is_said(self, share: float) -> None:
        image = places(8, 8)
        mirrored = np.asarray(image)[:, ::-1]
        found = drawn(image, chance(horizontal_flip=share, random_crop={"padding": 0}), 400)
        flips = sum((crop == mirrored).all() for crop in found)
        assert flips + sum((crop == np.asarray(image)).all() for crop in found) == 400
        assert abs(flips - 400 * share) < 30 * (0 < share < 1) + 1


class TestPcaJitter:
    VALUES = (100.0, 25.0, 4.0)
    # Columns of a rotation.
    VECTORS = ((0.6, 0.8, 0.0), (-0.8, 0.6, 0.0), (0.0, 0.0, 1.0))

    @pytest.mark.parametrize(
        ("magnitude", "sizes"), [("eigenvalue", VALUES), ("deviation", (10.0, 5.0, 2.0))]
    )
    def test_the_formula(self, magnitude: str, sizes: tuple[float, ...]) -> None:
        """[p1 p2 p3] [a1 m1, a2 m2, a3 m3]^T with the p as columns."""
        jitter = PcaJitter.model_validate(
            {"std": 0.3, "magnitude": magnitude, "eigenvalues": self.VALUES,
             "eigenvectors": self.VECTORS}
        )  # fmt: skip
        normal = np.array([1.0, -2.0, 0.5])
        p = np.stack(self.VECTORS, axis=1)
        expected = p @ (0.3 * normal * np.array(sizes))
        np.testing.assert_allclose(shifted(jitter, normal), expected, rtol=1e-12)

    def test_one_normal_draw_an_image_and_epoch(self) -> None:
        jitter = {"eigenvalues": (1.0,) * 3, "eigenvectors": np.eye(3).tolist(), "std": 0.1}
        augmentation = chance(pca_jitter=jitter)
        image = places(8, 8)
        shifts = np.stack(
            [
                augmented(image, SHAPE, PLAIN, augmentation, Epoch(3, epoch).numbers(index))[1]
                for epoch in range(1, 21)
                for index in range(50)
            ]
        )
        assert len(np.unique(shifts)) == shifts.size
        assert np.abs(shifts.mean(axis=0)).max() < 0.012
        np.testing.assert_allclose(shifts.std(axis=0), 0.1, rtol=0.1)
        assert np.abs(np.corrcoef(shifts.T) - np.eye(3)).max() < 0.12

    def test_it_is_added_before_the_deviation_divides(self) -> None:
        scaling = Scaling.of(Preprocessing(rescale=0.5, mean=(1.0, 2.0), std=(2.0, 4.0)), 2)
        pixels = np.array([[[10, 20], [30, 40]]], dtype="uint8")
        found = scaling.scaled(pixels, np.array([3.0, -5.0]))
        np.testing.assert_allclose(found, [[[3.5, 0.75], [8.5, 3.25]]])

    def test_components_of_the_data(self) -> None:
        """np.linalg.eigh of the covariance of all training pixels, in the resolved recipe."""
        source = open_source("synthetic:images=50,size=16x16")
        asked = recipe(
            preprocessing={"rescale": 1 / 255, "mean": "data"},
            augmentation={"pca_jitter": {"std": 0.1}},
        )
        data = prepare(source, (3, 16, 16), asked, None)
        raw = Images(source, data.training.indices, (3, 16, 16))
        pixels = np.concatenate([raw[i]["image"].reshape(-1, 3) for i in range(len(raw))]) / 255.0
        values, vectors = np.linalg.eigh(np.cov(pixels.astype("float64").T, bias=True))
        found = data.resolved(asked).augmentation.pca_jitter
        assert found is not None
        np.testing.assert_allclose(found.eigenvalues, values[::-1], rtol=1e-5)
        for mine, column in zip(found.eigenvectors, vectors.T[::-1], strict=True):
            assert abs(np.dot(mine, column)) == pytest.approx(1.0, abs=1e-5)  # type: ignore[arg-type]
        assert data.held_out.augmentation == Augmentation()

    def test_components_for_other_channels(self) -> None:
        jitter = {"eigenvalues": [1.0], "eigenvectors": [[1.0]]}
        with pytest.raises(ArchspecError, match="has 1 eigenvalues and the network reads 3 chan"):
            prepare(
                open_source("synthetic"), SHAPE, recipe(augmentation={"pca_jitter": jitter}), 20
            )


# Everything at once, on digits at 12 x 12, of which 8 x 8 pixels are seen.
ALL: dict[str, Any] = {
    "preprocessing": {"short_side": 12, "mean": [30], "std": [90]},
    "augmentation": {
        "random_crop": {"padding": 1},
        "horizontal_flip": 0.5,
        "pca_jitter": {"eigenvalues": [8000], "eigenvectors": [[1]], "std": 0.1},
    },
}
DIGEST = """
import hashlib, sys
from archspec.spec.recipe import Recipe
from archspec.training.data import Epoch, prepare
from archspec.training.sources import open_source
recipe = Recipe.model_validate_json(sys.argv[1])
data = prepare(open_source("digits"), (1, 8, 8), recipe, 60)
digest = hashlib.sha256()
for batch in data.training.batches(10, epoch=Epoch(5, 2)):
    digest.update(batch["image"].tobytes())
print(digest.hexdigest())
"""


def images(**changes: Any) -> Images:
    return prepare(open_source("digits"), (1, 8, 8), recipe(**{**ALL, **changes}), 60).training


def alone(part: Images, position: int, epoch: Epoch) -> np.ndarray:
    """The image that stands there among those of a part, in an epoch."""
    place = part.indices[position]
    (batch,) = dataclasses.replace(part, indices=[place]).batches(1, epoch=epoch)
    return batch["image"]


def seen(part: Images, epoch: Epoch, **options: Any) -> list[np.ndarray]:
    return [batch["image"] for batch in part.batches(10, epoch=epoch, **options)]


class TestFunctionOfSeedEpochAndImage:
    def test_the_same_in_another_process_and_in_many_threads(self) -> None:
        asked = recipe(**ALL).model_dump_json()
        command = [sys.executable, "-c", DIGEST, asked]
        process = subprocess.run(command, capture_output=True, text=True, check=True)
        digest = hashlib.sha256()
        part = images()
        with ThreadPoolExecutor(8) as pool:
            every = list(pool.map(lambda _: seen(part, Epoch(5, 2)), range(8)))
        for batch in every[0]:
            digest.update(batch.tobytes())
        assert process.stdout.strip() == digest.hexdigest()
        assert all(np.array_equal(one, every[0]) for one in every[1:])

    def test_it_is_the_images_number_in_the_source_that_counts(self) -> None:
        """Under another limit an image stands elsewhere, and is seen just the same."""
        one, other = images(), prepare(
            open_source("digits"), (1, 8, 8), recipe(**ALL), 40
        ).training  # fmt: skip
        common = sorted(set(one.indices) & set(other.indices))
        assert len(common) > 20
        for index in common[:5]:
            first, second = (
                alone(part, list(part.indices).index(index), Epoch(1, 1)) for part in (one, other)
            )
            np.testing.assert_array_equal(first, second)

    @pytest.mark.parametrize("other", [Epoch(5, 3), Epoch(6, 2)])
    def test_other_seeds_and_epochs_are_others(self, other: Epoch) -> None:
        one, two = (alone(images(), 0, epoch) for epoch in (Epoch(5, 2), other))
        assert (one != two).any()

    @pytest.mark.parametrize("start", [0, 1, 3, 5])
    def test_a_run_that_goes_on_sees_what_it_would_have(self, start: int) -> None:
        part, epoch = images(), Epoch(5, 2)
        rest = seen(part, epoch, start=start)
        assert len(rest) == 5 - start
        assert np.array_equal(rest, seen(part, epoch)[start:])

    @pytest.mark.parametrize("processes", [1, 2, 5])
    def test_processes_share_each_batch(self, processes: int) -> None:
        part, epoch = images(), Epoch(5, 2)
        shares = [seen(part, epoch, start=1, shard=(rank, processes)) for rank in range(processes)]
        for number, batch in enumerate(seen(part, epoch)[1:]):
            together = np.concatenate([share[number] for share in shares])
            np.testing.assert_array_equal(together, batch)

    def test_switching_the_jitter_off_leaves_the_crops(self) -> None:
        crops = {**ALL["augmentation"]}
        del crops["pca_jitter"]
        with_it, without = (
            alone(part, 3, Epoch(1, 1)) for part in (images(), images(augmentation=crops))
        )
        difference = with_it - without
        assert np.ptp(difference) < 1e-5
        assert abs(difference).max() > 1e-3

    def test_held_out_images_are_left_alone(self) -> None:
        data = prepare(open_source("digits"), (1, 8, 8), recipe(**ALL), 60)
        plain = prepare(
            open_source("digits"), (1, 8, 8), recipe(preprocessing=ALL["preprocessing"]), 60
        )
        for mine, other in zip(data.held_out.batches(5), plain.held_out.batches(5), strict=True):
            np.testing.assert_array_equal(mine["image"], other["image"])
