"""A normalisation has one number to normalise, and gives zero.

A number minus its own mean is 0: where a group holds one number, the output is the shift alone, the
same for every image, and no gradient passes. A layer normalisation of one channel and a group
normalisation with as many groups as features are such, and batch normalisation of a vector or a map
of 1 x 1 in batches of one image, which PyTorch refuses to train (of a larger map it is AS509).

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
from archspec.analysis.batches import norms_of_one
from archspec.diagnostics import Problem
from archspec.layers.affine import AffineLayer
from archspec.layers.base import Shape, show
from archspec.layers.image_norm import GroupNorm, LayerNorm
from archspec.rules.base import Rule
from archspec.rules.walk import layers


def _check(analysis: Analysis) -> Iterator[Problem]:
    for node, layer in layers(analysis.graph, AffineLayer):
        if node.name not in analysis.shapes.layers:
            continue
        shape = analysis.shapes.of(node.name)
        if _together(layer, shape) == 1:
            grouped = isinstance(layer, GroupNorm)
            yield Problem(
                "norm-of-one",
                f"{node.name}: in {show(shape)} it normalises each number by itself, which gives "
                "0 for every image",
                "normalise before the map is pooled, or in fewer and larger groups"
                if grouped
                else "normalise where there are several channels, or use `batch_norm`",
                layer=node.name,
                field="groups" if grouped else "type",
            )
    recipe = analysis.graph.spec.training
    if recipe is not None:
        for name in norms_of_one(analysis.graph, analysis.shapes, recipe.batch_size):
            yield Problem(
                "norm-of-one",
                f"{name}: in batches of one image each channel has one number, of which training "
                "makes 0; PyTorch refuses to",
                "use a larger batch_size, or normalise before the map is pooled",
                layer=name,
            )


def _together(layer: AffineLayer, shape: Shape) -> int:
    """How many numbers of an image share a mean and a variance; 0 where that is another matter."""
    if isinstance(layer, GroupNorm):
        return math.prod(shape) // layer.groups
    if isinstance(layer, LayerNorm):
        return shape[0]
    return 0


RULE = Rule("AS215", "norm-of-one", "warning", check=_check)
