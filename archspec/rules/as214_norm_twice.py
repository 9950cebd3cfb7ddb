"""A normalisation follows a normalisation.

The second takes away again what the first has learned: its scale and shift are normalised at once,
so that they hardly matter. It happens where a block ends in a normalisation and the next begins
with one.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3, bias: false}
      - {name: norm1, type: batch_norm, eps: 1e-5, decay: 0.9}
      - {name: norm2, type: batch_norm, eps: 1e-5, decay: 0.9}
      - {name: relu1, type: relu}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3, bias: false}
      - {name: norm1, type: batch_norm, eps: 1e-5, decay: 0.9}
      - {name: relu1, type: relu}
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Fix, Problem
from archspec.layers.affine import AffineLayer
from archspec.rules.base import Rule
from archspec.rules.walk import layers, only_reader, read_by


def _check(analysis: Analysis) -> Iterator[Problem]:
    for node, layer in layers(analysis.graph, AffineLayer):
        before = read_by(analysis.graph, node)
        if before is None or not isinstance(before.layer, AffineLayer):
            continue
        count = analysis.by_name[before.name].costs.params if before.name in analysis.by_name else 0
        alone = only_reader(analysis.graph, before.name) is node
        fix = Fix(f"remove {before.name}", f"{count:,} parameters less", {before.name: None})
        yield Problem(
            "norm-twice",
            f"{node.name}: {layer.type} follows the {before.layer.type} of {before.name}, whose "
            f"{count:,} scales and shifts it normalises away",
            layer=node.name,
            field="type",
            fixes=(fix,) if alone else (),
        )


RULE = Rule("AS214", "norm-twice", "warning", check=_check)
