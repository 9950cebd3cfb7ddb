"""The shipped networks, trained through the command in both backends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_runs import BACKENDS, checkpoint, metrics

import archspec
from archspec.backends import get_backend
from archspec.backends.base import Execution, TrainableBackend
from archspec.backends.initial import initial_weights

pytestmark = pytest.mark.slow
both = pytest.mark.parametrize("backend", BACKENDS)


def command(folder: Path, *arguments: str) -> str:
    """Run `archspec train` in a process of its own and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "archspec", "train", *arguments, "--device", "cpu"],
        cwd=folder,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@both
def test_alexnet_small_learns_the_digits(backend: str, tmp_path: Path) -> None:
    """The recipe that ships reaches 97 % on images it has not seen."""
    printed = command(tmp_path, "alexnet-small", "--backend", backend, "--output", "run")
    rows = metrics(tmp_path / "run")
    assert len(rows) == archspec.load("alexnet-small").spec.training.epochs  # type: ignore[union-attr]
    assert rows[-1]["val_top1"] >= 0.97, printed
    assert rows[-1]["val_top5"] >= 0.99
    assert (checkpoint(tmp_path / "run", "best") / "weights.safetensors").is_file()


@both
def test_alexnet_trains(backend: str, tmp_path: Path) -> None:
    """The full network at 227 x 227: one epoch of a few images leaves a whole run folder."""
    arguments = ("--epochs", "1", "--limit", "40", "--batch-size", "8", "--output", "run")
    command(tmp_path, "alexnet", "--backend", backend, *arguments)
    folder = tmp_path / "run"
    (row,) = metrics(folder)
    assert row["step"] == 3  # 30 images
    assert 1.0 < row["train_loss"] < 10.0
    assert {path.name for path in folder.iterdir()} == {
        "checkpoints", "metrics.jsonl", f"model_{backend}.py", "run.json", "spec.yaml",
    }  # fmt: skip
    resolved = archspec.load(folder / "spec.yaml")
    assert resolved.hash == archspec.load("alexnet", classes=10).hash
    about = json.loads((folder / "run.json").read_text())
    assert about["recipe"]["epochs"] == 1
    assert about["training_images"] + about["held_out_images"] == 40
    weights = load_file(checkpoint(folder) / "weights.safetensors")
    assert (
        sum(tensor.size for tensor in weights.values()) == archspec.analyze(resolved).totals.params
    )
    assert weights["fc8.weight"].shape == (10, 4096)


@pytest.mark.xdist_group("keras")
def test_both_backends_start_from_the_same_weights() -> None:
    graph = archspec.load("alexnet-small")
    recipe = graph.spec.training
    assert recipe is not None
    weights = initial_weights(graph, seed=5)
    found = []
    for name in ("torch", "keras"):
        backend = get_backend(name)
        assert isinstance(backend, TrainableBackend)
        backend.require()
        found.append(backend.trainer(graph, recipe, weights, Execution("cpu")).weights())
    assert found[0].keys() == found[1].keys() == weights.keys()
    for name, tensor in found[0].items():
        assert np.array_equal(tensor, found[1][name])
        assert np.array_equal(tensor, weights[name].astype("float32"))
