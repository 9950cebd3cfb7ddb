"""How images are split, scaled, and put into batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_runs import recipe

from archspec.diagnostics import ArchspecError
from archspec.training.data import Epoch, Images, prepare, split
from archspec.training.sources import Size, Source, open_source
from archspec.training.sources.digits import Digits

PLAIN = recipe(preprocessing={"mean": [0]})


class Numbers(Source):
    """Images of one pixel that show their own number; `sizes` images in each class."""

    name = "numbers"

    def __init__(self, *sizes: int) -> None:
        self.classes = tuple(f"c{label}" for label in range(len(sizes)))
        self.labels: Sequence[int] = np.repeat(np.arange(len(sizes)), sizes).tolist()

    def image(self, index: int, least: Size | None = None) -> Image.Image:
        return Image.new("L", (1, 1), index % 256)

    def title(self, index: int) -> str:
        return str(index)

    def check(self, indices: Iterable[int]) -> None:
        pass


@pytest.mark.parametrize("sizes", [(10, 10), (2, 2, 2), (100, 3, 17), (1000, 2)])
def test_the_split_is_stratified_disjoint_and_complete(sizes: tuple[int, ...]) -> None:
    source = Numbers(*sizes)
    training, held_out = split(source, None)
    assert sorted([*training, *held_out]) == list(range(sum(sizes)))
    for label, size in enumerate(sizes):
        members = [index for index in held_out if source.labels[index] == label]
        assert len(members) == max(1, round(size / 5))
    assert split(Numbers(*sizes), None) == (training, held_out)


def test_the_split_of_the_digits() -> None:
    training, held_out = split(Digits(), None)
    assert (len(training), len(held_out)) == (1438, 359)
    assert held_out[:5] == [5, 9, 12, 14, 16]


def test_the_digits_split_is_no_run_of_neighbours() -> None:
    _, held_out = split(Digits(), None)
    assert np.abs(np.mean(held_out) - 898) < 60


@pytest.mark.parametrize("limit", [20, 21, 60, 137, 1797, 10**9])
def test_a_limit_takes_the_classes_evenly(limit: int) -> None:
    source = Digits()
    training, held_out = split(source, limit)
    assert len(training) + len(held_out) == min(limit, 1797)
    counts = np.bincount([source.labels[i] for i in [*training, *held_out]])
    if limit < 1500:
        assert counts.max() - counts.min() <= 1
    assert set(training).isdisjoint(held_out)


def test_a_limit_below_two_a_class() -> None:
    with pytest.raises(ArchspecError, match=r"--limit 19 .* 10 classes: .* so at least 20$"):
        split(Digits(), 19)


@pytest.mark.parametrize("channels", [2, 4])
def test_channels_that_no_image_has(channels: int) -> None:
    with pytest.raises(ArchspecError, match=f"1 or 3 channels .* reads {channels} x 8 x 8"):
        prepare(Digits(), (channels, 8, 8), PLAIN, None)


class TestScaling:
    def test_measured_on_the_training_images(self) -> None:
        data = prepare(
            Digits(), (1, 8, 8), recipe(preprocessing={"mean": "data", "std": "data"}), 200
        )
        raw = Images(Digits(), data.training.indices, (1, 8, 8))
        pixels = np.stack([raw[i]["image"] for i in range(len(raw))]).astype("float64")
        assert data.preprocessing.mean == (pytest.approx(pixels.mean(), rel=1e-5),)
        assert data.preprocessing.std == (pytest.approx(pixels.std(), rel=1e-5),)
        scaled = np.stack([data.training[i]["image"] for i in range(len(raw))])
        assert scaled.dtype == np.float32
        assert abs(scaled.mean()) < 1e-4
        assert scaled.std() == pytest.approx(1.0, abs=1e-4)

    def test_a_mean_and_a_deviation_for_each_channel(self, photos: Callable[..., Path]) -> None:
        source = open_source(f"folder:{photos('a', 'b', 'c')}")
        rule = recipe(preprocessing={"rescale": 1 / 255, "mean": "data", "std": "data"})
        data = prepare(source, (3, 12, 16), rule, None)
        raw = Images(source, data.training.indices, (3, 12, 16))
        pixels = np.stack([raw[i]["image"] for i in range(len(raw))]).astype("float64") / 255
        np.testing.assert_allclose(data.preprocessing.mean, pixels.mean(axis=(0, 1, 2)), rtol=1e-5)
        assert data.preprocessing.std is not None
        np.testing.assert_allclose(data.preprocessing.std, pixels.std(axis=(0, 1, 2)), rtol=1e-5)

    def test_at_most_a_thousand_images_are_measured(self, monkeypatch: pytest.MonkeyPatch) -> None:
        looked_at = []
        image = Digits.image
        monkeypatch.setattr(
            Digits, "image", lambda self, i, least: (looked_at.append(i), image(self, i, least))[1]
        )
        prepare(Digits(), (1, 8, 8), recipe(), None)
        assert 500 < len(looked_at) <= 1000

    def test_numbers_of_the_recipe(self) -> None:
        rule = recipe(preprocessing={"rescale": 1 / 255, "mean": [0.5], "std": [0.25]})
        data = prepare(Digits(), (1, 8, 8), rule, 20)
        assert data.preprocessing == rule.preprocessing
        raw = np.asarray(Digits().image(data.training.indices[0]), dtype="float64")
        np.testing.assert_allclose(
            data.training[0]["image"][..., 0], (raw / 255 - 0.5) / 0.25, rtol=1e-5, atol=1e-6
        )

    def test_no_deviation_divides_by_one(self) -> None:
        data = prepare(Digits(), (1, 8, 8), recipe(preprocessing={"mean": [100]}), 20)
        raw = np.asarray(Digits().image(data.training.indices[0]), dtype="float64")
        np.testing.assert_array_equal(data.training[0]["image"][..., 0], raw - 100)

    def test_images_of_one_colour_have_no_deviation(self) -> None:
        data = prepare(Numbers(2, 2), (1, 1, 1), recipe(preprocessing={"std": "data"}), None)
        assert np.isfinite(data.training[0]["image"]).all()

    @pytest.mark.parametrize("name", ["mean", "std"])
    def test_numbers_for_other_channels(self, name: str) -> None:
        rule = recipe(preprocessing={name: [1.0, 1.0]})
        with pytest.raises(
            ArchspecError, match=f"preprocessing.{name} has 2 numbers .* 3 channels"
        ):
            prepare(Digits(), (3, 8, 8), rule, 20)


def order(size: int, epoch: Epoch | None, sizes: tuple[int, ...] = (10, 13)) -> list[list[int]]:
    images = Images(Numbers(*sizes), range(sum(sizes)), (1, 1, 1))
    batches = images.batches(size, epoch=epoch)
    return [batch["image"].ravel().astype(int).tolist() for batch in batches]


class TestBatches:
    def test_in_order(self) -> None:
        assert order(10, None) == [[*range(10)], [*range(10, 20)], [20, 21, 22]]

    def test_more_than_a_thread_takes_at_a_time(self) -> None:
        assert order(70, None, (50, 50)) == [[*range(70)], [*range(70, 100)]]
        epoch = Epoch(7, 1)
        (whole,) = order(100, epoch, (50, 50))
        assert order(50, epoch, (50, 50)) == [whole[:50], whole[50:]]
        assert sorted(whole) == [*range(100)]

    def test_shuffled_and_full(self) -> None:
        found = order(10, Epoch(7, 1))
        assert [len(batch) for batch in found] == [10, 10]
        numbers = [number for batch in found for number in batch]
        assert len(set(numbers)) == 20
        assert numbers != sorted(numbers)

    def test_fewer_images_than_a_batch(self) -> None:
        (batch,) = order(100, Epoch(7, 1))
        assert sorted(batch) == [*range(23)]

    def test_labels_go_with_their_images(self) -> None:
        images = Images(Numbers(10, 13), range(23), (1, 1, 1))
        for batch in images.batches(4, epoch=Epoch(3, 1)):
            assert batch["image"].shape == (4, 1, 1, 1)
            assert batch["image"].dtype == np.float32
            assert (batch["label"] == (batch["image"].ravel() >= 10)).all()

    def test_the_order_depends_on_seed_and_epoch_alone(self) -> None:
        epochs = [Epoch(seed, number) for seed in (0, 1) for number in (1, 2, 3)]
        assert len({epoch.shuffle_seed for epoch in epochs}) == 6
        orders = [order(4, epoch) for epoch in epochs]
        assert orders == [order(4, epoch) for epoch in epochs]
        assert len({str(found) for found in orders}) == 6

    @pytest.mark.parametrize(("count", "size", "expected"), [(23, 10, 20), (20, 10, 20), (3, 8, 3)])
    def test_images_a_pass(self, count: int, size: int, expected: int) -> None:
        images = Images(Numbers(count), range(count), (1, 1, 1))
        assert images.per_pass(size) == expected
        assert sum(len(b["label"]) for b in images.batches(size, epoch=Epoch(1, 1))) == expected

    def test_what_a_thread_raises_arrives(self) -> None:
        class Broken(Numbers):
            def image(self, index: int, least: Size | None = None) -> Image.Image:
                if index == 17:
                    raise ArchspecError("cannot read the image 17")
                return super().image(index, least)

        with pytest.raises(ArchspecError) as caught:
            list(Images(Broken(10, 13), range(23), (1, 1, 1)).batches(4))
        assert str(caught.value) == "cannot read the image 17"


def dealt(count: int, size: int, processes: int, start: int = 0) -> list[list[list[int]]]:
    """The numbers of the images in the batches of each process, in order."""
    images = Images(Numbers(count), range(count), (1, 1, 1))
    return [
        [
            batch["image"].ravel().astype(int).tolist()
            for batch in images.batches(size, start=start, shard=(rank, processes))
        ]
        for rank in range(processes)
    ]


class TestShards:
    @pytest.mark.parametrize(("count", "size", "processes"), [(23, 10, 2), (21, 10, 4), (3, 8, 4)])
    def test_every_held_out_image_once(self, count: int, size: int, processes: int) -> None:
        shares = dealt(count, size, processes)
        assert sorted(n for share in shares for batch in share for n in batch) == [*range(count)]
        assert {len(share) for share in shares} == {-(-count // size)}
        for batches in zip(*shares, strict=True):
            sizes = [len(batch) for batch in batches]
            assert max(sizes) - min(sizes) <= 1

    def test_a_process_has_a_part_of_each_batch(self) -> None:
        first, second = dealt(23, 10, 2)
        assert first == [[*range(5)], [*range(10, 15)], [20]]
        assert second == [[*range(5, 10)], [*range(15, 20)], [21, 22]]

    def test_an_empty_part_has_the_shape_of_the_others(self) -> None:
        images = Images(Numbers(5), range(5), (1, 1, 1))
        *_, last = images.batches(4, shard=(0, 4))
        assert last["image"].shape == (0, 1, 1, 1)
        assert last["label"].shape == (0,)

    @pytest.mark.parametrize("start", [0, 1, 2, 3])
    def test_from_any_batch_on(self, start: int) -> None:
        for whole, rest in zip(dealt(23, 10, 2), dealt(23, 10, 2, start), strict=True):
            assert rest == whole[start:]

    def test_a_batch_that_does_not_divide(self) -> None:
        images = Images(Numbers(23), range(23), (1, 1, 1))
        with pytest.raises(
            ArchspecError, match=r"batch of 10 .* equal parts for 4 .* --batch-size 8 or 12$"
        ):
            list(images.batches(10, epoch=Epoch(0, 1), shard=(0, 4)))

    def test_fewer_images_than_a_batch_for_several(self) -> None:
        images = Images(Numbers(3), range(3), (1, 1, 1))
        with pytest.raises(ArchspecError, match="3 training images are fewer than one batch of 4"):
            list(images.batches(4, epoch=Epoch(0, 1), shard=(0, 2)))
