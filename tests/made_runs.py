"""Folders as runs leave them, made without training."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

import archspec
from archspec.plain import plain_spec
from archspec.spec.recipe import Recipe
from archspec.training.checkpoint import RunRecord
from archspec.training.options import EpochMetrics

SPEC = """\
archspec: 1
name: {name}
input: {{channels: 1, height: 8, width: 8}}
layers:
  - {{name: conv, type: conv2d, filters: {filters}, kernel_size: 3}}
  - {{name: relu, type: relu}}
  - {{name: flatten, type: flatten}}
  - {{name: fc, type: dense, units: 3}}
"""
RECIPE = {
    "epochs": 4,
    "batch_size": 8,
    "optimizer": {"type": "sgd", "learning_rate": 0.05, "momentum": 0.9},
    "schedule": {"type": "steps", "epochs": [3]},
}


def row(epoch: int, **figures: Any) -> EpochMetrics:
    """An epoch of a run that learns: the loss halves, and every second image of the rest is won."""
    usual = {
        "epoch": epoch,
        "step": 6 * epoch,
        "train_loss": 2.0 * 0.5**epoch,
        "val_loss": 2.5 * 0.5**epoch,
        "val_top1": 1 - 0.5**epoch,
        "val_top5": 1.0,
        "lr": 0.05 if epoch < 3 else 0.005,
        "images_per_second": 100.0 + epoch,
        "data_wait": 0.01,
    }
    return EpochMetrics(**{**usual, **figures})


def make_run(
    folder: Path,
    rows: list[EpochMetrics] | int = 4,
    *,
    name: str = "tiny",
    filters: int = 4,
    recipe: dict[str, Any] | None = None,
    **record: Any,
) -> Path:
    """Write what a run leaves; `rows` are its epochs, or how many there are."""
    folder.mkdir(parents=True)
    written = folder / "spec.yaml"
    written.write_text(SPEC.format(name=json.dumps(name), filters=filters), encoding="utf-8")
    graph = archspec.load(written)
    chosen = Recipe.model_validate({**RECIPE, **(recipe or {})})
    written.write_text(plain_spec(graph, chosen), encoding="utf-8")
    usual = {
        "archspec": "0.1.0",
        "network": name,
        "hash": graph.hash,
        "backend": "torch",
        "engine": "PyTorch 2.13.0",
        "device": "cpu",
        "data": "digits",
        "limit": None,
        "fingerprint": "0123456789abcdef" * 4,
        "classes": ("a", "b", "c"),
        "training_images": 48,
        "held_out_images": 12,
        "recipe": chosen,
    }
    found = RunRecord(**{**usual, **record})
    (folder / "run.json").write_bytes(TypeAdapter(RunRecord).dump_json(found, indent=2))
    if isinstance(rows, int):
        rows = [row(epoch) for epoch in range(1, rows + 1)]
    lines = [json.dumps(dataclasses.asdict(one)) + "\n" for one in rows]
    (folder / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder
