"""What stands in a box: a layer's kind and its operation in the field's short words."""

from __future__ import annotations

from collections.abc import Sequence

from archspec.analysis import Analysis
from archspec.graph import Node
from archspec.layers.base import Layer, Shape, show
from archspec.layers.conv2d import Conv2d
from archspec.layers.conv2d_transpose import Conv2dTranspose
from archspec.layers.dense import Dense
from archspec.layers.mean_pool2d import AdaptiveAvgPool2d, GlobalAvgPool2d
from archspec.layers.pool2d import Pool2d
from archspec.layers.windowed import WindowedLayer
from archspec.spec.fields import INPUT, Pair

# Types whose short name is another one than their words.
SHORT = {
    "local_response_norm": "LRN",
    "relu": "ReLU",
    "relu6": "ReLU6",
    "leaky_relu": "leaky ReLU",
    "gelu": "GELU",
    "silu": "SiLU",
    "stochastic_depth": "drop path",
    "zero_pad2d": "zero padding",
    "max_pool2d": "max pool",
    "avg_pool2d": "average pool",
    "global_avg_pool2d": "global average pool",
    "adaptive_avg_pool2d": "average pool",
    "upsample2d": "upsample",
    "conv2d": "conv",
    "conv2d_transpose": "transposed conv",
}


def short_type(layer: Layer) -> str:
    """ReLU, batch norm, max pool."""
    return SHORT.get(layer.type) or layer.type.replace("_", " ")


def kind(layer: Layer) -> str:
    """The kind of box that a layer is drawn as; a key of `theme.KINDS`."""
    if isinstance(layer, Conv2d | Conv2dTranspose):
        return "conv"
    if isinstance(layer, Dense):
        return "dense"
    if isinstance(layer, Pool2d | GlobalAvgPool2d | AdaptiveAvgPool2d):
        return "pool"
    if layer.arity[0] > 1:
        return "join"
    return "plain"


def by(pair: Pair) -> str:
    """3 × 3: a kernel or a stride."""
    return f"{pair[0]} × {pair[1]}"


def sizes(shape: Shape) -> str:
    """96 × 55 × 55."""
    return " × ".join(map(str, shape))


def stride(layer: Layer) -> str:
    """`stride 2`, empty where the window moves by one."""
    if not isinstance(layer, WindowedLayer):
        return ""
    step = layer.strides()
    if step == (1, 1):
        return ""
    return f"stride {step[0]}" if step[0] == step[1] else f"stride {by(step)}"


def operation(node: Node, analysis: Analysis) -> str:
    """`3 × 3 conv, 64, stride 2`: what the layer does, without what it is called."""
    layer = node.layer
    words = short_type(layer)
    if isinstance(layer, Dense):
        return f"{words} {layer.units}"
    if isinstance(layer, AdaptiveAvgPool2d):
        return f"{words} to {by(layer.output_size)}"
    if not isinstance(layer, WindowedLayer):
        return words
    parts = [f"{by(layer.kernel_size)} {words}"]
    if isinstance(layer, Conv2d | Conv2dTranspose):
        if _depthwise(node, layer, analysis):
            parts = [f"{by(layer.kernel_size)} depthwise {words}"]
        elif layer.groups > 1:
            parts += [str(layer.filters), f"{layer.groups} groups"]
        else:
            parts.append(str(layer.filters))
    if layer.dilations() != (1, 1):
        parts.append(f"dilation {max(layer.dilations())}")
    parts.append(stride(layer))
    return ", ".join(filter(None, parts))


def _depthwise(node: Node, layer: Conv2d | Conv2dTranspose, analysis: Analysis) -> bool:
    """Whether every channel has a kernel of its own."""
    if layer.groups < 2 or node.name not in analysis.by_name:
        return False
    return layer.groups == analysis.shapes.inputs(node)[0][0]


def tooltip(layers: Sequence[str], analysis: Analysis) -> str:
    """A line a layer, for at most a screenful."""
    lines = []
    for name in layers[:24]:
        if name == INPUT:
            lines.append(f"input: {show(analysis.graph.input_shape)}")
            continue
        found = analysis.by_name.get(name)
        shape = show(found.output_shape) if found else "no output"
        params = f", {found.costs.params:,} params" if found and found.costs.params else ""
        lines.append(f"{name}: {analysis.graph.by_name[name].layer.type}, {shape}{params}")
    if len(layers) > len(lines):
        lines.append(f"and {len(layers) - len(lines)} more layers")
    return "\n".join(lines)
