"""Batch normalisation cancels the bias of the layer before it.

Batch normalisation subtracts the mean of every channel, and a bias is part of that mean: whatever
its value, the output is the same, and its gradient is zero. It costs memory, an addition an element
and a place in every checkpoint, and it looks like a parameter that learns. The shift behind the
normalisation (`affine`) is what a bias would be. Normalisation with frozen statistics subtracts
another mean and is not meant.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3}
      - {name: norm1, type: batch_norm, eps: 1e-5, decay: 0.9}
      - {name: relu1, type: relu}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3, bias: false}
      - {name: norm1, type: batch_norm, eps: 1e-5, decay: 0.9}
      - {name: relu1, type: relu}

References:

    Ioffe and Szegedy (2015): Batch normalization, section 3.2 (https://arxiv.org/abs/1502.03167)
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Fix, Problem
from archspec.layers.base import WeightedLayer
from archspec.layers.batch_norm import BatchNorm
from archspec.rules.base import Rule
from archspec.rules.walk import layers, only_reader, read_by


def _check(analysis: Analysis) -> Iterator[Problem]:
    for node, layer in layers(analysis.graph, BatchNorm):
        before = read_by(analysis.graph, node)
        if before is None or not layer.trainable or node.name not in analysis.shapes.layers:
            continue
        weighted = before.layer
        if (
            isinstance(weighted, WeightedLayer)
            and weighted.bias
            and weighted.trainable
            and only_reader(analysis.graph, before.name) is node
        ):
            count = analysis.shapes.of(before.name)[0]
            yield Problem(
                "bias-before-norm",
                f"{before.name}: {node.name} subtracts the mean of each channel and with it the "
                f"{count:,} biases, which have no effect and no gradient",
                "write `bias: false`",
                layer=before.name,
                field="bias" if before.source.get("bias") else None,
                fixes=(
                    Fix(
                        f"{before.name} without bias",
                        f"the same function with {count:,} parameters less; weights that are saved "
                        "already have them",
                        {f"{before.name}.bias": False},
                    ),
                ),
            )


RULE = Rule("AS206", "bias-before-norm", "warning", check=_check)
