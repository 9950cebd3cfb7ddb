"""A network with branches in NumPy.

Written by archspec VERSION from the spec branching
(sha256 9132aa168d7475d31ee83bd33ca32fc188c24a2f821c8fd6bb91fe751ab0e5ac).
Input: N x 3 x 11 x 12. Output: N x 5.
"""

import zlib

import numpy as np


def generator(seed: int, name: str) -> np.random.Generator:
    """The random numbers of one tensor."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def normal(
    seed: int, name: str, shape: tuple[int, ...], mean: float, std: float
) -> np.ndarray:
    """Gaussian numbers."""
    return generator(seed, name).normal(mean, std, shape)


def uniform(
    seed: int, name: str, shape: tuple[int, ...], low: float, high: float
) -> np.ndarray:
    """Uniform numbers from `low` to just below `high`."""
    return generator(seed, name).uniform(low, high, shape)


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


def scale_channels(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None
) -> np.ndarray:
    """Multiply each channel by its weight and add its bias, where there are any."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    out = x if weight is None else x * weight.reshape(shape)
    return out if bias is None else out + bias.reshape(shape)


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


def hard_sigmoid(x: np.ndarray) -> np.ndarray:
    """Compute min(max(x + 3, 0), 6) / 6."""
    return relu6(x + 3) / 6


class Branching:
    """The network; `weights` holds every tensor by its canonical name."""

    def __init__(self, seed: int = 0) -> None:
        self.weights = {
            "stem.weight": normal(seed, "stem.weight", (8, 3, 3, 3), mean=0.0, std=0.5),
            "stem.bias": normal(seed, "stem.bias", (8,), mean=0.0, std=0.5),
            "norm.weight": np.full((8,), 1.0),
            "norm.bias": np.full((8,), 0.0),
            "norm.running_mean": np.full((8,), 0.0),
            "norm.running_var": np.full((8,), 1.0),
            "towers.weight": normal(
                seed, "towers.weight", (8, 4, 5, 5), mean=0.0, std=0.5
            ),
            "towers.bias": normal(seed, "towers.bias", (8,), mean=0.0, std=0.5),
            "left_norm.weight": np.full((4,), 1.0),
            "left_norm.bias": np.full((4,), 0.0),
            "left_norm.running_mean": np.full((4,), 0.0),
            "left_norm.running_var": np.full((4,), 1.0),
            "right_norm.running_mean": np.full((4,), 0.0),
            "right_norm.running_var": np.full((4,), 1.0),
            "excite.weight": normal(
                seed, "excite.weight", (8, 8, 1, 1), mean=0.0, std=0.5
            ),
            "excite.bias": normal(seed, "excite.bias", (8,), mean=0.0, std=0.5),
            "dilated.weight": normal(
                seed, "dilated.weight", (6, 8, 2, 2), mean=0.0, std=0.5
            ),
            "dilated.bias": normal(seed, "dilated.bias", (6,), mean=0.0, std=0.5),
            "logits.weight": uniform(
                seed,
                "logits.weight",
                (5, 72),
                low=-0.27914526311954124,
                high=0.27914526311954124,
            ),
            "logits.bias": np.full((5,), 0.0),
        }

    def outputs(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Compute every layer's output, by layer name."""
        w = self.weights
        out = {"input": x}
        out["stem"] = conv2d(
            out["input"],
            w["stem.weight"],
            w["stem.bias"],
            stride=(1, 1),
            padding=(0, 1, 1, 2),
            dilation=(1, 1),
            groups=1,
        )  # 8 x 10 x 13
        out["norm"] = batch_norm(
            out["stem"],
            w["norm.weight"],
            w["norm.bias"],
            w["norm.running_mean"],
            w["norm.running_var"],
            eps=0.001,
        )  # 8 x 10 x 13
        out["relu"] = relu(out["norm"])  # 8 x 10 x 13
        out["left"] = out["relu"].take(range(4), axis=1)  # 4 x 10 x 13
        out["right"] = out["relu"].take(range(4, 8), axis=1)  # 4 x 10 x 13
        out["towers"] = conv2d(
            out["relu"],
            w["towers.weight"],
            w["towers.bias"],
            stride=(1, 1),
            padding=(2, 2, 2, 2),
            dilation=(1, 1),
            groups=2,
        )  # 8 x 10 x 13
        out["response"] = local_response_norm(
            out["towers"], size=5, scale=0.02, beta=0.75, k=2.0, groups=2
        )  # 8 x 10 x 13
        out["left_norm"] = batch_norm(
            out["left"],
            w["left_norm.weight"],
            w["left_norm.bias"],
            w["left_norm.running_mean"],
            w["left_norm.running_var"],
            eps=0.001,
        )  # 4 x 10 x 13
        out["right_norm"] = batch_norm(
            out["right"],
            None,
            None,
            w["right_norm.running_mean"],
            w["right_norm.running_var"],
            eps=0.001,
        )  # 4 x 10 x 13
        out["product"] = np.multiply(out["left_norm"], out["right_norm"])  # 4 x 10 x 13
        # 8 x 10 x 13
        out["joined"] = np.concatenate([out["product"], out["left"]], axis=1)
        # 8 x 10 x 13
        out["sum"] = np.add(np.add(out["joined"], out["response"]), out["norm"])
        out["active"] = relu(out["sum"])  # 8 x 10 x 13
        out["pool_max"] = max_pool2d(
            out["active"], kernel_size=(3, 3), stride=(2, 2), padding=(1, 2, 1, 1)
        )  # 8 x 6 x 7
        out["pool_avg"] = avg_pool2d(
            out["active"],
            kernel_size=(3, 3),
            stride=(2, 2),
            padding=(1, 1, 1, 1),
            overhang=(1, 0),
            count_include_pad=False,
        )  # 8 x 6 x 7
        out["squeeze"] = out["active"].mean(axis=(2, 3), keepdims=True)  # 8 x 1 x 1
        out["excite"] = conv2d(
            out["squeeze"],
            w["excite.weight"],
            w["excite.bias"],
            stride=(1, 1),
            padding=(0, 0, 0, 0),
            dilation=(1, 1),
            groups=1,
        )  # 8 x 1 x 1
        out["gate"] = hard_sigmoid(out["excite"])  # 8 x 1 x 1
        out["pools"] = np.add(out["pool_max"], out["pool_avg"])  # 8 x 6 x 7
        out["scaled"] = np.multiply(out["gate"], out["pools"])  # 8 x 6 x 7
        out["dilated"] = conv2d(
            out["scaled"],
            w["dilated.weight"],
            w["dilated.bias"],
            stride=(2, 2),
            padding=(0, 1, 1, 1),
            dilation=(2, 2),
            groups=1,
        )  # 6 x 3 x 4
        out["leaky"] = leaky_relu(out["dilated"], negative_slope=0.1)  # 6 x 3 x 4
        out["drop"] = np.multiply(out["leaky"], 0.5)  # 6 x 3 x 4
        out["flatten"] = out["drop"].reshape(out["drop"].shape[0], -1)  # 72
        out["logits"] = dense(out["flatten"], w["logits.weight"], w["logits.bias"])  # 5
        return out

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.outputs(x)["logits"]


def main() -> None:
    """Print the shape of every layer's output for one image."""
    model = Branching()
    for name, out in model.outputs(np.zeros((1, 3, 11, 12))).items():
        print(f"{name:<24} {out.shape}")
    parameters = sum(weight.size for weight in model.weights.values())
    print(f"{parameters:,} numbers in weights and buffers")


if __name__ == "__main__":
    main()
