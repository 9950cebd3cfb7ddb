"""Layers for what Keras does not have; the emitted source contains those it uses.

Maps are N,H,W,C. Padding is ((top, bottom), (left, right)), as in ZeroPadding2D. Only
`keras` and `keras.ops` are used, so they run on TensorFlow, JAX and PyTorch alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
from keras import layers, ops

Sides = tuple[tuple[int, int], tuple[int, int]]


class TowerConv2D(layers.Layer):
    """A grouped convolution as that many convolutions side by side.

    The same numbers as `layers.Conv2D(groups=...)` and the same kernel (height, width,
    channels / groups, filters), about ten times faster on a CPU. It also strides a
    dilated convolution, which `layers.Conv2D` refuses.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: tuple[int, int],
        strides: tuple[int, int] = (1, 1),
        padding: str = "valid",
        dilation_rate: tuple[int, int] = (1, 1),
        groups: int = 1,
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.filters, self.kernel_size = filters, kernel_size
        self.strides, self.padding = strides, padding
        self.dilation_rate, self.groups = dilation_rate, groups
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, shape: tuple[int, ...]) -> None:
        size = (*self.kernel_size, shape[-1] // self.groups, self.filters)
        self.kernel = self.add_weight(
            shape=size, initializer=self.kernel_initializer, name="kernel"
        )
        self.bias = (
            self.add_weight(
                shape=(self.filters,), initializer=self.bias_initializer, name="bias"
            )
            if self.use_bias
            else None
        )

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        towers = zip(
            ops.split(x, self.groups, axis=-1),
            ops.split(ops.convert_to_tensor(self.kernel), self.groups, axis=-1),
            strict=True,
        )
        x = ops.concatenate([self.tower(x, kernel) for x, kernel in towers], axis=-1)
        return x if self.bias is None else x + self.bias

    def tower(
        self, x: keras.KerasTensor, kernel: keras.KerasTensor
    ) -> keras.KerasTensor:
        """Convolve one group of channels."""
        if self.dilation_rate == (1, 1):
            return ops.conv(x, kernel, self.strides, self.padding)
        x = ops.conv(x, kernel, 1, self.padding, dilation_rate=self.dilation_rate)
        return x[:, :: self.strides[0], :: self.strides[1]]


class TransposedConv2D(layers.Layer):
    """A transposed convolution of full extent, cut by `sides` and grown at its end.

    The kernel is (height, width, filters / groups, channels), as in
    `layers.Conv2DTranspose`, which has neither groups nor a padding for each side.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: tuple[int, int],
        strides: tuple[int, int] = (1, 1),
        sides: Sides = ((0, 0), (0, 0)),
        output_padding: tuple[int, int] = (0, 0),
        dilation_rate: tuple[int, int] = (1, 1),
        groups: int = 1,
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.filters, self.kernel_size = filters, kernel_size
        self.strides, self.sides = strides, sides
        self.output_padding, self.dilation_rate = output_padding, dilation_rate
        self.groups, self.use_bias = groups, use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, shape: tuple[int, ...]) -> None:
        size = (*self.kernel_size, self.filters // self.groups, shape[-1])
        self.kernel = self.add_weight(
            shape=size, initializer=self.kernel_initializer, name="kernel"
        )
        self.bias = (
            self.add_weight(
                shape=(self.filters,), initializer=self.bias_initializer, name="bias"
            )
            if self.use_bias
            else None
        )

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        kernel = self.dilated(ops.convert_to_tensor(self.kernel))
        (top, bottom), (left, right) = self.sides
        rows, columns = (
            (size - 1) * stride + extent + added
            for size, stride, extent, added in zip(
                x.shape[1:3],
                self.strides,
                kernel.shape[:2],
                self.output_padding,
                strict=True,
            )
        )
        towers = zip(
            ops.split(x, self.groups, axis=-1),
            ops.split(kernel, self.groups, axis=-1),
            strict=True,
        )
        full = [ops.conv_transpose(*tower, self.strides, "valid") for tower in towers]
        x = ops.concatenate(full, axis=-1)
        grown = [(0, size) for size in self.output_padding]
        x = ops.pad(x, [(0, 0), *grown, (0, 0)])
        x = x[:, top : rows - bottom, left : columns - right]
        return x if self.bias is None else x + self.bias

    def dilated(self, kernel: keras.KerasTensor) -> keras.KerasTensor:
        """Put zeros between the elements of the kernel."""
        if self.dilation_rate == (1, 1):
            return kernel
        (rows, columns, *channels), (down, across) = kernel.shape, self.dilation_rate
        kernel = ops.reshape(kernel, (rows, 1, columns, 1, *channels))
        gaps = [(0, 0), (0, down - 1), (0, 0), (0, across - 1), (0, 0), (0, 0)]
        kernel = ops.pad(kernel, gaps)
        kernel = ops.reshape(kernel, (rows * down, columns * across, *channels))
        return kernel[: (rows - 1) * down + 1, : (columns - 1) * across + 1]


class LocalResponseNorm(layers.Layer):
    """Divide by (k + scale * sum of squares over `size` channels) ** beta.

    With `groups`, no window crosses from one group of channels to the next. The gradient
    is written out because the one of the slices is several times slower.
    """

    def __init__(
        self,
        size: int,
        scale: float,
        beta: float,
        k: float,
        groups: int = 1,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.size, self.scale, self.beta = size, scale, beta
        self.k, self.groups = k, groups

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        rows = ops.reshape(x, (-1, x.shape[-1] // self.groups))
        return ops.reshape(ops.custom_gradient(self.normalize)(rows), ops.shape(x))

    def normalize(
        self, x: keras.KerasTensor
    ) -> tuple[keras.KerasTensor, Callable[..., keras.KerasTensor]]:
        """Normalise each row, and say how its gradient is computed."""
        base = self.k + self.scale * self.window(x * x)
        if self.beta == 0.75:  # two roots are several times faster than a power
            root = ops.rsqrt(base)
            factor = root * ops.sqrt(root)
        else:
            factor = base**-self.beta

        def gradient(
            *args: keras.KerasTensor, upstream: keras.KerasTensor | None = None
        ) -> keras.KerasTensor:
            direct = (args[0] if upstream is None else upstream) * factor
            around = self.window(direct * x / base)
            return direct - 2 * self.scale * self.beta * x * around

        return x * factor, gradient

    def window(self, rows: keras.KerasTensor) -> keras.KerasTensor:
        """Add up `size` neighbouring channels."""
        channels, reach = rows.shape[-1], self.size // 2
        rows = ops.pad(rows, [[0, 0], [reach, reach]])
        total = rows[:, :channels]
        for i in range(1, self.size):
            total = total + rows[:, i : i + channels]
        return total


class PaddedMaxPool2D(layers.Layer):
    """A max pool with a padding of its own for each side, which never wins."""

    def __init__(
        self,
        pool_size: tuple[int, int],
        strides: tuple[int, int],
        sides: Sides,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.pool_size, self.strides, self.sides = pool_size, strides, sides

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        border = [(0, 0), *self.sides, (0, 0)]
        x = ops.pad(x, border, constant_values=-float("inf"))
        return ops.max_pool(x, self.pool_size, self.strides, "valid")


class PaddedAvgPool2D(layers.Layer):
    """An average pool with a padding of its own for each side.

    `overhang` (bottom, right) is where windows reach past the padding; it never counts
    in the mean, and the padding only with `count_include_pad`.
    """

    def __init__(
        self,
        pool_size: tuple[int, int],
        strides: tuple[int, int],
        sides: Sides,
        overhang: tuple[int, int] = (0, 0),
        count_include_pad: bool = False,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.pool_size, self.strides, self.sides = pool_size, strides, sides
        self.overhang, self.count_include_pad = overhang, count_include_pad

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        border = [(0, 0), *self.sides, (0, 0)]
        reach = [(0, 0), (0, self.overhang[0]), (0, self.overhang[1]), (0, 0)]
        counted = 1.0 if self.count_include_pad else 0.0
        elements = ops.pad(ops.ones_like(x[:1]), border, constant_values=counted)
        total, count = ops.pad(ops.pad(x, border), reach), ops.pad(elements, reach)
        return self.pool(total) / self.pool(count)

    def pool(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Average each window with everything in it."""
        return ops.average_pool(x, self.pool_size, self.strides, "valid")


class AdaptiveAvgPool2D(layers.Layer):
    """The mean of regions from floor(i W / n) to ceil((i + 1) W / n)."""

    def __init__(self, output_size: tuple[int, int], **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.output_size = output_size

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        rows = self.regions(x.shape[1], self.output_size[0], x.dtype)
        columns = self.regions(x.shape[2], self.output_size[1], x.dtype)
        x = ops.einsum("rh,nhwc->nrwc", rows, x)
        return ops.einsum("sw,nrwc->nrsc", columns, x)

    def regions(self, size: int, count: int, dtype: str) -> keras.KerasTensor:
        """One row a region, which holds the share of each pixel in its mean."""
        shares = []
        for i in range(count):
            first, end = i * size // count, -(-(i + 1) * size // count)
            share = 1.0 / (end - first)
            shares.append([share if first <= j < end else 0.0 for j in range(size)])
        return ops.convert_to_tensor(shares, dtype=dtype)


class UnbiasedBatchNorm(layers.BatchNormalization):
    """Batch normalisation that remembers the unbiased variance, as PyTorch does."""

    def call(
        self, x: keras.KerasTensor, training: bool | None = None
    ) -> keras.KerasTensor:
        kept = ops.convert_to_tensor(self.moving_variance) * self.momentum
        out = super().call(x, training=training)
        if training and self.trainable:
            shape = ops.shape(x)
            count = 1
            for size in shape[:-1]:
                count = count * size
            count = ops.cast(count, kept.dtype)
            added = ops.convert_to_tensor(self.moving_variance) - kept
            self.moving_variance.assign(kept + added * (count / (count - 1)))
        return out


class DropoutAtInference(layers.Layer):
    """Dropout that scales at inference: outputs are multiplied by 1 - rate."""

    def __init__(self, rate: float, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        self.random = keras.random.SeedGenerator()

    def call(
        self, x: keras.KerasTensor, training: bool | None = None
    ) -> keras.KerasTensor:
        if not training:
            return x * (1 - self.rate)
        kept = keras.random.uniform(ops.shape(x), seed=self.random) >= self.rate
        return x * ops.cast(kept, x.dtype)


class Scale(layers.Layer):
    """A factor, and perhaps a bias, for each channel."""

    def __init__(
        self,
        use_bias: bool = False,
        kernel_initializer: object = "ones",
        bias_initializer: object = "zeros",
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, shape: tuple[int, ...]) -> None:
        size = shape[-1:]
        self.kernel = self.add_weight(
            shape=size, initializer=self.kernel_initializer, name="kernel"
        )
        self.bias = (
            self.add_weight(shape=size, initializer=self.bias_initializer, name="bias")
            if self.use_bias
            else None
        )

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        x = x * self.kernel
        return x if self.bias is None else x + self.bias


class ChannelShuffle(layers.Layer):
    """The first channel of every group, then the second of every group, and so on."""

    def __init__(self, groups: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.groups = groups

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        _, height, width, channels = x.shape
        grouped = (-1, height, width, self.groups, channels // self.groups)
        x = ops.swapaxes(ops.reshape(x, grouped), -1, -2)
        return ops.reshape(x, (-1, height, width, channels))


class BilinearUpsampling2D(layers.Layer):
    """Interpolates between the centres of pixels, in full precision also in float64."""

    def __init__(self, size: tuple[int, int], **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.size = size

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return self.stretch(self.stretch(x, 1, self.size[0]), 2, self.size[1])

    def stretch(self, x: keras.KerasTensor, axis: int, size: int) -> keras.KerasTensor:
        """Make an axis `size` times as long; beyond the edge its last pixel goes on."""
        every = (slice(None),) * axis
        ends = x[(*every, slice(1))], x[(*every, slice(-1, None))]
        wide = ops.concatenate([ends[0], x, ends[1]], axis)
        before, after = wide[(*every, slice(-2))], wide[(*every, slice(2, None))]
        parts = []
        for i in range(size):
            # How far the centre of part i lies behind that of its pixel.
            offset = (i + 0.5) / size - 0.5
            neighbour = before if offset < 0 else after
            parts.append(x * (1 - abs(offset)) + neighbour * abs(offset))
        shape = [-1, *x.shape[1:]]
        shape[axis] *= size
        return ops.reshape(ops.stack(parts, axis + 1), shape)


class Split(layers.Layer):
    """The channels from `first` to just before `end`."""

    def __init__(self, first: int, end: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.first, self.end = first, end

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return x[..., self.first : self.end]


class LeakyReLU(layers.Layer):
    """Scale what is negative by `negative_slope`, in full precision also in float64."""

    def __init__(self, negative_slope: float, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.negative_slope = negative_slope

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return ops.where(x > 0, x, x * self.negative_slope)


# Keras has the next three as well, but rounds their constants to float32.


def hard_sigmoid(x: keras.KerasTensor) -> keras.KerasTensor:
    """Compute min(max(x + 3, 0), 6) / 6."""
    return ops.relu6(x + 3) / 6


def gelu(x: keras.KerasTensor) -> keras.KerasTensor:
    """Multiply x by the Gaussian distribution function."""
    return 0.5 * x * (1 + ops.erf(x / math.sqrt(2)))


def gelu_tanh(x: keras.KerasTensor) -> keras.KerasTensor:
    """Multiply x by the tanh approximation of the Gaussian distribution function."""
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
    return 0.5 * x * (1 + ops.tanh(inner))
