"""The definition of every operation, in NumPy: plain and slow, in any precision.

Arrays are N,C,H,W or N,F. `padding` is (top, bottom, left, right). These functions are
also what the emitted NumPy source consists of.
"""

from __future__ import annotations

import math

import numpy as np


def conv2d(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
) -> np.ndarray:
    """Cross-correlate: sum over c, u, v of x[n, c, i + u, j + v] * weight[o, c, u, v]."""
    x = pad2d(x, padding, 0.0)
    n, _, height, width = x.shape
    filters, seen, rows, columns = weight.shape
    out_h = (height - (rows - 1) * dilation[0] - 1) // stride[0] + 1
    out_w = (width - (columns - 1) * dilation[1] - 1) // stride[1] + 1
    out = np.zeros((n, filters, out_h, out_w), dtype=x.dtype)
    each = filters // groups
    for group in range(groups):
        mine = slice(group * each, (group + 1) * each)
        part = x[:, group * seen : (group + 1) * seen]
        for row in range(rows):
            for column in range(columns):
                top, left = row * dilation[0], column * dilation[1]
                patch = part[
                    :,
                    :,
                    top : top + (out_h - 1) * stride[0] + 1 : stride[0],
                    left : left + (out_w - 1) * stride[1] + 1 : stride[1],
                ]
                product = np.tensordot(weight[mine, :, row, column], patch, axes=(1, 1))
                out[:, mine] += product.swapaxes(0, 1)
    return out if bias is None else out + bias[:, None, None]


def conv2d_transpose(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
    output_padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> np.ndarray:
    """Add x[n, c, i, j] * weight[c, o, u, v] at row i * stride + u * dilation."""
    n, channels, height, width = x.shape
    _, each, rows, columns = weight.shape
    full_h = (height - 1) * stride[0] + (rows - 1) * dilation[0] + 1
    full_w = (width - 1) * stride[1] + (columns - 1) * dilation[1] + 1
    size = (full_h + output_padding[0], full_w + output_padding[1])
    out = np.zeros((n, groups * each, *size), dtype=x.dtype)
    seen = channels // groups
    for group in range(groups):
        mine = slice(group * each, (group + 1) * each)
        part = slice(group * seen, (group + 1) * seen)
        for row in range(rows):
            for column in range(columns):
                top, left = row * dilation[0], column * dilation[1]
                product = np.tensordot(weight[part, :, row, column], x[:, part], (0, 1))
                out[
                    :,
                    mine,
                    top : top + (height - 1) * stride[0] + 1 : stride[0],
                    left : left + (width - 1) * stride[1] + 1 : stride[1],
                ] += product.swapaxes(0, 1)
    top, bottom, left, right = padding
    out = out[:, :, top : size[0] - bottom, left : size[1] - right]
    return out if bias is None else out + bias[:, None, None]


def pad2d(
    x: np.ndarray, padding: tuple[int, int, int, int], value: float
) -> np.ndarray:
    """Put a border of `value` around each map."""
    top, bottom, left, right = padding
    border = ((0, 0), (0, 0), (top, bottom), (left, right))
    return np.pad(x, border, constant_values=value)


def windows2d(
    x: np.ndarray, kernel_size: tuple[int, int], stride: tuple[int, int]
) -> np.ndarray:
    """Every window of each map: N, C, rows, columns, kernel height, kernel width."""
    view = np.lib.stride_tricks.sliding_window_view(x, kernel_size, axis=(2, 3))
    return view[:, :, :: stride[0], :: stride[1]]


def max_pool2d(
    x: np.ndarray,
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> np.ndarray:
    """Take the largest value of each window; padding counts as minus infinity."""
    return windows2d(pad2d(x, padding, -np.inf), kernel_size, stride).max(axis=(4, 5))


def avg_pool2d(
    x: np.ndarray,
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
    overhang: tuple[int, int],
    count_include_pad: bool,
) -> np.ndarray:
    """Take the mean of each window; `overhang` (bottom, right) never counts."""
    border = 1.0 if count_include_pad else 0.0
    counted = pad2d(np.ones_like(x[:1, :1]), padding, border)
    total = sum_pool2d(pad2d(x, padding, 0.0), kernel_size, stride, overhang)
    return total / sum_pool2d(counted, kernel_size, stride, overhang)


def sum_pool2d(
    x: np.ndarray,
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    overhang: tuple[int, int],
) -> np.ndarray:
    """Add up each window; it may reach past the map by `overhang` (bottom, right)."""
    reach = (0, overhang[0], 0, overhang[1])
    return windows2d(pad2d(x, reach, 0.0), kernel_size, stride).sum(axis=(4, 5))


def adaptive_avg_pool2d(x: np.ndarray, output_size: tuple[int, int]) -> np.ndarray:
    """Take the mean of regions from floor(i W / n) to ceil((i + 1) W / n)."""
    height, width = x.shape[2:]
    rows, columns = output_size
    out = np.empty((*x.shape[:2], rows, columns), dtype=x.dtype)
    for i in range(rows):
        for j in range(columns):
            top, bottom = i * height // rows, -(-(i + 1) * height // rows)
            left, right = j * width // columns, -(-(j + 1) * width // columns)
            out[:, :, i, j] = x[:, :, top:bottom, left:right].mean(axis=(2, 3))
    return out


def local_response_norm(
    x: np.ndarray, size: int, scale: float, beta: float, k: float, groups: int
) -> np.ndarray:
    """Divide by (k + scale * sum of squares over `size` channels) ** beta."""
    return x / (k + scale * sum_channels(x * x, size, groups)) ** beta


def sum_channels(x: np.ndarray, size: int, groups: int) -> np.ndarray:
    """Add up `size` channels around each; no sum crosses from one group to the next."""
    grouped = x.reshape(x.shape[0], groups, -1, *x.shape[2:])
    reach, channels = size // 2, grouped.shape[2]
    grouped = np.pad(grouped, ((0, 0), (0, 0), (reach, reach), (0, 0), (0, 0)))
    shifted = [grouped[:, :, i : i + channels] for i in range(size)]
    return np.sum(shifted, axis=0).reshape(x.shape)


def batch_norm(
    x: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    running_mean: np.ndarray,
    running_var: np.ndarray,
    eps: float,
) -> np.ndarray:
    """Normalise each channel by its running statistics, then scale and shift."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    out = (x - running_mean.reshape(shape)) / np.sqrt(running_var.reshape(shape) + eps)
    return scale_channels(out, weight, bias)


def layer_norm(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, eps: float
) -> np.ndarray:
    """Normalise across the channels of each position, then scale and shift."""
    difference = x - x.mean(axis=1, keepdims=True)
    variance = (difference * difference).mean(axis=1, keepdims=True)
    return scale_channels(difference / np.sqrt(variance + eps), weight, bias)


def group_norm(
    x: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    groups: int,
    eps: float,
) -> np.ndarray:
    """Normalise each group of channels, all positions together, then scale and shift."""
    rows = x.reshape(x.shape[0], groups, -1)
    difference = rows - rows.mean(axis=2, keepdims=True)
    variance = (difference * difference).mean(axis=2, keepdims=True)
    out = (difference / np.sqrt(variance + eps)).reshape(x.shape)
    return scale_channels(out, weight, bias)


def scale_channels(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None
) -> np.ndarray:
    """Multiply each channel by its weight and add its bias, where there are any."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    out = x if weight is None else x * weight.reshape(shape)
    return out if bias is None else out + bias.reshape(shape)


def channel_shuffle(x: np.ndarray, groups: int) -> np.ndarray:
    """Take the first channel of every group, then the second of every group, ..."""
    grouped = x.reshape(x.shape[0], groups, -1, *x.shape[2:])
    return grouped.swapaxes(1, 2).reshape(x.shape)


def upsample2d(x: np.ndarray, scale: tuple[int, int], mode: str) -> np.ndarray:
    """Repeat pixels, or interpolate between their centres."""
    for axis, factor in zip((2, 3), scale, strict=True):
        size = x.shape[axis]
        # Where the centre of each output pixel lies, in input pixels.
        places = (np.arange(size * factor) + 0.5) / factor - 0.5
        if mode == "nearest":
            x = x.take(np.rint(places).astype(int), axis)
            continue
        places = places.clip(0, size - 1)
        below = places.astype(int)
        above = np.minimum(below + 1, size - 1)
        share = (places - below).astype(x.dtype)
        share = share[:, None] if axis == 2 else share
        x = x.take(below, axis) * (1 - share) + x.take(above, axis) * share
    return x


def dense(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """Multiply by a matrix of out x in, add the bias."""
    out = x @ weight.T
    return out if bias is None else out + bias


def relu(x: np.ndarray) -> np.ndarray:
    """Keep what is positive."""
    return np.maximum(x, 0)


def relu6(x: np.ndarray) -> np.ndarray:
    """Keep what is between 0 and 6."""
    return np.minimum(np.maximum(x, 0), 6)


def leaky_relu(x: np.ndarray, negative_slope: float) -> np.ndarray:
    """Scale what is negative by `negative_slope`."""
    return np.where(x > 0, x, negative_slope * x)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Compute 1 / (1 + exp(-x)), without overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def hard_sigmoid(x: np.ndarray) -> np.ndarray:
    """Compute min(max(x + 3, 0), 6) / 6."""
    return relu6(x + 3) / 6


def hard_swish(x: np.ndarray) -> np.ndarray:
    """Compute x * min(max(x + 3, 0), 6) / 6."""
    return x * relu6(x + 3) / 6


def silu(x: np.ndarray) -> np.ndarray:
    """Compute x / (1 + exp(-x))."""
    return x * sigmoid(x)


def gelu(x: np.ndarray, approximate: str) -> np.ndarray:
    """Multiply x by the Gaussian distribution function, or its tanh approximation."""
    if approximate == "tanh":
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        return 0.5 * x * (1 + np.tanh(inner))
    erf = np.vectorize(math.erf, otypes=[x.dtype])
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def softmax(x: np.ndarray) -> np.ndarray:
    """Divide exp(x) by its sum along axis 1."""
    exponentials = np.exp(x - x.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
