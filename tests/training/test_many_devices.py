"""Runs on several devices against the same runs on one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import ADAMW, SGD, SPECS, torchrun
from safetensors.numpy import load_file
from small_runs import metrics

import archspec
from archspec import loading
from archspec.backends import get_backend
from archspec.backends.base import Alone, Execution, OutOfMemory
from archspec.diagnostics import ArchspecError
from archspec.training import RunOptions, run
from archspec.training.checkpoint import RunFolder
from archspec.training.data import require_equal_parts
from archspec.training.trouble import exhausted

FIGURES = ("train_loss", "val_loss", "val_top1", "val_top5", "lr")

slow = pytest.mark.slow
HERE = Path(__file__).parent
pytestmark = pytest.mark.xdist_group("torchrun")


def started(folder: Path, engine: str, **environment: str) -> subprocess.Popen[str]:
    """A process of keras_devices.py."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_NUM_INTRAOP_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(HERE / "keras_devices.py"), str(folder)],
        env=os.environ
        | {"KERAS_BACKEND": engine, "PYTHONPATH": str(HERE.parents[1]), **quiet}
        | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(*processes: subprocess.Popen[str]) -> None:
    """Wait for processes, which must end well."""
    said = [process.communicate(timeout=300)[0] for process in processes]
    assert not any(process.returncode for process in processes), "\n".join(said)


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


@slow
def test_two_devices_of_jax_have_the_curve_of_one(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    # Dropout and batch norm too: JAX divides the arrays and not the program.
    text = SGD.replace(
        "  - {name: fc,", "  - {name: drop, type: dropout, rate: 0.3}\n  - {name: fc,"
    )
    (tmp_path / "net.yaml").write_text(text)
    ended(started(tmp_path, "jax", XLA_FLAGS="--xla_force_host_platform_device_count=2"))
    assert_same_run(tmp_path / "one", tmp_path / "two")
    assert json.loads((tmp_path / "parts.json").read_text()) == [4, 4]


@slow
def test_two_processes_of_tensorflow_have_the_curve_of_one(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    # Without batch norm, whose statistics are those of each process here; clipped and smoothed.
    without = [line for line in ADAMW.splitlines() if "batch_norm" not in line]
    (tmp_path / "net.yaml").write_text("\n".join(without).replace("bias: false", "bias: true"))
    with socket.socket() as one, socket.socket() as other:
        for free in (one, other):
            free.bind(("localhost", 0))
        workers = [f"localhost:{free.getsockname()[1]}" for free in (one, other)]
    configs = [
        json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})
        for index in (0, 1)
    ]
    ended(*(started(tmp_path, "tensorflow", TF_CONFIG=config) for config in configs))
    assert_same_run(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize("engine", ["jax", "tensorflow", "torch"])
def test_more_devices_than_there_are(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keras = pytest.importorskip("keras")
    from archspec.backends.keras import parallel

    monkeypatch.setattr(keras.backend, "backend", lambda: engine)
    monkeypatch.setattr(parallel, "devices", lambda: ["cpu:0", "gpu:0", "gpu:1"])
    says = {
        "jax": r"--devices 3: JAX sees 2 \(gpu:0, gpu:1\)",
        "tensorflow": "KERAS_BACKEND=jax, or start a process for each, with TF_CONFIG",
        "torch": "KERAS_BACKEND=jax, or use --backend torch with torchrun",
    }
    parallel.require_devices(Execution("cuda", devices=1))
    with pytest.raises(ArchspecError, match=says[engine]):
        parallel.require_devices(Execution("cuda", devices=3))


def test_pytorch_takes_a_process_for_each_device(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(SGD)
    with pytest.raises(ArchspecError, match=r"torchrun --nproc-per-node 2 -m archspec train"):
        run(tmp_path / "net.yaml", RunOptions(limit=75, device="cpu", devices=2))
    assert not (tmp_path / "runs").exists()


def test_the_batch_that_fits_is_that_of_all_processes(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(SGD)
    graph = loading.buildable(archspec.load(tmp_path / "net.yaml"))
    fits = archspec.analyze(graph, batch=20).memory_with(budget=50_000).largest_batch
    assert fits is not None
    assert 1 < fits < 20
    said = str(exhausted(OutOfMemory("cuda", 20, None, 50_000), graph, 2))
    assert "for a batch of 20 images in each of 2 processes in float32" in said
    assert f": try --batch-size {2 * fits} in a new run" in said


def test_it_is_so_in_the_trial_steps_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first steps are those by which PyTorch chooses how to compute, before a run begins."""
    backend = get_backend("torch")
    backend.require()

    class Two(Alone):
        size = 2

    def exhausted(*_: Any) -> None:
        raise OutOfMemory("cuda", 20, None, 50_000)

    monkeypatch.setattr(type(backend), "group", lambda *_: Two())
    monkeypatch.setattr(type(backend), "trainer", exhausted)
    (tmp_path / "net.yaml").write_text(SGD)
    options = RunOptions(limit=75, batch_size=40, output=tmp_path / "run")
    with pytest.raises(ArchspecError, match="for a batch of 20 images in each of 2 processes in"):
        run(tmp_path / "net.yaml", options)


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
