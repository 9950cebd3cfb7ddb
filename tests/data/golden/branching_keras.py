"""A network with branches in Keras.

Written by archspec VERSION from the spec branching
(sha256 9132aa168d7475d31ee83bd33ca32fc188c24a2f821c8fd6bb91fe751ab0e5ac).
Input: N x 11 x 12 x 3 (channels last). Output: N x 5.
"""

from collections.abc import Callable

import keras
from keras import initializers, layers, ops

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


def hard_sigmoid(x: keras.KerasTensor) -> keras.KerasTensor:
    """Compute min(max(x + 3, 0), 6) / 6."""
    return ops.relu6(x + 3) / 6


class Branching(keras.Model):
    """11 x 12 x 3 in, 5 out."""

    def __init__(self, **kwargs: object) -> None:
        inputs = keras.Input((11, 12, 3), name="input")
        x = layers.ZeroPadding2D(((0, 1), (1, 2)), name="stem_pad")(inputs)
        x = layers.Conv2D(
            8,
            3,
            kernel_initializer=initializers.RandomNormal(stddev=0.5),
            bias_initializer=initializers.RandomNormal(stddev=0.5),
            trainable=False,
            name="stem",
        )(x)  # 10 x 13 x 8
        # 10 x 13 x 8
        norm = UnbiasedBatchNorm(momentum=0.9, epsilon=0.001, name="norm")(x)
        relu = layers.ReLU(name="relu")(norm)  # 10 x 13 x 8
        left = Split(0, 4, name="left")(relu)  # 10 x 13 x 4
        right = Split(4, 8, name="right")(relu)  # 10 x 13 x 4
        x = TowerConv2D(
            8,
            (5, 5),
            padding="same",
            groups=2,
            kernel_initializer=initializers.RandomNormal(stddev=0.5),
            bias_initializer=initializers.RandomNormal(stddev=0.5),
            name="towers",
        )(relu)  # 10 x 13 x 8
        response = LocalResponseNorm(
            size=5,
            scale=0.02,
            beta=0.75,
            k=2.0,
            groups=2,
            name="response",
        )(x)  # 10 x 13 x 8
        left_norm = layers.BatchNormalization(
            momentum=0.9,
            epsilon=0.001,
            name="left_norm",
        )(left)  # 10 x 13 x 4
        x = UnbiasedBatchNorm(
            momentum=0.9,
            epsilon=0.001,
            center=False,
            scale=False,
            trainable=False,
            name="right_norm",
        )(right)  # 10 x 13 x 4
        x = layers.Multiply(name="product")([left_norm, x])  # 10 x 13 x 4
        x = layers.Concatenate(name="joined")([x, left])  # 10 x 13 x 8
        x = layers.Add(name="sum")([x, response, norm])  # 10 x 13 x 8
        active = layers.ReLU(name="active")(x)  # 10 x 13 x 8
        pool_max = PaddedMaxPool2D(
            (3, 3),
            (2, 2),
            sides=((1, 2), (1, 1)),
            name="pool_max",
        )(active)  # 6 x 7 x 8
        pool_avg = PaddedAvgPool2D(
            (3, 3),
            (2, 2),
            sides=((1, 1), (1, 1)),
            overhang=(1, 0),
            name="pool_avg",
        )(active)  # 6 x 7 x 8
        # 1 x 1 x 8
        x = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(active)
        x = layers.Conv2D(
            8,
            1,
            kernel_initializer=initializers.RandomNormal(stddev=0.5),
            bias_initializer=initializers.RandomNormal(stddev=0.5),
            name="excite",
        )(x)  # 1 x 1 x 8
        gate = layers.Activation(hard_sigmoid, name="gate")(x)  # 1 x 1 x 8
        x = layers.Add(name="pools")([pool_max, pool_avg])  # 6 x 7 x 8
        x = layers.Multiply(name="scaled")([gate, x])  # 6 x 7 x 8
        x = layers.ZeroPadding2D(((0, 1), (1, 1)), name="dilated_pad")(x)
        x = TowerConv2D(
            6,
            (2, 2),
            strides=(2, 2),
            dilation_rate=(2, 2),
            kernel_initializer=initializers.RandomNormal(stddev=0.5),
            bias_initializer=initializers.RandomNormal(stddev=0.5),
            name="dilated",
        )(x)  # 3 x 4 x 6
        x = LeakyReLU(0.1, name="leaky")(x)  # 3 x 4 x 6
        x = DropoutAtInference(0.5, name="drop")(x)  # 3 x 4 x 6
        x = layers.Permute((3, 1, 2), name="flatten_order")(x)
        x = layers.Flatten(name="flatten")(x)  # 72
        x = layers.Dense(
            5,
            kernel_initializer=initializers.VarianceScaling(
                scale=1.0, mode="fan_avg", distribution="uniform"
            ),
            bias_initializer="zeros",
            name="logits",
        )(x)  # 5
        super().__init__(inputs=inputs, outputs=x, **kwargs)


def main() -> None:
    """Print the summary and run one forward pass."""
    model = Branching()
    model.summary()
    output = model(keras.random.uniform((1, 11, 12, 3)))
    print(f"one random image in, {tuple(output.shape)} out")


if __name__ == "__main__":
    main()
