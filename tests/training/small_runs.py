"""A network small enough to be trained in a test, and how to train it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from archspec.spec.recipe import Recipe
from archspec.training import RunOptions, RunSummary, run
from archspec.training.options import Watcher

TINY = """\
archspec: 1
name: tiny
input: {channels: 1, height: 8, width: 8}
variables: {classes: 10}
layers:
  - {name: conv, type: conv2d, filters: 4, kernel_size: 3}
  - {name: relu, type: relu}
  - {name: flatten, type: flatten}
  - {name: fc, type: dense, units: $classes}
training:
  epochs: 4
  batch_size: 8
  optimizer: {type: sgd, learning_rate: 0.05, momentum: 0.9, weight_decay: 0.0005}
  schedule: {type: steps, epochs: [3], factor: 0.1}
  parameters: [{match: "*.bias", learning_rate: 2, weight_decay: 0}]
  preprocessing: {mean: data, std: data}
"""
# All that is drawn while a network trains: masks, and what is done to the images.
DROPOUT = TINY.replace(
    "  - {name: fc,",
    "  - {name: drop, type: dropout, rate: 0.5}\n"
    "  - {name: drop2, type: dropout, rate: 0.5, scaling: at_inference}\n  - {name: fc,",
).replace(
    "  preprocessing: {",
    "  augmentation: {random_crop: {padding: 1}, horizontal_flip: 0.5, pca_jitter: {std: 0.1}}\n"
    "  preprocessing: {short_side: 9, ",
)
# A head on the first layer, in training alone.
AUXILIARY = TINY.replace(
    "  - {name: flatten,",
    "  - {name: aux.pool, type: max_pool2d, kernel_size: 3, inputs: [relu]}\n"
    "  - {name: aux.flatten, type: flatten}\n"
    "  - {name: aux.fc, type: dense, units: $classes}\n"
    "  - {name: flatten, inputs: [relu],",
).replace("training:", "auxiliary:\n  - {layer: aux.fc, loss_weight: 0.3}\ntraining:")

# TensorFlow takes seconds to import: one test process does it.
BACKENDS = [
    "torch",
    pytest.param("keras", marks=pytest.mark.xdist_group("keras")),
]
FIGURES = ("epoch", "step", "train_loss", "val_loss", "val_top1", "val_top5", "lr")


def write_spec(folder: Path, text: str = TINY) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def train(
    folder: Path, text: str = TINY, watcher: Watcher | None = None, **options: Any
) -> RunSummary:
    """Train on 60 digits, into `folder/run` unless the options say otherwise."""
    options = {"limit": 60, "device": "cpu", "output": folder / "run", **options}
    return run(write_spec(folder, text), RunOptions(**options), watcher)


def resume(path: Path, **options: Any) -> RunSummary:
    return run(None, RunOptions(resume=path, device="cpu", **options))


def metrics(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def figures(folder: Path) -> list[dict[str, Any]]:
    """What the metrics say that does not depend on the machine's speed."""
    return [{name: row[name] for name in FIGURES} for row in metrics(folder)]


def checkpoint(folder: Path, name: str = "last") -> Path:
    """The folder of the last checkpoint, or of that of the best epoch, found without archspec."""
    found = sorted((folder / "checkpoints").iterdir())
    if name == "last":
        return found[-1]
    best = max(metrics(folder), key=lambda row: row["val_top1"])
    return folder / "checkpoints" / f"step-{best['step']:08d}"


def tensors(folder: Path, name: str = "last") -> tuple[bytes, bytes]:
    found = checkpoint(folder, name)
    return (
        (found / "weights.safetensors").read_bytes(),
        (found / "optimizer.safetensors").read_bytes(),
    )


def recipe(**changes: Any) -> Recipe:
    optimizer = {"type": "sgd", "learning_rate": 0.01}
    return Recipe.model_validate({"epochs": 10, "batch_size": 4, "optimizer": optimizer, **changes})
