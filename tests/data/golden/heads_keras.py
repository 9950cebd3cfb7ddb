"""heads in Keras.

Written by archspec VERSION from the spec heads
(sha256 56b9462ed8bcf625bbd12741dba8993bac658766d5a811fd35585ed9cf659e57).
Input: N x 9 x 9 x 3 (channels last). Output: N x 5.
"""

import keras
from keras import initializers, layers, ops


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


class Heads(keras.Model):
    """9 x 9 x 3 in, 5 out."""

    def __init__(self, **kwargs: object) -> None:
        inputs = keras.Input((9, 9, 3), name="input")

        # stem
        x = layers.Conv2D(
            6,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer=initializers.VarianceScaling(
                scale=2.0, mode="fan_in", distribution="untruncated_normal"
            ),
            name="stem_conv",
        )(inputs)  # 9 x 9 x 6
        relu = layers.ReLU(name="stem_relu")(x)  # 9 x 9 x 6

        # body.block1
        x = layers.Conv2D(
            6,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer=initializers.VarianceScaling(
                scale=2.0, mode="fan_in", distribution="untruncated_normal"
            ),
            name="body_block1_first_conv",
        )(relu)  # 9 x 9 x 6
        x = UnbiasedBatchNorm(
            momentum=0.9,
            epsilon=0.001,
            name="body_block1_first_norm",
        )(x)  # 9 x 9 x 6
        x = layers.ReLU(name="body_block1_first_relu")(x)  # 9 x 9 x 6
        x = layers.Conv2D(
            6,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer=initializers.VarianceScaling(
                scale=2.0, mode="fan_in", distribution="untruncated_normal"
            ),
            name="body_block1_second_conv",
        )(x)  # 9 x 9 x 6
        x = UnbiasedBatchNorm(
            momentum=0.9,
            epsilon=0.001,
            name="body_block1_second_norm",
        )(x)  # 9 x 9 x 6
        x = layers.ReLU(name="body_block1_second_relu")(x)  # 9 x 9 x 6
        add = layers.Add(name="body_block1_add")([x, relu])  # 9 x 9 x 6

        # aux1, used in training alone
        x = layers.GlobalAveragePooling2D(name="aux1_pool")(add)  # 6
        aux1_fc = layers.Dense(
            5,
            kernel_initializer=initializers.VarianceScaling(
                scale=2.0, mode="fan_in", distribution="untruncated_normal"
            ),
            bias_initializer=initializers.RandomNormal(stddev=0.5),
            name="aux1_fc",
        )(x)  # 5

        # body.block2
        x = layers.Conv2D(
            6,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer=initializers.VarianceScaling(
                scale=2.0, mode="fan_in", distribution="untruncated_normal"
            ),
            name="body_block2_first_conv",
        )(add)  # 9 x 9 x 6
        x = UnbiasedBatchNorm(
            momentum=0.9,
            epsilon=0.001,
            name="body_block2_first_norm",
        )(x)  # 9 x 9 x 6
        x = layers.ReLU(name="body_block2_first_relu")(x)  # 9 x 9 x 6
        x = layers.Conv2D(
            6,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer=initializers.VarianceScaling(
                scale=2.0, mode="fan_in", distribution="untruncated_normal"
            ),
            name="body_block2_second_conv",
        )(x)  # 9 x 9 x 6
        x = UnbiasedBatchNorm(
            momentum=0.9,
            epsilon=0.001,
            name="body_block2_second_norm",
        )(x)  # 9 x 9 x 6
        x = layers.ReLU(name="body_block2_second_relu")(x)  # 9 x 9 x 6
        add = layers.Add(name="body_block2_add")([x, add])  # 9 x 9 x 6

        # aux2, used in training alone
        x = layers.Conv2D(
            4,
            1,
            use_bias=False,
            kernel_initializer=initializers.VarianceScaling(
                scale=2.0, mode="fan_in", distribution="untruncated_normal"
            ),
            name="aux2_conv",
        )(add)  # 9 x 9 x 4
        # 9 x 9 x 4
        x = UnbiasedBatchNorm(momentum=0.9, epsilon=0.001, name="aux2_norm")(x)
        x = layers.ReLU(name="aux2_relu")(x)  # 9 x 9 x 4
        x = layers.Permute((3, 1, 2), name="aux2_flatten_order")(x)
        x = layers.Flatten(name="aux2_flatten")(x)  # 324
        aux2_fc = layers.Dense(
            5,
            kernel_initializer=initializers.VarianceScaling(
                scale=2.0, mode="fan_in", distribution="untruncated_normal"
            ),
            bias_initializer=initializers.RandomNormal(stddev=0.5),
            name="aux2_fc",
        )(x)  # 5

        # body.block3
        x = layers.Conv2D(
            6,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer=initializers.VarianceScaling(
                scale=2.0, mode="fan_in", distribution="untruncated_normal"
            ),
            name="body_block3_first_conv",
        )(add)  # 9 x 9 x 6
        x = UnbiasedBatchNorm(
            momentum=0.9,
            epsilon=0.001,
            name="body_block3_first_norm",
        )(x)  # 9 x 9 x 6
        x = layers.ReLU(name="body_block3_first_relu")(x)  # 9 x 9 x 6
        x = layers.Conv2D(
            6,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer=initializers.VarianceScaling(
                scale=2.0, mode="fan_in", distribution="untruncated_normal"
            ),
            name="body_block3_second_conv",
        )(x)  # 9 x 9 x 6
        x = UnbiasedBatchNorm(
            momentum=0.9,
            epsilon=0.001,
            name="body_block3_second_norm",
        )(x)  # 9 x 9 x 6
        x = layers.ReLU(name="body_block3_second_relu")(x)  # 9 x 9 x 6
        add = layers.Add(name="body_block3_add")([x, add])  # 9 x 9 x 6

        # body.block4
        x = layers.Conv2D(
            6,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer=initializers.VarianceScaling(
                scale=2.0, mode="fan_in", distribution="untruncated_normal"
            ),
            name="body_block4_first_conv",
        )(add)  # 9 x 9 x 6
        x = UnbiasedBatchNorm(
            momentum=0.9,
            epsilon=0.001,
            name="body_block4_first_norm",
        )(x)  # 9 x 9 x 6
        x = layers.ReLU(name="body_block4_first_relu")(x)  # 9 x 9 x 6
        x = layers.Conv2D(
            6,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer=initializers.VarianceScaling(
                scale=2.0, mode="fan_in", distribution="untruncated_normal"
            ),
            name="body_block4_second_conv",
        )(x)  # 9 x 9 x 6
        x = UnbiasedBatchNorm(
            momentum=0.9,
            epsilon=0.001,
            name="body_block4_second_norm",
        )(x)  # 9 x 9 x 6
        x = layers.ReLU(name="body_block4_second_relu")(x)  # 9 x 9 x 6
        x = layers.Add(name="body_block4_add")([x, add])  # 9 x 9 x 6

        x = layers.GlobalAveragePooling2D(name="pool")(x)  # 6
        early = layers.Dense(
            5,
            kernel_initializer=initializers.VarianceScaling(
                scale=2.0, mode="fan_in", distribution="untruncated_normal"
            ),
            bias_initializer=initializers.RandomNormal(stddev=0.5),
            name="early",
        )(x)  # 5
        x = layers.ReLU(name="relu")(early)  # 5
        x = layers.Dense(
            5,
            kernel_initializer=initializers.VarianceScaling(
                scale=2.0, mode="fan_in", distribution="untruncated_normal"
            ),
            bias_initializer=initializers.RandomNormal(stddev=0.5),
            name="fc",
        )(x)  # 5

        super().__init__(inputs, [x, aux1_fc, aux2_fc, early], **kwargs)
        self.inference = keras.Model(inputs, x)

    def call(
        self, inputs: keras.KerasTensor, training: bool | None = None
    ) -> keras.KerasTensor | list[keras.KerasTensor]:
        """Compute the output, in training a list of it and the auxiliary outputs."""
        if training:
            return super().call(inputs, training=True)
        return self.inference(inputs, training=False)

    def compute_loss(
        self,
        x: object = None,
        y: keras.KerasTensor | None = None,
        y_pred: keras.KerasTensor | list[keras.KerasTensor] | None = None,
        sample_weight: keras.KerasTensor | None = None,
        training: bool = True,
    ) -> keras.KerasTensor:
        """Add to the output's loss in training those of the auxiliary outputs, weighted."""
        if not isinstance(y_pred, list):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        total = 0.0
        weights = (1.0, 0.3, 0.5, 1.0)
        for weight, output in zip(weights, y_pred, strict=True):
            loss = super().compute_loss(x, y, output, sample_weight, training)
            total = total + weight * loss
        return total

    def compute_metrics(
        self,
        x: object,
        y: keras.KerasTensor,
        y_pred: keras.KerasTensor | list[keras.KerasTensor],
        sample_weight: keras.KerasTensor | None = None,
    ) -> dict[str, object]:
        """Measure the output alone."""
        output = y_pred[0] if isinstance(y_pred, list) else y_pred
        return super().compute_metrics(x, y, output, sample_weight)


def main() -> None:
    """Print the summary and run one forward pass."""
    model = Heads()
    model.summary()
    output = model(keras.random.uniform((1, 9, 9, 3)))
    print(f"one random image in, {tuple(output.shape)} out")


if __name__ == "__main__":
    main()
