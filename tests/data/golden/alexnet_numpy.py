"""AlexNet (Krizhevsky, Sutskever and Hinton, 2012) in NumPy.

Written by archspec VERSION from the spec alexnet
(sha256 25800e033f5276697b853a331c0b6f600a0785bff705d4ebc24587a7657e1a1a).
Input: N x 3 x 227 x 227. Output: N x 1000.
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


def dense(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """Multiply by a matrix of out x in, add the bias."""
    out = x @ weight.T
    return out if bias is None else out + bias


def relu(x: np.ndarray) -> np.ndarray:
    """Keep what is positive."""
    return np.maximum(x, 0)


class AlexNet:
    """The network; `weights` holds every tensor by its canonical name."""

    def __init__(self, seed: int = 0) -> None:
        self.weights = {
            "conv1.weight": normal(
                seed, "conv1.weight", (96, 3, 11, 11), mean=0.0, std=0.01
            ),
            "conv1.bias": np.full((96,), 0.0),
            "conv2.weight": normal(
                seed, "conv2.weight", (256, 48, 5, 5), mean=0.0, std=0.01
            ),
            "conv2.bias": np.full((256,), 1.0),
            "conv3.weight": normal(
                seed, "conv3.weight", (384, 256, 3, 3), mean=0.0, std=0.01
            ),
            "conv3.bias": np.full((384,), 0.0),
            "conv4.weight": normal(
                seed, "conv4.weight", (384, 192, 3, 3), mean=0.0, std=0.01
            ),
            "conv4.bias": np.full((384,), 1.0),
            "conv5.weight": normal(
                seed, "conv5.weight", (256, 192, 3, 3), mean=0.0, std=0.01
            ),
            "conv5.bias": np.full((256,), 1.0),
            "fc6.weight": normal(seed, "fc6.weight", (4096, 9216), mean=0.0, std=0.01),
            "fc6.bias": np.full((4096,), 1.0),
            "fc7.weight": normal(seed, "fc7.weight", (4096, 4096), mean=0.0, std=0.01),
            "fc7.bias": np.full((4096,), 1.0),
            "fc8.weight": normal(seed, "fc8.weight", (1000, 4096), mean=0.0, std=0.01),
            "fc8.bias": np.full((1000,), 0.0),
        }

    def outputs(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Compute every layer's output, by layer name."""
        w = self.weights
        out = {"input": x}
        out["conv1"] = conv2d(
            out["input"],
            w["conv1.weight"],
            w["conv1.bias"],
            stride=(4, 4),
            padding=(0, 0, 0, 0),
            dilation=(1, 1),
            groups=1,
        )  # 96 x 55 x 55
        out["relu1"] = relu(out["conv1"])  # 96 x 55 x 55
        out["norm1"] = local_response_norm(
            out["relu1"], size=5, scale=0.0001, beta=0.75, k=2.0, groups=1
        )  # 96 x 55 x 55
        out["pool1"] = max_pool2d(
            out["norm1"], kernel_size=(3, 3), stride=(2, 2), padding=(0, 0, 0, 0)
        )  # 96 x 27 x 27
        out["conv2"] = conv2d(
            out["pool1"],
            w["conv2.weight"],
            w["conv2.bias"],
            stride=(1, 1),
            padding=(2, 2, 2, 2),
            dilation=(1, 1),
            groups=2,
        )  # 256 x 27 x 27
        out["relu2"] = relu(out["conv2"])  # 256 x 27 x 27
        out["norm2"] = local_response_norm(
            out["relu2"], size=5, scale=0.0001, beta=0.75, k=2.0, groups=1
        )  # 256 x 27 x 27
        out["pool2"] = max_pool2d(
            out["norm2"], kernel_size=(3, 3), stride=(2, 2), padding=(0, 0, 0, 0)
        )  # 256 x 13 x 13
        out["conv3"] = conv2d(
            out["pool2"],
            w["conv3.weight"],
            w["conv3.bias"],
            stride=(1, 1),
            padding=(1, 1, 1, 1),
            dilation=(1, 1),
            groups=1,
        )  # 384 x 13 x 13
        out["relu3"] = relu(out["conv3"])  # 384 x 13 x 13
        out["conv4"] = conv2d(
            out["relu3"],
            w["conv4.weight"],
            w["conv4.bias"],
            stride=(1, 1),
            padding=(1, 1, 1, 1),
            dilation=(1, 1),
            groups=2,
        )  # 384 x 13 x 13
        out["relu4"] = relu(out["conv4"])  # 384 x 13 x 13
        out["conv5"] = conv2d(
            out["relu4"],
            w["conv5.weight"],
            w["conv5.bias"],
            stride=(1, 1),
            padding=(1, 1, 1, 1),
            dilation=(1, 1),
            groups=2,
        )  # 256 x 13 x 13
        out["relu5"] = relu(out["conv5"])  # 256 x 13 x 13
        out["pool5"] = max_pool2d(
            out["relu5"], kernel_size=(3, 3), stride=(2, 2), padding=(0, 0, 0, 0)
        )  # 256 x 6 x 6
        out["flatten"] = out["pool5"].reshape(out["pool5"].shape[0], -1)  # 9216
        out["fc6"] = dense(out["flatten"], w["fc6.weight"], w["fc6.bias"])  # 4096
        out["relu6"] = relu(out["fc6"])  # 4096
        out["drop6"] = np.multiply(out["relu6"], 0.5)  # 4096
        out["fc7"] = dense(out["drop6"], w["fc7.weight"], w["fc7.bias"])  # 4096
        out["relu7"] = relu(out["fc7"])  # 4096
        out["drop7"] = np.multiply(out["relu7"], 0.5)  # 4096
        out["fc8"] = dense(out["drop7"], w["fc8.weight"], w["fc8.bias"])  # 1000
        return out

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.outputs(x)["fc8"]


def main() -> None:
    """Print the shape of every layer's output for one image."""
    model = AlexNet()
    for name, out in model.outputs(np.zeros((1, 3, 227, 227))).items():
        print(f"{name:<24} {out.shape}")
    parameters = sum(weight.size for weight in model.weights.values())
    print(f"{parameters:,} numbers in weights and buffers")


if __name__ == "__main__":
    main()
