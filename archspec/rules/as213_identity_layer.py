"""A layer does nothing.

Dropout of rate 0, a pool of 1 x 1 with stride 1, padding of 0, the mean of a map of one pixel: the
output is the input. Such a layer is what is left of another setting, or a field that was forgotten.
A value that a variable gives is not meant, nor is an adaptive pool or the first rate of stochastic
depth: another value, or another input, makes the layer do something.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3}
      - {name: pool1, type: max_pool2d, kernel_size: 1}
      - {name: relu1, type: relu}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3}
      - {name: pool1, type: max_pool2d, kernel_size: 2}
      - {name: relu1, type: relu}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from archspec.analysis import Analysis
from archspec.diagnostics import Fix, Problem
from archspec.layers.base import Layer, Shape
from archspec.layers.channel_shuffle import ChannelShuffle
from archspec.layers.dropout import Dropout
from archspec.layers.flatten import Flatten
from archspec.layers.joins import Split
from archspec.layers.mean_pool2d import GlobalAvgPool2d
from archspec.layers.pool2d import Pool2d
from archspec.layers.rearrange import Permute, Reshape
from archspec.layers.upsample2d import Upsample2d
from archspec.layers.zero_pad2d import ZeroPad2d
from archspec.rules.base import Rule
from archspec.rules.walk import layers, written


def _check(analysis: Analysis) -> Iterator[Problem]:
    for kind, (field, _) in _KINDS.items():
        for node, layer in layers(analysis.graph, kind):
            if node.name not in analysis.shapes.layers:
                continue
            why = _why(layer, analysis.shapes.inputs(node)[0], analysis.shapes.of(node.name))
            if why is None or "$" in written(node, field):
                continue
            last = analysis.graph.output == node.name and node.inputs == ("input",)
            fix = Fix(f"remove {node.name}", "the same function", {node.name: None}, safe=True)
            yield Problem(
                "identity-layer",
                f"{node.name}: {why}, so its output is its input",
                layer=node.name,
                field=field if node.source.get(field) else "type",
                fixes=() if last else (fix,),
            )


def _why(layer: Layer, before: Shape, behind: Shape) -> str | None:
    """Why a layer is the identity, None where it is not."""
    if before != behind:
        return None
    for kind, (_, reason) in _KINDS.items():
        if isinstance(layer, kind):
            return reason(layer, before)
    return None


def _pool(layer: Pool2d, _: Shape) -> str | None:
    single = layer.kernel_size == (1, 1) and layer.strides() == (1, 1)
    return "its windows are single pixels" if single else None


def _shuffle(layer: ChannelShuffle, before: Shape) -> str | None:
    trivial = layer.groups in (1, before[0])
    return f"{before[0]} channels in {layer.groups} groups keep their order" if trivial else None


def _permute(layer: Permute, _: Shape) -> str | None:
    same = tuple(layer.order) == ("channels", "height", "width")
    return "its axes stay where they are" if same else None


# The kinds of layers that can be the identity when the shape stays: the field that makes them so,
# and why, or None.
_KINDS: dict[type[Layer], tuple[str, Callable[[Any, Shape], str | None]]] = {
    Dropout: ("rate", lambda layer, _: None if layer.rate else "a rate of 0 drops nothing"),
    Pool2d: ("kernel_size", _pool),
    ZeroPad2d: ("padding", lambda layer, _: "it adds no pixels"),
    Upsample2d: ("scale", lambda layer, _: "it repeats every pixel once"),
    GlobalAvgPool2d: ("type", lambda layer, _: "the map has one pixel"),
    Split: ("channels", lambda layer, _: "it takes every channel"),
    Flatten: ("type", lambda layer, _: "its input is a vector already"),
    Reshape: ("shape", lambda layer, _: "its input has that shape"),
    ChannelShuffle: ("groups", _shuffle),
    Permute: ("order", _permute),
}

RULE = Rule("AS213", "identity-layer", "warning", check=_check)
