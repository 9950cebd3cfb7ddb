"""One entry a layer type: the operators of ONNX that compute it, usually one.

ONNX's maps are N,C,H,W and its weights O,I,H,W and (with `transB`) out,in: the canonical layout.
Pads are (top, left, bottom, right). What is not said has ONNX's default: stride, dilation and
group 1, no padding. `docs/onnx.md` says why the hard ones are written as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from archspec.backends.onnx.text import Constant, Op, Operand, Part, Tensor, op, single
from archspec.backends.source import LayerContext
from archspec.layers.window import Window
from archspec.spec.fields import Sides

Entry = Callable[[LayerContext, list[Tensor]], Op]


def weight(c: LayerContext, name: str) -> Tensor | None:
    """A tensor of the layer, None where it has none of that name."""
    known = any(tensor.name == name for tensor in c.weights)
    return Tensor(f"{c.node.name}.{name}") if known else None


def per_channel(c: LayerContext, name: str) -> Operand:
    """A tensor with a number for each channel, in a shape that goes with the layer's output."""
    values = weight(c, name)
    if values is None or len(c.output) == 1:
        return values
    return op("Unsqueeze", values, Constant("axes", (1, 2)))


def _window(c: LayerContext) -> Window:
    assert c.inferred.window is not None
    return c.inferred.window


def _pads(sides: Sides) -> dict[str, Any]:
    top, bottom, left, right = sides
    return {"pads": (top, left, bottom, right)} if any(sides) else {}


def _unless(default: Any, **values: Any) -> dict[str, Any]:
    """The attributes that differ from ONNX's default."""
    return {name: value for name, value in values.items() if value != default}


def _filled(role: str, count: int, value: float) -> Op:
    """So many times the same number."""
    return op("ConstantOfShape", Constant(role, (count,)), value=Constant("", (value,)))


def _conv2d(c: LayerContext, x: list[Tensor]) -> Op:
    window = _window(c)
    return op(
        "Conv",
        *x,
        weight(c, "weight"),
        weight(c, "bias"),
        kernel_shape=window.kernel_size,
        **_unless((1, 1), strides=window.stride, dilations=window.dilation),
        **_pads(window.reach),
        **_unless(1, group=c.layer.groups),
    )


def _conv2d_transpose(c: LayerContext, x: list[Tensor]) -> Op:
    layer = c.layer
    source: Operand = x[0]
    # onnxruntime wants an output padding below the stride, also where the dilation is larger. A
    # row of zeros behind the input is worth a stride of it.
    (below, down), (beyond, across) = map(divmod, layer.output_padding, layer.stride)
    if below or beyond:
        source = _padded(source, (0, below, 0, beyond))
    return op(
        "ConvTranspose",
        source,
        weight(c, "weight"),
        weight(c, "bias"),
        kernel_shape=layer.kernel_size,
        **_unless((1, 1), strides=layer.stride, dilations=layer.dilation),
        **_pads(layer.padding),
        **_unless((0, 0), output_padding=(down, across)),
        **_unless(1, group=layer.groups),
    )


def _max_pool2d(c: LayerContext, x: list[Tensor]) -> Op:
    window = _window(c)
    # What windows reach beyond the padding never wins either, so it is more of the same and
    # `ceil_mode` is not needed.
    return op(
        "MaxPool",
        *x,
        kernel_shape=window.kernel_size,
        **_unless((1, 1), strides=window.stride),
        **_pads(window.reach),
    )


def _avg_pool2d(c: LayerContext, x: list[Tensor]) -> Op:
    window = _window(c)
    source: Operand = x[0]
    counted = bool(c.layer.count_include_pad) and any(window.padding)
    sides = window.reach
    if counted and any(window.overhang):
        # The padding counts in the mean, what windows reach beyond it does not.
        source = _padded(source, window.padding)
        sides, counted = (0, window.overhang[0], 0, window.overhang[1]), False
    return op(
        "AveragePool",
        source,
        kernel_shape=window.kernel_size,
        **_unless((1, 1), strides=window.stride),
        **_pads(sides),
        **_unless(0, count_include_pad=int(counted)),
    )


def _padded(source: Operand, sides: Sides) -> Op:
    # With its axes named, onnxruntime leaves it alone. Otherwise 1.20 to 1.31 fuse a border of
    # zeros with a pool behind it, as padding that does not count: other numbers.
    top, bottom, left, right = sides
    pads = Constant("pads", (top, left, bottom, right))
    return op("Pad", source, pads, None, Constant("axes", (2, 3)))


def _adaptive_avg_pool2d(c: LayerContext, x: list[Tensor]) -> Op:
    window = c.inferred.window
    if window is not None:
        size = window.kernel_size
        return op("AveragePool", *x, kernel_shape=size, strides=size)
    # Regions of different sizes: the mean along each axis is a product with a matrix that has
    # the shares of the pixels.
    (_, height, width), (rows, columns) = c.inputs[0], c.layer.output_size
    found: Operand = x[0]
    if columns != width:
        across = _shares(width, columns)
        found = op(
            "MatMul", found, Constant("across", tuple(zip(*across, strict=True)))
        )
    if rows != height:
        found = op("MatMul", Constant("down", _shares(height, rows)), found)
    assert isinstance(
        found, Op
    )  # one axis at least, or all regions would be of one size
    return found


def _shares(size: int, count: int) -> tuple[tuple[float, ...], ...]:
    """For each of `count` regions over a side of `size`, what each pixel is to its mean."""
    rows = []
    for i in range(count):
        first, end = i * size // count, -(-(i + 1) * size // count)
        rows.append(
            tuple(1 / (end - first) if first <= p < end else 0.0 for p in range(size))
        )
    return tuple(rows)


def _global_avg_pool2d(c: LayerContext, x: list[Tensor]) -> Op:
    mean = op("GlobalAveragePool", *x)
    return mean if c.layer.keep_dims else op("Flatten", mean, axis=1)


def _lrn(c: LayerContext, x: list[Tensor]) -> Op:
    layer = c.layer
    # ONNX divides alpha by the size. Twelve digits leave out what binary products add to 3e-4.
    alpha = float(f"{layer.scale * layer.size:.12g}")
    beta, k = float(layer.beta), float(layer.k)
    if single(alpha) <= 0 or single(beta) <= 0:
        return _lrn_by_parts(c, x[0], alpha, beta, k)
    values = {"size": layer.size, "alpha": alpha, "beta": beta, "bias": k}
    if layer.groups == 1:
        return op("LRN", *x, **values)
    parts = op("Split", *x, axis=1, num_outputs=layer.groups, outputs=layer.groups)
    towers = (op("LRN", Part(parts, i), **values) for i in range(layer.groups))
    return op("Concat", *towers, axis=1)


def _lrn_by_parts(
    c: LayerContext, x: Tensor, alpha: float, beta: float, k: float
) -> Op:
    """The formula itself, for factors and exponents that onnxruntime's LRN refuses."""
    (channels, height, width), groups = c.output, c.layer.groups
    size, reach = c.layer.size, c.layer.size // 2
    # The groups as images, their channels as rows: the mean along the rows is that of channels.
    rows = (0, groups, channels // groups, height * width)
    squares = op("Reshape", op("Mul", x, x), Constant("rows", rows))
    means = op(
        "AveragePool",
        squares,
        kernel_shape=(size, 1),
        **_pads((reach, reach, 0, 0)),
        count_include_pad=1,
    )
    maps = op("Reshape", means, Constant("maps", (0, *c.output)))
    denominator = op("Add", op("Mul", maps, Constant("alpha", alpha)), Constant("k", k))
    return op("Div", x, op("Pow", denominator, Constant("beta", beta)))


def _batch_norm(c: LayerContext, x: list[Tensor]) -> Op:
    channels = c.output[0]
    return op(
        "BatchNormalization",
        *x,
        weight(c, "weight") or _filled("channels", channels, 1.0),
        weight(c, "bias") or _filled("channels", channels, 0.0),
        weight(c, "running_mean"),
        weight(c, "running_var"),
        epsilon=float(c.layer.eps),
    )


def _layer_norm(c: LayerContext, x: list[Tensor]) -> Op:
    scale = weight(c, "weight") or _filled("channels", c.output[0], 1.0)
    source: Operand = x[0]
    if len(c.output) == 3:  # ONNX normalises over the last axes
        source = op("Transpose", source, perm=(0, 2, 3, 1))
    norm = op(
        "LayerNormalization",
        source,
        scale,
        weight(c, "bias"),
        epsilon=float(c.layer.eps),
        axis=-1,
    )
    return op("Transpose", norm, perm=(0, 3, 1, 2)) if len(c.output) == 3 else norm


def _group_norm(c: LayerContext, x: list[Tensor]) -> Op:
    # ONNX has GroupNormalization, but defines it by the mean of the squares less the square of the
    # mean, whose digits cancel where the mean is large.
    layer, elements = c.layer, math.prod(c.output) // c.layer.groups
    rows = op("Reshape", *x, Constant("groups", (0, layer.groups, elements)))
    ones, zeros = (
        _filled("count", layer.groups, 1.0),
        _filled("count", layer.groups, 0.0),
    )
    norm = op("InstanceNormalization", rows, ones, zeros, epsilon=float(layer.eps))
    found = op("Reshape", norm, Constant("shape", (0, *c.output)))
    return _scaled(c, found)


def _scaled(c: LayerContext, found: Operand) -> Op:
    """With the layer's weight multiplied and its bias added, where it has them."""
    for operator, name in (("Mul", "weight"), ("Add", "bias")):
        values = per_channel(c, name)
        if values is not None:
            found = op(operator, found, values)
    assert isinstance(found, Op)
    return found


def _upsample2d(c: LayerContext, x: list[Tensor]) -> Op:
    nearest: dict[str, Any] = {
        "mode": "nearest",
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    }
    bilinear: dict[str, Any] = {
        "mode": "linear",
        "coordinate_transformation_mode": "half_pixel",
    }
    how = nearest if c.layer.mode == "nearest" else bilinear
    scales = Constant("scales", tuple(map(float, c.layer.scale)))
    return op("Resize", *x, None, scales, axes=(2, 3), **how)


def _gelu(c: LayerContext, x: list[Tensor]) -> Op:
    # The operator of that name came with opset 20.
    half, one = Constant("half", 0.5), Constant("one", 1.0)
    if c.layer.approximate == "none":
        share = op("Erf", op("Div", *x, Constant("root", math.sqrt(2))))
    else:
        cube = op("Mul", op("Mul", op("Mul", *x, *x), *x), Constant("cubed", 0.044715))
        inner = op("Add", *x, cube)
        share = op("Tanh", op("Mul", inner, Constant("root", math.sqrt(2 / math.pi))))
    return op("Mul", op("Mul", *x, half), op("Add", share, one))


def _channel_shuffle(c: LayerContext, x: list[Tensor]) -> Op:
    (channels, *size), groups = c.output, c.layer.groups
    dealt = op(
        "Reshape", *x, Constant("groups", (0, groups, channels // groups, *size))
    )
    turned = op("Transpose", dealt, perm=(0, 2, 1, 3, 4))
    return op("Reshape", turned, Constant("shape", (0, *c.output)))


def _dense(c: LayerContext, x: list[Tensor]) -> Op:
    return op("Gemm", *x, weight(c, "weight"), weight(c, "bias"), transB=1)


def _dropout(c: LayerContext, x: list[Tensor]) -> Op:
    rate = float(c.layer.rate)
    if (
        c.layer.scaling == "inverted"
    ):  # nothing at inference, and readers see what it was
        return op("Dropout", *x, Constant("ratio", rate))
    return op("Mul", *x, Constant("kept", 1 - rate))


def _split(c: LayerContext, x: list[Tensor]) -> Op:
    first, end = c.layer.channels
    ends = Constant("start", (first,)), Constant("end", (end,))
    return op("Slice", *x, *ends, Constant("axis", (1,)))


def _add(c: LayerContext, x: list[Tensor]) -> Op:
    return op("Add" if len(x) == 2 else "Sum", *x)


def _multiply(c: LayerContext, x: list[Tensor]) -> Op:
    product = op("Mul", x[0], x[1])
    for factor in x[2:]:
        product = op("Mul", product, factor)
    return product


def _plain(type: str, **attributes: Any) -> Entry:
    return lambda c, x: op(type, *x, **attributes)


LAYERS: dict[str, Entry] = {
    "adaptive_avg_pool2d": _adaptive_avg_pool2d,
    "add": _add,
    "avg_pool2d": _avg_pool2d,
    "batch_norm": _batch_norm,
    "channel_shuffle": _channel_shuffle,
    "concat": _plain("Concat", axis=1),
    "conv2d": _conv2d,
    "conv2d_transpose": _conv2d_transpose,
    "dense": _dense,
    "dropout": _dropout,
    "flatten": _plain("Flatten", axis=1),
    "gelu": _gelu,
    "global_avg_pool2d": _global_avg_pool2d,
    "group_norm": _group_norm,
    "hard_sigmoid": _plain("HardSigmoid", alpha=1 / 6, beta=0.5),
    "hard_swish": _plain("HardSwish"),
    "layer_norm": _layer_norm,
    "leaky_relu": lambda c, x: op("LeakyRelu", *x, alpha=float(c.layer.negative_slope)),
    "local_response_norm": _lrn,
    "max_pool2d": _max_pool2d,
    "multiply": _multiply,
    "permute": lambda c, x: op(
        "Transpose", *x, perm=(0, *(axis + 1 for axis in c.layer.axes))
    ),
    "relu": _plain("Relu"),
    "relu6": lambda c, x: op("Clip", *x, Constant("min", 0.0), Constant("max", 6.0)),
    "reshape": lambda c, x: op("Reshape", *x, Constant("shape", (0, *c.output))),
    "scale": lambda c, x: _scaled(c, x[0]),
    "sigmoid": _plain("Sigmoid"),
    "silu": lambda c, x: op("Mul", *x, op("Sigmoid", *x)),
    "softmax": _plain("Softmax", axis=1),
    "split": _split,
    "stochastic_depth": _plain("Identity"),
    "tanh": _plain("Tanh"),
    "upsample2d": _upsample2d,
    "zero_pad2d": lambda c, x: _padded(x[0], c.layer.padding),
}
