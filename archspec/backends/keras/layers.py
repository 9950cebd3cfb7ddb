"""One entry a layer type: the Keras layers that compute it, usually one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from archspec.backends.source import Call, LayerContext, Raw, call, portable
from archspec.backends.table import Tensor
from archspec.layers.base import Shape, Weight
from archspec.layers.window import Axis, Window, resolve_axis
from archspec.spec import initializers as init
from archspec.spec.fields import Pair, Sides

# The layers of one entry, in order; all but the last are preparation (padding, axis order).
Entry = Callable[[LayerContext], list[Call]]

# Canonical tensor names and what Keras calls them, with the axes that turn the canonical
# layout into Keras' (O,I,H,W to H,W,I,O; out,in to in,out).
TENSORS: dict[str, dict[str, Tensor]] = {
    "batch_norm": {
        "weight": ("gamma", (0,)),
        "bias": ("beta", (0,)),
        "running_mean": ("moving_mean", (0,)),
        "running_var": ("moving_variance", (0,)),
    },
    "conv2d": {"weight": ("kernel", (2, 3, 1, 0)), "bias": ("bias", (0,))},
    "conv2d_transpose": {"weight": ("kernel", (2, 3, 1, 0)), "bias": ("bias", (0,))},
    "dense": {"weight": ("kernel", (1, 0)), "bias": ("bias", (0,))},
    "group_norm": {"weight": ("gamma", (0,)), "bias": ("beta", (0,))},
    "layer_norm": {"weight": ("gamma", (0,)), "bias": ("beta", (0,))},
    "scale": {"weight": ("kernel", (0,)), "bias": ("bias", (0,))},
}


def _window(context: LayerContext) -> Window:
    assert context.inferred.window is not None
    return context.inferred.window


def _one(pair: Pair) -> int | Pair:
    return pair[0] if pair[0] == pair[1] else pair


def _sides(sides: Sides) -> tuple[Pair, Pair]:
    top, bottom, left, right = sides
    return (top, bottom), (left, right)


def _is_same(window: Window) -> bool:
    """Whether Keras' padding="same" is this window's padding and output."""

    def same(axis: Axis) -> bool:
        other = resolve_axis(
            axis.size, axis.kernel, axis.stride, axis.dilation, "same", "exact"
        )
        mine = (axis.before, axis.after + axis.overhang, axis.output)
        return mine == (other.before, other.after, other.output)

    return same(window.height) and same(window.width)


def _padding(window: Window) -> tuple[dict[str, str], list[Call]]:
    """The `padding` argument, and a ZeroPadding2D where no value of it would do."""
    if not any(window.reach):
        return {}, []
    # TowerConv2D strides a dilated convolution by leaving out results of one with stride 1,
    # for which "same" is another padding.
    strided = window.dilation != (1, 1) and window.stride != (1, 1)
    if _is_same(window) and not strided:
        return {"padding": "same"}, []
    return {}, [call("layers.ZeroPadding2D", _sides(window.reach))]


def trainable(layer: Any) -> dict[str, bool]:
    """The argument that freezes the weights of a layer, if the spec does."""
    return {} if layer.trainable else {"trainable": False}


def _initializers(c: LayerContext) -> dict[str, Any]:
    names = {"weight": "kernel_initializer", "bias": "bias_initializer"}
    return {names[weight.name]: initializer(weight) for weight in c.weights}


def initializer(weight: Weight) -> Call | str:
    """Keras' initializer of a weight, by its name where it needs no argument."""
    rule = portable(weight)
    match rule:
        case init.Zeros():
            return "zeros"
        case init.Ones():
            return "ones"
        case init.Constant():
            return call("initializers.Constant", rule.value)
        case init.Normal():
            return call("initializers.RandomNormal", **_gaussian(rule))
        case init.TruncatedNormal():
            return call("initializers.TruncatedNormal", **_gaussian(rule))
        case init.Uniform():
            return call("initializers.RandomUniform", minval=rule.low, maxval=rule.high)
        case init.XavierNormal() | init.XavierUniform():
            scale, mode = rule.gain**2, "fan_avg"
        case init.KaimingNormal() | init.KaimingUniform():
            scale, mode = rule.scale, rule.mode
    uniform = isinstance(rule, (init.XavierUniform, init.KaimingUniform))
    distribution = "uniform" if uniform else "untruncated_normal"
    return call(
        "initializers.VarianceScaling",
        scale=scale,
        mode=mode,
        distribution=distribution,
    )


def _gaussian(rule: init.Normal | init.TruncatedNormal) -> dict[str, float]:
    mean = {"mean": rule.mean} if rule.mean else {}
    return {**mean, "stddev": rule.std}


def _conv2d(c: LayerContext) -> list[Call]:
    window, layer = _window(c), c.layer
    padding, before = _padding(window)
    dilated = window.dilation != (1, 1)
    towers = layer.groups > 1 or (dilated and window.stride != (1, 1))
    options: dict[str, Any] = {}
    if window.stride != (1, 1):
        options["strides"] = window.stride if towers else _one(window.stride)
    options |= padding
    if dilated:
        options["dilation_rate"] = window.dilation if towers else _one(window.dilation)
    if layer.groups > 1:
        options["groups"] = layer.groups
    if not layer.bias:
        options["use_bias"] = False
    options |= {**_initializers(c), **trainable(layer)}
    kernel = window.kernel_size if towers else _one(window.kernel_size)
    name = "TowerConv2D" if towers else "layers.Conv2D"
    return [*before, call(name, layer.filters, kernel, **options)]


def _conv2d_transpose(c: LayerContext) -> list[Call]:
    layer = c.layer
    options: dict[str, Any] = {}
    if layer.stride != (1, 1):
        options["strides"] = layer.stride
    if any(layer.padding):
        options["sides"] = _sides(layer.padding)
    if any(layer.output_padding):
        options["output_padding"] = layer.output_padding
    if layer.dilation != (1, 1):
        options["dilation_rate"] = layer.dilation
    if layer.groups > 1:
        options["groups"] = layer.groups
    if not layer.bias:
        options["use_bias"] = False
    options |= {**_initializers(c), **trainable(layer)}
    return [call("TransposedConv2D", layer.filters, layer.kernel_size, **options)]


def _max_pool2d(c: LayerContext) -> list[Call]:
    window = _window(c)
    kernel, stride = window.kernel_size, window.stride
    if any(window.reach) and not _is_same(window):
        return [call("PaddedMaxPool2D", kernel, stride, sides=_sides(window.reach))]
    padding, _ = _padding(window)
    return [call("layers.MaxPooling2D", _one(kernel), strides=_one(stride), **padding)]


def _avg_pool2d(c: LayerContext) -> list[Call]:
    window = _window(c)
    kernel, stride = window.kernel_size, window.stride
    if not any(window.reach):
        return [call("layers.AveragePooling2D", _one(kernel), strides=_one(stride))]
    options: dict[str, Any] = {"sides": _sides(window.padding)}
    if any(window.overhang):
        options["overhang"] = window.overhang
    if c.layer.count_include_pad:
        options["count_include_pad"] = True
    return [call("PaddedAvgPool2D", kernel, stride, **options)]


def _adaptive_avg_pool2d(c: LayerContext) -> list[Call]:
    window = c.inferred.window
    if window is not None:
        size = _one(window.kernel_size)
        return [call("layers.AveragePooling2D", size, strides=size)]
    return [call("AdaptiveAvgPool2D", c.layer.output_size)]


def _batch_norm(c: LayerContext) -> list[Call]:
    layer = c.layer
    options: dict[str, Any] = {"momentum": layer.decay, "epsilon": layer.eps}
    if not layer.affine:
        options |= {"center": False, "scale": False}
    biased = layer.running_variance == "biased"
    name = "layers.BatchNormalization" if biased else "UnbiasedBatchNorm"
    return [call(name, **options, **trainable(layer))]


def _layer_norm(c: LayerContext) -> list[Call]:
    layer = c.layer
    affine = {} if layer.affine else {"center": False, "scale": False}
    options = {"epsilon": layer.eps, **affine, **trainable(layer)}
    return [call("layers.LayerNormalization", **options)]


def _group_norm(c: LayerContext) -> list[Call]:
    layer = c.layer
    affine = {} if layer.affine else {"center": False, "scale": False}
    options = {"epsilon": layer.eps, **affine, **trainable(layer)}
    return [call("layers.GroupNormalization", layer.groups, **options)]


def _scale(c: LayerContext) -> list[Call]:
    bias = {"use_bias": True} if c.layer.bias else {}
    return [call("Scale", **bias, **_initializers(c), **trainable(c.layer))]


def _stochastic_depth(c: LayerContext) -> list[Call]:
    # One draw an image.
    shape = (None, *(1 for _ in c.output))
    return [call("layers.Dropout", c.layer.rate, noise_shape=shape)]


def _upsample2d(c: LayerContext) -> list[Call]:
    nearest = c.layer.mode == "nearest"
    name = "layers.UpSampling2D" if nearest else "BilinearUpsampling2D"
    return [call(name, _one(c.layer.scale) if nearest else c.layer.scale)]


def _reshape(c: LayerContext) -> list[Call]:
    before, after = c.inputs[0], c.output
    to_channels_first = [] if _ordered(before) else [call("layers.Permute", (3, 1, 2))]
    if len(after) == 1:
        return [*to_channels_first, call("layers.Reshape", after)]
    if _ordered(after):
        return [*to_channels_first, call("layers.Reshape", (*after[1:], after[0]))]
    cut = call("layers.Reshape", after)
    return [*to_channels_first, cut, call("layers.Permute", (2, 3, 1))]


def _permute(c: LayerContext) -> list[Call]:
    # Keras counts the axes height, width, channels from 1.
    channels, height, width = (axis or 3 for axis in c.layer.axes)
    return [call("layers.Permute", (height, width, channels))]


def _lrn(c: LayerContext) -> list[Call]:
    layer = c.layer
    options = {
        "size": layer.size,
        "scale": layer.scale,
        "beta": layer.beta,
        "k": layer.k,
    }
    if layer.groups > 1:
        options["groups"] = layer.groups
    return [call("LocalResponseNorm", **options)]


def _dense(c: LayerContext) -> list[Call]:
    layer = c.layer
    bias = {} if layer.bias else {"use_bias": False}
    return [
        call(
            "layers.Dense", layer.units, **bias, **_initializers(c), **trainable(layer)
        )
    ]


def _ordered(shape: Shape) -> bool:
    """Whether the elements stand in the same order with the channels first and last."""
    return len(shape) == 1 or shape[0] == 1 or shape[1:] == (1, 1)


def _flatten(c: LayerContext) -> list[Call]:
    # Channels first, so that a dense layer behind it sees the canonical order.
    before = [] if _ordered(c.inputs[0]) else [call("layers.Permute", (3, 1, 2))]
    return [*before, call("layers.Flatten")]


def _dropout(c: LayerContext) -> list[Call]:
    inverted = c.layer.scaling == "inverted"
    return [call("layers.Dropout" if inverted else "DropoutAtInference", c.layer.rate)]


def _global_avg_pool2d(c: LayerContext) -> list[Call]:
    kept = {"keepdims": True} if c.layer.keep_dims else {}
    return [call("layers.GlobalAveragePooling2D", **kept)]


def _activation(function: str) -> Entry:
    """A function of the emitted file."""
    return lambda context: [call("layers.Activation", Raw(function))]


def _gelu(c: LayerContext) -> list[Call]:
    exact = c.layer.approximate == "none"
    return _activation("gelu" if exact else "gelu_tanh")(c)


def _plain(layer: str, *args: Any, **kwargs: Any) -> Entry:
    return lambda context: [call(layer, *args, **kwargs)]


LAYERS: dict[str, Entry] = {
    "adaptive_avg_pool2d": _adaptive_avg_pool2d,
    "add": _plain("layers.Add"),
    "avg_pool2d": _avg_pool2d,
    "batch_norm": _batch_norm,
    "channel_shuffle": lambda c: [call("ChannelShuffle", c.layer.groups)],
    "concat": _plain("layers.Concatenate"),
    "conv2d": _conv2d,
    "conv2d_transpose": _conv2d_transpose,
    "dense": _dense,
    "dropout": _dropout,
    "flatten": _flatten,
    "gelu": _gelu,
    "global_avg_pool2d": _global_avg_pool2d,
    "group_norm": _group_norm,
    "hard_sigmoid": _activation("hard_sigmoid"),
    "hard_swish": _plain("layers.Activation", "hard_silu"),
    "layer_norm": _layer_norm,
    "leaky_relu": lambda c: [call("LeakyReLU", c.layer.negative_slope)],
    "local_response_norm": _lrn,
    "max_pool2d": _max_pool2d,
    "multiply": _plain("layers.Multiply"),
    "permute": _permute,
    "relu": _plain("layers.ReLU"),
    "relu6": _plain("layers.ReLU", max_value=6.0),
    "reshape": _reshape,
    "scale": _scale,
    "sigmoid": _plain("layers.Activation", "sigmoid"),
    "silu": _plain("layers.Activation", "silu"),
    "softmax": _plain("layers.Softmax"),
    "split": lambda c: [call("Split", *c.layer.channels)],
    "stochastic_depth": _stochastic_depth,
    "tanh": _plain("layers.Activation", "tanh"),
    "upsample2d": _upsample2d,
    "zero_pad2d": lambda c: [call("layers.ZeroPadding2D", _sides(c.layer.padding))],
}
