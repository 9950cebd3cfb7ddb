"""Batch normalisation of a single number: what is warned of, what PyTorch does, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from networks import layer, parsed

import archspec
from archspec import verification
from archspec.analysis.batches import norms_of_one
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.training import RunOptions

NORM = {"eps": 1.0e-3, "decay": 0.9}
SGD = {"type": "sgd", "learning_rate": 0.01}


def pooled(batch: int, **fields: Any) -> Graph:
    """A norm of a vector, and one of a map behind which nothing is left to say."""
    layers = [
        layer("conv", "conv2d", filters=4, kernel_size=3),
        layer("wide", "batch_norm", **NORM),
        layer("pool", "global_avg_pool2d"),
        layer("norm", "batch_norm", **NORM | fields),
        layer("fc", "dense", units=10),
    ]
    training = {"epochs": 1, "batch_size": batch, "optimizer": SGD}
    return parsed(layers, (1, 8, 8), training=training)


@pytest.mark.parametrize("variance", ["biased", "unbiased"])
def test_pytorch_refuses_it_in_training(variance: str) -> None:
    model = archspec.build(pooled(1, running_variance=variance), backend="torch").train()
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        model(torch.zeros(1, 1, 8, 8))
    model(torch.zeros(2, 1, 8, 8))
    model.eval()(torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize(
    ("batch", "fields", "alone"),
    [(1, {}, ["norm"]), (2, {}, []), (1, {"trainable": False}, [])],
)
def test_which_norms_are_of_one_number(
    batch: int, fields: dict[str, Any], alone: list[str]
) -> None:
    graph = pooled(batch, **fields)
    found = archspec.analyze(graph)
    assert norms_of_one(graph, found.shapes, batch) == alone
    assert [d.layer for d in found.diagnostics if d.code == "AS215"] == alone


def test_verify_refuses_batches_of_one_image() -> None:
    with pytest.raises(ArchspecError, match=r"^norm .* take at least two images$"):
        verification.verify(pooled(2), batch=1)


def test_training_refuses_batches_of_one_image(tmp_path: Path) -> None:
    with pytest.raises(ArchspecError, match=r"^norm .* take at least two images$"):
        archspec.train(pooled(2), RunOptions(output=tmp_path / "run", batch_size=1, limit=20))
    assert not (tmp_path / "run").exists()
