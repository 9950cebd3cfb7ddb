"""Runs on several devices against the same runs on one."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from processes import SGD, SPECS, torchrun
from safetensors.numpy import load_file
from small_runs import metrics

from archspec.diagnostics import ArchspecError
from archspec.training.checkpoint import RunFolder
from archspec.training.data import require_equal_parts

FIGURES = ("train_loss", "val_loss", "val_top1", "val_top5", "lr")

slow = pytest.mark.slow
pytestmark = pytest.mark.xdist_group("torchrun")


def curve(folder: Path) -> np.ndarray:
    return np.array([[row[name] for name in FIGURES] for row in metrics(folder)])


def assert_same_run(one: Path, two: Path) -> None:
    assert curve(one).shape == curve(two).shape
    assert np.abs(curve(one) - curve(two)).max() < 1e-6
    tensors = [load_file(RunFolder(path).weights) for path in (one, two)]
    assert tensors[0].keys() == tensors[1].keys()
    for name, tensor in tensors[0].items():
        np.testing.assert_allclose(tensors[1][name], tensor, rtol=0, atol=1e-5, err_msg=name)


@slow
@pytest.mark.parametrize("name", sorted(SPECS))
def test_two_processes_have_the_curve_of_one(name: str, launched: Path) -> None:
    assert len(metrics(launched / name)) == 3
    assert_same_run(launched / name, launched / f"{name}-two")


@slow
@pytest.mark.parametrize("name", ["divided", "begun", "stopped"])
def test_so_have_a_divided_model_and_runs_that_went_on_with_more_or_fewer_processes(
    name: str, launched: Path
) -> None:
    assert_same_run(launched / "sgd", launched / name)


@slow
def test_all_stop_when_one_is_told_to(launched: Path) -> None:
    for rank in (0, 1):
        assert (launched / f"stopped-{rank}").read_text() == str(int(signal.SIGTERM))


@slow
def test_one_process_fails_and_all_end_with_its_message(
    photos: Callable[..., Path], tmp_path: Path
) -> None:
    pictures = photos("cats", "dogs", count=12)
    broken = pictures / "dogs" / "7.png"
    broken.write_bytes(broken.read_bytes()[:-60])  # its header is whole
    (tmp_path / "net.yaml").write_text(SGD.replace("channels: 1", "channels: 3"))
    done = torchrun(
        *("-m", "archspec", "train", str(tmp_path / "net.yaml")),
        *("--data", f"folder:{pictures}", "--device", "cpu", "--output", str(tmp_path / "run")),
    )
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if "archspec: " in line]
    # Said once by the process, and once by torchrun in its last lines.
    assert len(said) == 2, done.stderr
    assert "7.png" in said[0]
    assert said[1].startswith("  traceback : archspec: ")
    assert "Traceback" not in done.stderr.partition("torch/distributed/elastic")[0]


@pytest.mark.parametrize(
    ("size", "images", "message"),
    [
        (9, 50, "a batch of 9 images does not divide .* --batch-size 8 or 12"),
        (3, 50, "--batch-size 4$"),
        (64, 50, "50 training images are fewer than one batch of 64.* --batch-size 48 or less"),
        (8, 3, "take fewer"),
    ],
)
def test_batches_that_do_not_divide(size: int, images: int, message: str) -> None:
    require_equal_parts(50, 8, 4)
    require_equal_parts(images, size, 1)
    with pytest.raises(ArchspecError, match=message):
        require_equal_parts(images, size, 4)
