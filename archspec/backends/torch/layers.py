"""One entry a layer type: the module that computes it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from archspec.backends.source import Call, LayerContext, call
from archspec.layers.window import Window
from archspec.spec.fields import Pair, Sides

Entry = Callable[[LayerContext], Call]


def _window(context: LayerContext) -> Window:
    assert context.inferred.window is not None
    return context.inferred.window


def _one(pair: Pair) -> int | Pair:
    return pair[0] if pair[0] == pair[1] else pair


def _sides(sides: Sides) -> Sides:
    """(top, bottom, left, right) in the order of `torch.nn.functional.pad`."""
    top, bottom, left, right = sides
    return left, right, top, bottom


def _symmetric(sides: Sides) -> bool:
    return sides[0] == sides[1] and sides[2] == sides[3]


def _unless(default: Any, **values: Any) -> dict[str, Any]:
    """The keyword arguments that differ from PyTorch's default."""
    return {name: value for name, value in values.items() if value != default}


def _conv2d(c: LayerContext) -> Call:
    window, layer = _window(c), c.layer
    reach = window.reach
    options = {
        "kernel_size": _one(window.kernel_size),
        **_unless(1, stride=_one(window.stride)),
    }
    padded = not window.symmetric
    if not padded:
        options |= _unless(0, padding=_one((reach[0], reach[2])))
    options |= _unless(1, dilation=_one(window.dilation))
    options |= {**_unless(1, groups=layer.groups), **_unless(True, bias=layer.bias)}
    if padded:
        options["sides"] = _sides(reach)
    name = "PaddedConv2d" if padded else "nn.Conv2d"
    return call(name, c.inputs[0][0], layer.filters, **options)


def _conv2d_transpose(c: LayerContext) -> Call:
    layer = c.layer
    options = {
        "kernel_size": _one(layer.kernel_size),
        **_unless(1, stride=_one(layer.stride)),
    }
    cropped = not _symmetric(layer.padding)
    if not cropped:
        options |= _unless(0, padding=_one((layer.padding[0], layer.padding[2])))
    options |= _unless(0, output_padding=_one(layer.output_padding))
    options |= {**_unless(1, groups=layer.groups), **_unless(True, bias=layer.bias)}
    options |= _unless(1, dilation=_one(layer.dilation))
    if cropped:
        options["sides"] = _sides(layer.padding)
    name = "CroppedConvTranspose2d" if cropped else "nn.ConvTranspose2d"
    return call(name, c.inputs[0][0], layer.filters, **options)


def _max_pool2d(c: LayerContext) -> Call:
    window = _window(c)
    kernel, stride = window.kernel_size, window.stride
    plain = call("nn.MaxPool2d", kernel_size=_one(kernel), stride=_one(stride))
    return _pool(c, plain, "PaddedMaxPool2d", {})


def _avg_pool2d(c: LayerContext) -> Call:
    window = _window(c)
    kernel, stride = window.kernel_size, window.stride
    plain = call("nn.AvgPool2d", kernel_size=_one(kernel), stride=_one(stride))
    options: dict[str, Any] = {}
    if any(window.padding):
        options["count_include_pad"] = bool(c.layer.count_include_pad)
    return _pool(c, plain, "PaddedAvgPool2d", options)


def _pool(
    context: LayerContext, plain: Call, padded: str, options: dict[str, Any]
) -> Call:
    """torch.nn's own pool where it can do it, else the one that pads each side by itself."""
    window = _window(context)
    ceil = any(window.overhang)
    if not context.layer.padded_before(window):
        top, _, left, _ = window.padding
        extra = {
            **_unless(0, padding=_one((top, left))),
            **_unless(False, ceil_mode=ceil),
        }
        return call(plain.function, **plain.kwargs, **extra, **options)
    if padded == "PaddedMaxPool2d":
        sides: dict[str, Any] = {"sides": _sides(window.reach)}
    else:
        bottom_hang, right_hang = window.overhang
        sides = {"sides": _sides(window.padding)}
        if ceil:
            sides["overhang"] = (right_hang, bottom_hang)
    return call(
        padded,
        kernel_size=window.kernel_size,
        stride=window.stride,
        **sides,
        **options,
    )


def _batch_norm(c: LayerContext) -> Call:
    layer, output = c.layer, c.output
    affine = _unless(True, affine=layer.affine)
    if not layer.trainable:
        return call("FrozenBatchNorm", output[0], eps=layer.eps, **affine)
    options = {"eps": layer.eps, "momentum": _complement(layer.decay), **affine}
    if layer.running_variance == "biased":
        return call("BiasedBatchNorm", output[0], **options)
    name = "nn.BatchNorm2d" if len(output) == 3 else "nn.BatchNorm1d"
    return call(name, output[0], **options)


def _layer_norm(c: LayerContext) -> Call:
    layer = c.layer
    name = "nn.LayerNorm" if len(c.output) == 1 else "LayerNorm2d"
    affine = _unless(True, elementwise_affine=layer.affine)
    return call(name, c.output[0], eps=layer.eps, **affine)


def _group_norm(c: LayerContext) -> Call:
    layer = c.layer
    affine = _unless(True, affine=layer.affine)
    several = math.prod(c.output) > layer.groups
    name = "nn.GroupNorm" if several else "GroupNormOfOne"
    return call(name, layer.groups, c.output[0], eps=layer.eps, **affine)


def _upsample2d(c: LayerContext) -> Call:
    return call("nn.Upsample", scale_factor=_one(c.layer.scale), mode=c.layer.mode)


def _complement(decay: float) -> float:
    """1 - decay without the last digits that binary subtraction adds (0.1, not 0.09999...)."""
    return float(f"{1 - decay:.12g}")


def _lrn(c: LayerContext) -> Call:
    layer = c.layer
    options = {
        "size": layer.size,
        "scale": layer.scale,
        "beta": layer.beta,
        "k": layer.k,
    }
    return call("LocalResponseNorm", **options, **_unless(1, groups=layer.groups))


def _relu(c: LayerContext) -> Call:
    return call("nn.ReLU", **_unless(False, inplace=c.graph.overwrites(c.node)))


def _dropout(c: LayerContext) -> Call:
    inverted = c.layer.scaling == "inverted"
    return call("nn.Dropout" if inverted else "DropoutAtInference", c.layer.rate)


def _global_avg_pool2d(c: LayerContext) -> Call:
    return call("GlobalAvgPool2d", **_unless(False, keep_dims=c.layer.keep_dims))


def _gelu(c: LayerContext) -> Call:
    return call("nn.GELU", **_unless("none", approximate=c.layer.approximate))


def _dense(c: LayerContext) -> Call:
    return call(
        "nn.Linear", c.inputs[0][0], c.layer.units, **_unless(True, bias=c.layer.bias)
    )


def _plain(module: str, *args: Any, **kwargs: Any) -> Entry:
    return lambda context: call(module, *args, **kwargs)


LAYERS: dict[str, Entry] = {
    "adaptive_avg_pool2d": lambda c: call(
        "nn.AdaptiveAvgPool2d", _one(c.layer.output_size)
    ),
    "add": _plain("Add"),
    "avg_pool2d": _avg_pool2d,
    "batch_norm": _batch_norm,
    "channel_shuffle": lambda c: call("nn.ChannelShuffle", c.layer.groups),
    "concat": _plain("Concat"),
    "conv2d": _conv2d,
    "conv2d_transpose": _conv2d_transpose,
    "dense": _dense,
    "dropout": _dropout,
    "flatten": _plain("nn.Flatten"),
    "gelu": _gelu,
    "global_avg_pool2d": _global_avg_pool2d,
    "group_norm": _group_norm,
    "hard_sigmoid": _plain("Hardsigmoid"),
    "hard_swish": _plain("nn.Hardswish"),
    "layer_norm": _layer_norm,
    "leaky_relu": lambda c: call("nn.LeakyReLU", c.layer.negative_slope),
    "local_response_norm": _lrn,
    "max_pool2d": _max_pool2d,
    "multiply": _plain("Multiply"),
    "permute": lambda c: call("Permute", *c.layer.axes),
    "relu": _relu,
    "relu6": _plain("nn.ReLU6"),
    "reshape": lambda c: call("Reshape", *c.output),
    "scale": lambda c: call("Scale", c.output[0], **_unless(False, bias=c.layer.bias)),
    "sigmoid": _plain("nn.Sigmoid"),
    "silu": _plain("nn.SiLU"),
    "softmax": _plain("nn.Softmax", dim=1),
    "split": lambda c: call("Split", *c.layer.channels),
    "stochastic_depth": lambda c: call("StochasticDepth", c.layer.rate),
    "tanh": _plain("nn.Tanh"),
    "upsample2d": _upsample2d,
    "zero_pad2d": lambda c: call("nn.ZeroPad2d", _sides(c.layer.padding)),
}
