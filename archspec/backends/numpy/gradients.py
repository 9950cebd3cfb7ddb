"""The derivative of every operation, to be read beside its definition in `functions.py`.

Each function here has the name of the one that it is the derivative of. It takes the gradient
`g` of a scalar with respect to the output, the output `y`, and then what the operation itself
takes. It returns the gradients with respect to the operation's leading arguments: None for
one that is None, a list for one that is a list of arrays.

Where an operation has a kink, the derivative is what PyTorch and Keras take, on every engine:
relu has the slope 0 at 0, relu6 and hard_sigmoid 0 at both corners, leaky_relu its negative slope
at 0; and of equal maxima in a window of a max pool the first one, in the order of rows, has the
whole gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from archspec.backends.numpy import functions

Gradient = np.ndarray | list[np.ndarray] | None
Derivative = Callable[..., tuple[Gradient, ...]]
Pair = tuple[int, int]
Sides = tuple[int, int, int, int]


def conv2d(
    g: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair,
    padding: Sides,
    dilation: Pair,
    groups: int,
) -> tuple[Gradient, ...]:
    """The adjoint of a convolution is the transposed convolution with the same weights."""
    padded = functions.pad2d(x, padding, 0.0)
    # The rows and columns at the end that no window reached.
    rest = [
        size - (1 + (reached - 1) * s + (kernel - 1) * d)
        for size, reached, s, kernel, d in zip(
            padded.shape[2:],
            g.shape[2:],
            stride,
            weight.shape[2:],
            dilation,
            strict=True,
        )
    ]
    dx = functions.conv2d_transpose(
        g, weight, None, stride, padding, (rest[0], rest[1]), dilation, groups
    )
    dweight = kernel_gradient(padded, g, weight.shape, stride, dilation, groups)
    return dx, dweight, bias_gradient(g, bias)


def conv2d_transpose(
    g: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair,
    padding: Sides,
    output_padding: Pair,
    dilation: Pair,
    groups: int,
) -> tuple[Gradient, ...]:
    """The adjoint of a transposed convolution is the convolution with the same weights."""
    height, width = x.shape[2:]
    dx = functions.conv2d(g, weight, None, stride, padding, dilation, groups)
    padded = functions.pad2d(g, padding, 0.0)
    dweight = kernel_gradient(padded, x, weight.shape, stride, dilation, groups)
    # A padding at the end of the output may be as long as a stride: windows of no input.
    return dx[:, :, :height, :width], dweight, bias_gradient(g, bias)


def kernel_gradient(
    wide: np.ndarray,
    narrow: np.ndarray,
    shape: tuple[int, ...],
    stride: Pair,
    dilation: Pair,
    groups: int,
) -> np.ndarray:
    """Sum over n, i, j of narrow[n, o, i, j] * wide[n, c, i * stride + u * dilation, ...].

    `shape` is (o, c / groups, rows, columns): each group of `narrow` meets its own of `wide`.
    """
    height, width = narrow.shape[2:]
    out = np.empty(shape, dtype=wide.dtype)
    each, seen = shape[0] // groups, shape[1]
    for group in range(groups):
        mine = slice(group * each, (group + 1) * each)
        part = wide[:, group * seen : (group + 1) * seen]
        for row, column in np.ndindex(*shape[2:]):
            top, left = row * dilation[0], column * dilation[1]
            patch = part[
                :,
                :,
                top : top + (height - 1) * stride[0] + 1 : stride[0],
                left : left + (width - 1) * stride[1] + 1 : stride[1],
            ]
            axes = (0, 2, 3)
            product = np.tensordot(narrow[:, mine], patch, axes=(axes, axes))
            out[mine, :, row, column] = product
    return out


def bias_gradient(g: np.ndarray, bias: np.ndarray | None) -> np.ndarray | None:
    """The sum over everything but the channels, where there is a bias."""
    return None if bias is None else g.sum(axis=(0, *range(2, g.ndim)))


def pad2d(
    g: np.ndarray, y: np.ndarray, x: np.ndarray, padding: Sides, value: float
) -> tuple[Gradient, ...]:
    """The border is a constant."""
    return (inside(g, padding),)


def inside(x: np.ndarray, padding: Sides) -> np.ndarray:
    """Take the border away that `functions.pad2d` puts around each map."""
    top, bottom, left, right = padding
    return x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right]


def max_pool2d(
    g: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    kernel_size: Pair,
    stride: Pair,
    padding: Sides,
) -> tuple[Gradient, ...]:
    """The gradient of a window belongs to its largest value, the first of several."""
    padded = functions.pad2d(x, padding, -np.inf)
    windows = functions.windows2d(padded, kernel_size, stride)
    first = windows.reshape(*windows.shape[:4], -1).argmax(axis=4)
    places = np.arange(math.prod(kernel_size)).reshape(kernel_size)
    parts = (np.where(first == place, g, 0) for place in places.flat)
    dx = add_windows(parts, padded, kernel_size, stride)
    return (inside(dx, padding),)


def add_windows(
    parts: Any, padded: np.ndarray, kernel_size: Pair, stride: Pair
) -> np.ndarray:
    """Add what each place of the windows gets, place by place, to where it came from."""
    out = np.zeros_like(padded)
    for (row, column), part in zip(np.ndindex(*kernel_size), parts, strict=True):
        rows, columns = part.shape[2:]
        out[
            :,
            :,
            row : row + (rows - 1) * stride[0] + 1 : stride[0],
            column : column + (columns - 1) * stride[1] + 1 : stride[1],
        ] += part
    return out


def avg_pool2d(
    g: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    kernel_size: Pair,
    stride: Pair,
    padding: Sides,
    overhang: Pair,
    count_include_pad: bool,
) -> tuple[Gradient, ...]:
    """Every element of a window gets its share, the gradient over what counts."""
    border = 1.0 if count_include_pad else 0.0
    counted = functions.pad2d(np.ones_like(x[:1, :1]), padding, border)
    share = g / functions.sum_pool2d(counted, kernel_size, stride, overhang)
    top, bottom, left, right = padding
    reach = (top, bottom + overhang[0], left, right + overhang[1])
    parts = (share for _ in range(math.prod(kernel_size)))
    padded = functions.pad2d(x, reach, 0.0)
    return (inside(add_windows(parts, padded, kernel_size, stride), reach),)


def adaptive_avg_pool2d(
    g: np.ndarray, y: np.ndarray, x: np.ndarray, output_size: Pair
) -> tuple[Gradient, ...]:
    """Every element of a region gets its share."""
    (height, width), (rows, columns) = x.shape[2:], output_size
    dx = np.zeros_like(x)
    for i, j in np.ndindex(rows, columns):
        top, bottom = i * height // rows, -(-(i + 1) * height // rows)
        left, right = j * width // columns, -(-(j + 1) * width // columns)
        share = g[:, :, i, j] / ((bottom - top) * (right - left))
        dx[:, :, top:bottom, left:right] += share[:, :, None, None]
    return (dx,)


def local_response_norm(
    g: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    size: int,
    scale: float,
    beta: float,
    k: float,
    groups: int,
) -> tuple[Gradient, ...]:
    """With b = k + scale * sum of squares, y = x b^-beta and x stands in its neighbours' b.

    A channel is a neighbour of its neighbours, so what comes back through their b is a sum over
    the same channels.
    """
    base = k + scale * functions.sum_channels(x * x, size, groups)
    around = functions.sum_channels(g * x * base ** (-beta - 1), size, groups)
    return (g * base**-beta - 2 * scale * beta * x * around,)


def batch_norm(
    g: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    mean: np.ndarray,
    var: np.ndarray,
    eps: float,
) -> tuple[Gradient, ...]:
    """Also with respect to mean and variance, which in training are functions of x."""
    axes, shape = (0, *range(2, x.ndim)), (1, -1) + (1,) * (x.ndim - 2)
    deviation = np.sqrt(var.reshape(shape) + eps)
    normal = (x - mean.reshape(shape)) / deviation
    dnormal, dweight, dbias = scale_channels(g, y, normal, weight, bias)
    assert isinstance(dnormal, np.ndarray)
    dx = dnormal / deviation
    dmean = -dx.sum(axis=axes)
    dvar = -(dx * normal / (2 * deviation)).sum(axis=axes)
    return dx, dweight, dbias, dmean, dvar


def batch_mean(g: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[Gradient, ...]:
    """Every element of a channel is one of n."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    n = x.size // x.shape[1]
    return (np.broadcast_to((g / n).reshape(shape), x.shape),)


def batch_var(g: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[Gradient, ...]:
    """d/dx of the mean of (x - mean)^2; the mean's own share adds up to nothing."""
    axes, shape = (0, *range(2, x.ndim)), (1, -1) + (1,) * (x.ndim - 2)
    n = x.size // x.shape[1]
    difference = x - x.mean(axis=axes).reshape(shape)
    return ((2 * g / n).reshape(shape) * difference,)


def layer_norm(
    g: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    eps: float,
) -> tuple[Gradient, ...]:
    """As `normalized` says, across the channels."""
    normal, deviation = _normalize(x, 1, eps)
    dnormal, dweight, dbias = scale_channels(g, y, normal, weight, bias)
    return normalized(dnormal, normal, deviation, 1), dweight, dbias


def group_norm(
    g: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    groups: int,
    eps: float,
) -> tuple[Gradient, ...]:
    """As `normalized` says, across each group of channels."""
    rows = (x.shape[0], groups, -1)
    normal, deviation = _normalize(x.reshape(rows), 2, eps)
    dnormal, dweight, dbias = scale_channels(
        g, y, normal.reshape(x.shape), weight, bias
    )
    assert isinstance(dnormal, np.ndarray)
    dx = normalized(dnormal.reshape(rows), normal, deviation, 2)
    return dx.reshape(x.shape), dweight, dbias


def _normalize(x: np.ndarray, axis: int, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """(x - mean) / deviation along an axis, and the deviation."""
    difference = x - x.mean(axis=axis, keepdims=True)
    variance = (difference * difference).mean(axis=axis, keepdims=True)
    deviation = np.sqrt(variance + eps)
    return difference / deviation, deviation


def normalized(
    dnormal: Any, normal: np.ndarray, deviation: np.ndarray, axis: int
) -> np.ndarray:
    """The gradient through n = (x - mean) / deviation, mean and deviation being functions of x.

    dx = (dn - mean(dn) - n mean(dn n)) / deviation: the part of dn that moves neither the mean
    nor the deviation.
    """
    shift = dnormal.mean(axis=axis, keepdims=True)
    stretch = (dnormal * normal).mean(axis=axis, keepdims=True)
    return (dnormal - shift - normal * stretch) / deviation


def scale_channels(
    g: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
) -> tuple[Gradient, ...]:
    """A factor and a bias for each channel."""
    axes, shape = (0, *range(2, x.ndim)), (1, -1) + (1,) * (x.ndim - 2)
    dx = g if weight is None else g * weight.reshape(shape)
    dweight = None if weight is None else (g * x).sum(axis=axes)
    return dx, dweight, bias_gradient(g, bias)


def channel_shuffle(
    g: np.ndarray, y: np.ndarray, x: np.ndarray, groups: int
) -> tuple[Gradient, ...]:
    """Dealing out to the other number of groups is the way back."""
    return (functions.channel_shuffle(g, x.shape[1] // groups),)


def upsample2d(
    g: np.ndarray, y: np.ndarray, x: np.ndarray, scale: Pair, mode: str
) -> tuple[Gradient, ...]:
    """Upsampling is R x C^T with a matrix for the rows and one for the columns."""
    height, width = (np.eye(size, dtype=x.dtype)[None, None] for size in x.shape[2:])
    rows = functions.upsample2d(height, (scale[0], 1), mode)[0, 0]
    columns = functions.upsample2d(width, (scale[1], 1), mode)[0, 0]
    return (rows.T @ g @ columns,)


def dense(
    g: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
) -> tuple[Gradient, ...]:
    """The transposed matrix, and the outer products of outputs and inputs."""
    return g @ weight, g.T @ x, bias_gradient(g, bias)


def relu(g: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[Gradient, ...]:
    """1 above 0."""
    return (np.where(x > 0, g, 0),)


def relu6(g: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[Gradient, ...]:
    """1 between 0 and 6."""
    return (np.where((x > 0) & (x < 6), g, 0),)


def leaky_relu(
    g: np.ndarray, y: np.ndarray, x: np.ndarray, negative_slope: float
) -> tuple[Gradient, ...]:
    """1 above 0, else the slope."""
    return (np.where(x > 0, g, negative_slope * g),)


def sigmoid(g: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[Gradient, ...]:
    """The derivative is y (1 - y)."""
    return (g * y * (1 - y),)


def hard_sigmoid(g: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[Gradient, ...]:
    """1/6 between -3 and 3."""
    return (np.where(np.abs(x) < 3, g / 6, 0),)


def hard_swish(g: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[Gradient, ...]:
    """The product rule on x times hard_sigmoid."""
    return (g * functions.hard_sigmoid(x) + np.where(np.abs(x) < 3, g * x / 6, 0),)


def silu(g: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[Gradient, ...]:
    """The product rule on x times sigmoid."""
    share = functions.sigmoid(x)
    return (g * (share + y * (1 - share)),)


def gelu(
    g: np.ndarray, y: np.ndarray, x: np.ndarray, approximate: str
) -> tuple[Gradient, ...]:
    """The distribution function plus x times the density; or the same of the approximation."""
    if approximate == "tanh":
        root = math.sqrt(2 / math.pi)
        tanh = np.tanh(root * (x + 0.044715 * x**3))
        inner = root * (1 + 3 * 0.044715 * x**2)
        return (g * 0.5 * (1 + tanh + x * (1 - tanh * tanh) * inner),)
    erf = np.vectorize(math.erf, otypes=[x.dtype])
    density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return (g * (0.5 * (1 + erf(x / math.sqrt(2))) + x * density),)


def softmax(g: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[Gradient, ...]:
    """dy_i / dx_j = y_i (1 if i is j else 0) - y_i y_j."""
    return (y * (g - (g * y).sum(axis=1, keepdims=True)),)


def tanh(g: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[Gradient, ...]:
    """1 - y^2."""
    return (g * (1 - y * y),)


def add(
    g: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray
) -> tuple[Gradient, ...]:
    """The same for both."""
    return unspread(g, a), unspread(g, b)


def multiply(
    g: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray
) -> tuple[Gradient, ...]:
    """For each factor times the other."""
    return unspread(g * b, a), unspread(g * a, b)


def unspread(g: np.ndarray, operand: np.ndarray | float) -> np.ndarray:
    """Add up the gradients of an element that broadcasting used several times."""
    shape = np.shape(operand)
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    spread = tuple(axis for axis, size in enumerate(shape) if size != g.shape[axis])
    return g.sum(axis=spread, keepdims=True)


def concatenate(
    g: np.ndarray, y: np.ndarray, parts: Sequence[np.ndarray], axis: int
) -> tuple[Gradient, ...]:
    """To each what stands where it went."""
    ends = np.cumsum([part.shape[axis] for part in parts])
    return (list(np.split(g, ends[:-1], axis=axis)),)


def mean(
    g: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    axis: tuple[int, ...],
    keepdims: bool = False,
) -> tuple[Gradient, ...]:
    """Every element is one of n."""
    kept = g if keepdims else np.expand_dims(g, axis)
    n = math.prod(x.shape[a] for a in axis)
    return (np.broadcast_to(kept / n, x.shape),)


def reshape(
    g: np.ndarray, y: np.ndarray, x: np.ndarray, *shape: int
) -> tuple[Gradient, ...]:
    """The same numbers in the shape that they had."""
    return (g.reshape(x.shape),)


def transpose(
    g: np.ndarray, y: np.ndarray, x: np.ndarray, *axes: int
) -> tuple[Gradient, ...]:
    """The axes back to where they were."""
    return (g.transpose(np.argsort(axes)),)


def take(
    g: np.ndarray, y: np.ndarray, x: np.ndarray, indices: range, axis: int
) -> tuple[Gradient, ...]:
    """Zero for what was not taken."""
    dx = np.zeros_like(x)
    place = (slice(None),) * axis + (slice(indices.start, indices.stop),)
    dx[place] = g
    return (dx,)


# By what stands in the emitted source: functions of `functions.py`, NumPy's own, and methods.
DERIVATIVES: dict[str, Derivative] = {
    ".mean": mean,
    ".reshape": reshape,
    ".take": take,
    ".transpose": transpose,
    "adaptive_avg_pool2d": adaptive_avg_pool2d,
    "avg_pool2d": avg_pool2d,
    "batch_mean": batch_mean,
    "batch_norm": batch_norm,
    "batch_var": batch_var,
    "channel_shuffle": channel_shuffle,
    "conv2d": conv2d,
    "conv2d_transpose": conv2d_transpose,
    "dense": dense,
    "gelu": gelu,
    "group_norm": group_norm,
    "hard_sigmoid": hard_sigmoid,
    "hard_swish": hard_swish,
    "layer_norm": layer_norm,
    "leaky_relu": leaky_relu,
    "local_response_norm": local_response_norm,
    "max_pool2d": max_pool2d,
    "np.add": add,
    "np.concatenate": concatenate,
    "np.multiply": multiply,
    "np.tanh": tanh,
    "pad2d": pad2d,
    "relu": relu,
    "relu6": relu6,
    "scale_channels": scale_channels,
    "sigmoid": sigmoid,
    "silu": silu,
    "softmax": softmax,
    "upsample2d": upsample2d,
}
