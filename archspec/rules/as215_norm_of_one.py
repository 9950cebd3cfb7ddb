"""A normalisation has one number to normalise, and gives zero.

A number minus its own mean is 0: where a group holds one number, the output is the shift alone, the
same for every image, and no gradient passes. A layer normalisation of one channel, a group
normalisation with as many groups as features, and batch normalisation of a vector in batches of one
image are such.

Example:

    archspec: 1
    name: example
    input: {channels: 8, height: 8, width: 8}
    layers:
      - {name: pool, type: global_avg_pool2d}
      - {name: norm, type: group_norm, groups: 8, eps: 1e-5}
      - {name: fc, type: dense, units: 10}

Instead:

    archspec: 1
    name: example
    input: {channels: 8, height: 8, width: 8}
    layers:
      - {name: norm, type: group_norm, groups: 8, eps: 1e-5}
      - {name: pool, type: global_avg_pool2d}
      - {name: fc, type: dense, units: 10}
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem
from archspec.layers.affine import AffineLayer
from archspec.layers.base import Shape, show
from archspec.layers.batch_norm import BatchNorm
from archspec.layers.image_norm import GroupNorm, LayerNorm
from archspec.rules.base import Rule
from archspec.rules.walk import layers


def _check(analysis: Analysis) -> Iterator[Problem]:
    recipe = analysis.graph.spec.training
    batch = recipe.batch_size if recipe is not None else 0
    for node, layer in layers(analysis.graph, AffineLayer):
        if node.name not in analysis.shapes.layers:
            continue
        shape = analysis.shapes.of(node.name)
        if _together(layer, shape, batch) == 1:
            what = f"{show(shape)}" + (
                f" in batches of {batch}" if layer.type == "batch_norm" else ""
            )
            field = "groups" if isinstance(layer, GroupNorm) else "type"
            yield Problem(
                "norm-of-one",
                f"{node.name}: in {what} it normalises each number by itself, which gives 0 for "
                "every image",
                "normalise before the map is pooled, or in larger groups",
                layer=node.name,
                field=field,
            )


def _together(layer: AffineLayer, shape: Shape, batch: int) -> int:
    """How many numbers share a mean and a variance; 0 where that is not known."""
    if isinstance(layer, GroupNorm):
        return math.prod(shape) // layer.groups
    if isinstance(layer, LayerNorm):
        return shape[0]
    if isinstance(layer, BatchNorm) and layer.trainable:
        return batch * math.prod(shape[1:])
    return 0


RULE = Rule("AS215", "norm-of-one", "warning", check=_check)
