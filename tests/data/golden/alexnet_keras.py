"""AlexNet (Krizhevsky, Sutskever and Hinton, 2012) in Keras.

Written by archspec VERSION from the spec alexnet
(sha256 25800e033f5276697b853a331c0b6f600a0785bff705d4ebc24587a7657e1a1a).
Input: N x 227 x 227 x 3 (channels last). Output: N x 1000.
"""

from collections.abc import Callable

import keras
from keras import initializers, layers, ops


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


class AlexNet(keras.Model):
    """227 x 227 x 3 in, 1000 out."""

    def __init__(self, **kwargs: object) -> None:
        inputs = keras.Input((227, 227, 3), name="input")
        x = layers.Conv2D(
            96,
            11,
            strides=4,
            kernel_initializer=initializers.RandomNormal(stddev=0.01),
            bias_initializer="zeros",
            name="conv1",
        )(inputs)  # 55 x 55 x 96
        x = layers.ReLU(name="relu1")(x)  # 55 x 55 x 96
        # 55 x 55 x 96
        x = LocalResponseNorm(size=5, scale=0.0001, beta=0.75, k=2.0, name="norm1")(x)
        x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)  # 27 x 27 x 96
        x = TowerConv2D(
            256,
            (5, 5),
            padding="same",
            groups=2,
            kernel_initializer=initializers.RandomNormal(stddev=0.01),
            bias_initializer="ones",
            name="conv2",
        )(x)  # 27 x 27 x 256
        x = layers.ReLU(name="relu2")(x)  # 27 x 27 x 256
        # 27 x 27 x 256
        x = LocalResponseNorm(size=5, scale=0.0001, beta=0.75, k=2.0, name="norm2")(x)
        x = layers.MaxPooling2D(3, strides=2, name="pool2")(x)  # 13 x 13 x 256
        x = layers.Conv2D(
            384,
            3,
            padding="same",
            kernel_initializer=initializers.RandomNormal(stddev=0.01),
            bias_initializer="zeros",
            name="conv3",
        )(x)  # 13 x 13 x 384
        x = layers.ReLU(name="relu3")(x)  # 13 x 13 x 384
        x = TowerConv2D(
            384,
            (3, 3),
            padding="same",
            groups=2,
            kernel_initializer=initializers.RandomNormal(stddev=0.01),
            bias_initializer="ones",
            name="conv4",
        )(x)  # 13 x 13 x 384
        x = layers.ReLU(name="relu4")(x)  # 13 x 13 x 384
        x = TowerConv2D(
            256,
            (3, 3),
            padding="same",
            groups=2,
            kernel_initializer=initializers.RandomNormal(stddev=0.01),
            bias_initializer="ones",
            name="conv5",
        )(x)  # 13 x 13 x 256
        x = layers.ReLU(name="relu5")(x)  # 13 x 13 x 256
        x = layers.MaxPooling2D(3, strides=2, name="pool5")(x)  # 6 x 6 x 256
        x = layers.Permute((3, 1, 2), name="flatten_order")(x)
        x = layers.Flatten(name="flatten")(x)  # 9216
        x = layers.Dense(
            4096,
            kernel_initializer=initializers.RandomNormal(stddev=0.01),
            bias_initializer="ones",
            name="fc6",
        )(x)  # 4096
        x = layers.ReLU(name="relu6")(x)  # 4096
        x = DropoutAtInference(0.5, name="drop6")(x)  # 4096
        x = layers.Dense(
            4096,
            kernel_initializer=initializers.RandomNormal(stddev=0.01),
            bias_initializer="ones",
            name="fc7",
        )(x)  # 4096
        x = layers.ReLU(name="relu7")(x)  # 4096
        x = DropoutAtInference(0.5, name="drop7")(x)  # 4096
        x = layers.Dense(
            1000,
            kernel_initializer=initializers.RandomNormal(stddev=0.01),
            bias_initializer="zeros",
            name="fc8",
        )(x)  # 1000
        super().__init__(inputs=inputs, outputs=x, **kwargs)


def main() -> None:
    """Print the summary and run one forward pass."""
    model = AlexNet()
    model.summary()
    output = model(keras.random.uniform((1, 227, 227, 3)))
    print(f"one random image in, {tuple(output.shape)} out")


if __name__ == "__main__":
    main()
