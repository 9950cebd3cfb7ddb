"""CIFAR's binary files, written byte by byte as its page describes them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from small_runs import recipe

from archspec.diagnostics import ArchspecError
from archspec.training.data import prepare
from archspec.training.sources import open_source

RED, GREEN, BLUE = range(3)
TEN = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def record(labels: Sequence[int], number: int) -> bytes:
    """An image whose red is its number, whose green is the row, whose blue is the column."""
    planes = (
        bytes([number]) * 1024,
        bytes(row for row in range(32) for _ in range(32)),
        bytes(column for _ in range(32) for column in range(32)),
    )
    return bytes(labels) + b"".join(planes)


@pytest.fixture
def cifar10(tmp_path: Path) -> Path:
    """Six images in each of the five files, ten in that of the test."""
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    number = 0
    for name, count in [*((f"data_batch_{i}.bin", 6) for i in range(1, 6)), ("test_batch.bin", 10)]:
        rows = [record([(number + i) % 10], number + i) for i in range(count)]
        (folder / name).write_bytes(b"".join(rows))
        number += count
    (folder / "batches.meta.txt").write_text("\n".join(TEN) + "\n\n")
    return folder


def message(data: str) -> str:
    with pytest.raises(ArchspecError) as caught:
        open_source(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_images_labels_and_the_held_out_ones(cifar10: Path) -> None:
    found = open_source(f"cifar10:{cifar10}")
    assert found.classes == TEN
    assert list(found.labels) == [number % 10 for number in range(40)]
    assert found.held_out is not None
    assert list(found.held_out) == list(range(30, 40))
    for number in (0, 5, 6, 29, 30, 39):
        image = found.image(number)
        assert (image.size, image.mode) == ((32, 32), "RGB")
        pixels = np.asarray(image)
        assert (pixels[..., RED] == number).all()
        assert (pixels[..., GREEN] == np.arange(32)[:, None]).all()
        assert (pixels[..., BLUE] == np.arange(32)).all()
    assert [found.title(i) for i in (0, 6, 39)] == [
        "data_batch_1.bin/0", "data_batch_2.bin/0", "test_batch.bin/9"
    ]  # fmt: skip


def test_the_parent_folder_will_do(cifar10: Path) -> None:
    around, inside = open_source(f"cifar10:{cifar10.parent}"), open_source(f"cifar10:{cifar10}")
    assert around.fingerprint == inside.fingerprint
    assert around.name == f"cifar10:{cifar10.parent}"


def test_the_test_file_is_held_out_and_nothing_else(cifar10: Path) -> None:
    data = prepare(open_source(f"cifar10:{cifar10}"), (3, 32, 32), recipe(), None)
    assert list(data.training.indices) == list(range(30))
    assert list(data.held_out.indices) == list(range(30, 40))
    # The mean of the numbers of the training images alone.
    assert data.preprocessing.mean[0] == pytest.approx(14.5)  # type: ignore[arg-type]


def test_cifar100_has_its_fine_classes(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    (folder / "train.bin").write_bytes(record([19, 2], 7) + record([1, 0], 8))
    (folder / "test.bin").write_bytes(record([3, 1], 9))
    (folder / "fine_label_names.txt").write_text("apple\naquarium_fish\nbaby\n")
    found = open_source(f"cifar100:{tmp_path}")
    assert found.classes == ("apple", "aquarium_fish", "baby")
    assert list(found.labels) == [2, 0, 1]
    assert [np.asarray(found.image(i))[0, 0, RED] for i in range(3)] == [7, 8, 9]


class TestWhatIsWrong:
    def test_no_folder(self, tmp_path: Path) -> None:
        assert message(f"cifar10:{tmp_path}/no") == f"the folder {tmp_path}/no does not exist"

    def test_a_file(self, cifar10: Path) -> None:
        path = cifar10 / "test_batch.bin"
        assert message(f"cifar10:{path}").startswith(f"cannot read {path}/")

    @pytest.mark.parametrize("name", ["data_batch_3.bin", "test_batch.bin", "batches.meta.txt"])
    def test_a_missing_file(self, cifar10: Path, name: str) -> None:
        (cifar10 / name).unlink()
        assert message(f"cifar10:{cifar10}") == (
            f"the folder {cifar10} lacks {name}; cifar10 reads cifar-10-binary.tar.gz, unpacked "
            "(https://www.cs.toronto.edu/~kriz/cifar.html)"
        )

    def test_the_version_for_python(self, tmp_path: Path) -> None:
        (tmp_path / "data_batch_1").touch()
        assert "holds the version for Python or Matlab; " in message(f"cifar10:{tmp_path}")

    @pytest.mark.parametrize("size", [0, 3072, 6 * 3073 - 1])
    def test_a_file_that_was_cut_off(self, cifar10: Path, size: int) -> None:
        path = cifar10 / "data_batch_2.bin"
        path.write_bytes(path.read_bytes()[:size])
        said = message(f"cifar10:{cifar10}")
        assert said.startswith(f"{path} has {size:,} bytes, which are no whole number of images")
        assert "3,073 bytes" in said

    def test_a_class_without_a_name(self, cifar10: Path) -> None:
        path = cifar10 / "data_batch_2.bin"
        path.write_bytes(record([9], 0) + record([10], 0))
        assert message(f"cifar10:{cifar10}").startswith(
            f"{path}: image 1 (from 0) is of class 10, and batches.meta.txt names 10 classes, 0 to "
        )

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (b"\n", "names 0 classes in 0 lines"),
            (b"a\na\nb\n", "names 2 classes in 3 lines"),
            (b"\xff\xfe\x00", "is no text"),
        ],
    )
    def test_names(self, cifar10: Path, text: bytes, said: str) -> None:
        (cifar10 / "batches.meta.txt").write_bytes(text)
        assert said in message(f"cifar10:{cifar10}")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_no_permission(self, cifar10: Path) -> None:
        (cifar10 / "test_batch.bin").chmod(0)
        assert message(f"cifar10:{cifar10}") == (
            f"cannot read {cifar10}/test_batch.bin: Permission denied"
        )
