"""One entry a layer type: the call of `functions.py` that computes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from archspec.backends.source import Call, LayerContext, Listing, Raw, call

Entry = Callable[[LayerContext, list[Raw]], Call]


def weight(c: LayerContext, name: str) -> Raw:
    """A tensor of the layer in the emitted source, "None" where it has none of that name."""
    known = any(tensor.name == name for tensor in c.weights)
    return Raw(f'w["{c.node.name}.{name}"]' if known else "None")


def _conv2d(c: LayerContext, x: list[Raw]) -> Call:
    window = c.inferred.window
    assert window is not None
    return call(
        "conv2d",
        *x,
        weight(c, "weight"),
        weight(c, "bias"),
        stride=window.stride,
        padding=window.reach,
        dilation=window.dilation,
        groups=c.layer.groups,
    )


def _conv2d_transpose(c: LayerContext, x: list[Raw]) -> Call:
    layer = c.layer
    return call(
        "conv2d_transpose",
        *x,
        weight(c, "weight"),
        weight(c, "bias"),
        stride=layer.stride,
        padding=layer.padding,
        output_padding=layer.output_padding,
        dilation=layer.dilation,
        groups=layer.groups,
    )


def _max_pool2d(c: LayerContext, x: list[Raw]) -> Call:
    window = c.inferred.window
    assert window is not None
    return call(
        "max_pool2d",
        *x,
        kernel_size=window.kernel_size,
        stride=window.stride,
        padding=window.reach,
    )


def _avg_pool2d(c: LayerContext, x: list[Raw]) -> Call:
    window = c.inferred.window
    assert window is not None
    return call(
        "avg_pool2d",
        *x,
        kernel_size=window.kernel_size,
        stride=window.stride,
        padding=window.padding,
        overhang=window.overhang,
        count_include_pad=bool(c.layer.count_include_pad),
    )


def _lrn(c: LayerContext, x: list[Raw]) -> Call:
    layer = c.layer
    return call(
        "local_response_norm",
        *x,
        size=layer.size,
        scale=layer.scale,
        beta=layer.beta,
        k=layer.k,
        groups=layer.groups,
    )


def _batch_norm(c: LayerContext, x: list[Raw]) -> Call:
    names = ("weight", "bias", "running_mean", "running_var")
    return call("batch_norm", *x, *(weight(c, name) for name in names), eps=c.layer.eps)


def _global_avg_pool2d(c: LayerContext, x: list[Raw]) -> Call:
    kept: dict[str, Any] = {"keepdims": True} if c.layer.keep_dims else {}
    return call(f"{x[0].text}.mean", axis=(2, 3), **kept)


def _zero_pad2d(c: LayerContext, x: list[Raw]) -> Call:
    return call("pad2d", *x, c.layer.padding, 0.0)


def _reshape(c: LayerContext, x: list[Raw]) -> Call:
    return call(f"{x[0].text}.reshape", Raw(f"{x[0].text}.shape[0]"), *c.output)


def _permute(c: LayerContext, x: list[Raw]) -> Call:
    return call(f"{x[0].text}.transpose", 0, *(axis + 1 for axis in c.layer.axes))


def _dropout(c: LayerContext, x: list[Raw]) -> Call:
    kept = 1.0 if c.layer.scaling == "inverted" else 1 - c.layer.rate
    return call("np.multiply", *x, kept)


def _flatten(c: LayerContext, x: list[Raw]) -> Call:
    return call(f"{x[0].text}.reshape", Raw(f"{x[0].text}.shape[0]"), -1)


def _split(c: LayerContext, x: list[Raw]) -> Call:
    first, end = c.layer.channels
    channels = Raw(f"range({first}, {end})" if first else f"range({end})")
    return call(f"{x[0].text}.take", channels, axis=1)


def _fold(function: str) -> Entry:
    def emit(c: LayerContext, x: list[Raw]) -> Call:
        total: Any = x[0]
        for term in x[1:]:
            total = call(function, total, term)
        assert isinstance(total, Call)
        return total

    return emit


def _concat(c: LayerContext, x: list[Raw]) -> Call:
    return call("np.concatenate", Listing(tuple(x)), axis=1)


def _function(name: str, *fields: str) -> Entry:
    """A function whose arguments are fields of the layer."""

    def emit(c: LayerContext, x: list[Raw]) -> Call:
        return call(name, *x, **{field: getattr(c.layer, field) for field in fields})

    return emit


def _affine(name: str, *fields: str) -> Entry:
    """A function whose arguments are a weight, a bias, and fields of the layer."""

    def emit(c: LayerContext, x: list[Raw]) -> Call:
        pair = weight(c, "weight"), weight(c, "bias")
        return call(
            name, *x, *pair, **{field: getattr(c.layer, field) for field in fields}
        )

    return emit


LAYERS: dict[str, Entry] = {
    "adaptive_avg_pool2d": _function("adaptive_avg_pool2d", "output_size"),
    "add": _fold("np.add"),
    "avg_pool2d": _avg_pool2d,
    "batch_norm": _batch_norm,
    "channel_shuffle": _function("channel_shuffle", "groups"),
    "concat": _concat,
    "conv2d": _conv2d,
    "conv2d_transpose": _conv2d_transpose,
    "dense": _affine("dense"),
    "dropout": _dropout,
    "flatten": _flatten,
    "gelu": _function("gelu", "approximate"),
    "global_avg_pool2d": _global_avg_pool2d,
    "group_norm": _affine("group_norm", "groups", "eps"),
    "hard_sigmoid": _function("hard_sigmoid"),
    "hard_swish": _function("hard_swish"),
    "layer_norm": _affine("layer_norm", "eps"),
    "leaky_relu": _function("leaky_relu", "negative_slope"),
    "local_response_norm": _lrn,
    "max_pool2d": _max_pool2d,
    "multiply": _fold("np.multiply"),
    "permute": _permute,
    "relu": _function("relu"),
    "relu6": _function("relu6"),
    "reshape": _reshape,
    "scale": _affine("scale_channels"),
    "sigmoid": _function("sigmoid"),
    "silu": _function("silu"),
    "softmax": _function("softmax"),
    "split": _split,
    "stochastic_depth": lambda c, x: call("np.multiply", *x, 1.0),
    "tanh": _function("np.tanh"),
    "upsample2d": _function("upsample2d", "scale", "mode"),
    "zero_pad2d": _zero_pad2d,
}
