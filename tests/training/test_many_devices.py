"""Runs on several devices against the same runs on one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_runs import AUXILIARY, metrics, resume

from archspec.diagnostics import ArchspecError
from archspec.training import RunOptions, run
from archspec.training.checkpoint import RunFolder

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LAUNCHER = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
FIGURES = ("train_loss", "val_loss", "val_top1", "val_top5", "lr")
NORM = "  - {name: norm, type: batch_norm, eps: 1.0e-3, decay: 0.9, inputs: [conv]}\n"
SGD = AUXILIARY.replace("  - {name: relu,", f"{NORM}  - {{name: relu,").replace(
    "epochs: 4", "epochs: 3"
)
SPECS = {"sgd": SGD}

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("torchrun")]


def launched(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Two processes of a program in Python, as torchrun starts them."""
    return subprocess.run(
        [*LAUNCHER, *words],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]), "OMP_NUM_THREADS": "1"}
        | environment,
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs of one process and, all in one launch, of two."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs")
    for name, text in SPECS.items():
        (folder / f"{name}.yaml").write_text(text)
        run(folder / f"{name}.yaml", RunOptions(limit=75, output=folder / name, device="cpu"))
    begun = RunOptions(limit=75, output=folder / "begun", device="cpu", epochs=1)
    run(folder / "sgd.yaml", begun)
    done = launched(str(HERE / "launched.py"), str(folder))
    assert done.returncode == 0, done.stderr
    return folder


def curve(folder: Path) -> np.ndarray:
    return np.array([[row[name] for name in FIGURES] for row in metrics(folder)])


def assert_same_run(one: Path, two: Path) -> None:
    assert curve(one).shape == curve(two).shape
    assert np.abs(curve(one) - curve(two)).max() < 1e-6
    tensors = [load_file(RunFolder(path).weights) for path in (one, two)]
    assert tensors[0].keys() == tensors[1].keys()
    for name, tensor in tensors[0].items():
        np.testing.assert_allclose(tensors[1][name], tensor, rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", sorted(SPECS))
def test_two_processes_have_the_curve_of_one(name: str, folder: Path) -> None:
    # 60 images to train on in batches of 8 and 15 to hold out: 8 and 7, so 4 and 3 at the end.
    assert len(metrics(folder / name)) == 3
    assert_same_run(folder / name, folder / f"{name}-two")


def test_a_divided_model_has_the_curve_of_a_whole_one(folder: Path) -> None:
    assert_same_run(folder / "sgd", folder / "divided")


def test_two_processes_go_on_with_a_run_of_one(folder: Path) -> None:
    assert_same_run(folder / "sgd", folder / "begun")


def test_all_stop_when_one_is_told_to_and_one_process_goes_on(folder: Path) -> None:
    for rank in (0, 1):
        assert (folder / f"stopped-{rank}").read_text() == str(int(signal.SIGTERM))
    stopped = folder / "stopped"
    assert len(metrics(stopped)) == 1
    resume(stopped)
    assert_same_run(folder / "sgd", stopped)


def test_one_process_fails_and_all_end_with_its_message(
    photos: Callable[..., Path], tmp_path: Path
) -> None:
    pictures = photos("cats", "dogs", count=12)
    broken = pictures / "dogs" / "7.png"
    broken.write_bytes(broken.read_bytes()[:-60])  # its header is whole
    (tmp_path / "net.yaml").write_text(SGD.replace("channels: 1", "channels: 3"))
    done = launched(
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
    from archspec.training.loop import require_equal_parts

    require_equal_parts(8, 50, 4)
    require_equal_parts(size, images, 1)
    with pytest.raises(ArchspecError, match=message):
        require_equal_parts(size, images, 4)
