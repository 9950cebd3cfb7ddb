"""heads in NumPy.

Written by archspec VERSION from the spec heads
(sha256 56b9462ed8bcf625bbd12741dba8993bac658766d5a811fd35585ed9cf659e57).
Input: N x 3 x 9 x 9. Output: N x 5.
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


class Heads:
    """The network; `weights` holds every tensor by its canonical name."""

    def __init__(self, seed: int = 0) -> None:
        self.weights = {
            "stem.conv.weight": normal(
                seed, "stem.conv.weight", (6, 3, 3, 3), mean=0.0, std=0.2721655269759087
            ),
            "body.block1.first.conv.weight": normal(
                seed,
                "body.block1.first.conv.weight",
                (6, 6, 3, 3),
                mean=0.0,
                std=0.19245008972987526,
            ),
            "body.block1.first.norm.weight": np.full((6,), 1.0),
            "body.block1.first.norm.bias": np.full((6,), 0.0),
            "body.block1.first.norm.running_mean": np.full((6,), 0.0),
            "body.block1.first.norm.running_var": np.full((6,), 1.0),
            "body.block1.second.conv.weight": normal(
                seed,
                "body.block1.second.conv.weight",
                (6, 6, 3, 3),
                mean=0.0,
                std=0.19245008972987526,
            ),
            "body.block1.second.norm.weight": np.full((6,), 1.0),
            "body.block1.second.norm.bias": np.full((6,), 0.0),
            "body.block1.second.norm.running_mean": np.full((6,), 0.0),
            "body.block1.second.norm.running_var": np.full((6,), 1.0),
            "aux1.fc.weight": normal(
                seed, "aux1.fc.weight", (5, 6), mean=0.0, std=0.5773502691896257
            ),
            "aux1.fc.bias": normal(seed, "aux1.fc.bias", (5,), mean=0.0, std=0.5),
            "body.block2.first.conv.weight": normal(
                seed,
                "body.block2.first.conv.weight",
                (6, 6, 3, 3),
                mean=0.0,
                std=0.19245008972987526,
            ),
            "body.block2.first.norm.weight": np.full((6,), 1.0),
            "body.block2.first.norm.bias": np.full((6,), 0.0),
            "body.block2.first.norm.running_mean": np.full((6,), 0.0),
            "body.block2.first.norm.running_var": np.full((6,), 1.0),
            "body.block2.second.conv.weight": normal(
                seed,
                "body.block2.second.conv.weight",
                (6, 6, 3, 3),
                mean=0.0,
                std=0.19245008972987526,
            ),
            "body.block2.second.norm.weight": np.full((6,), 1.0),
            "body.block2.second.norm.bias": np.full((6,), 0.0),
            "body.block2.second.norm.running_mean": np.full((6,), 0.0),
            "body.block2.second.norm.running_var": np.full((6,), 1.0),
            "aux2.conv.weight": normal(
                seed, "aux2.conv.weight", (4, 6, 1, 1), mean=0.0, std=0.5773502691896257
            ),
            "aux2.norm.weight": np.full((4,), 1.0),
            "aux2.norm.bias": np.full((4,), 0.0),
            "aux2.norm.running_mean": np.full((4,), 0.0),
            "aux2.norm.running_var": np.full((4,), 1.0),
            "aux2.fc.weight": normal(
                seed, "aux2.fc.weight", (5, 324), mean=0.0, std=0.07856742013183861
            ),
            "aux2.fc.bias": normal(seed, "aux2.fc.bias", (5,), mean=0.0, std=0.5),
            "body.block3.first.conv.weight": normal(
                seed,
                "body.block3.first.conv.weight",
                (6, 6, 3, 3),
                mean=0.0,
                std=0.19245008972987526,
            ),
            "body.block3.first.norm.weight": np.full((6,), 1.0),
            "body.block3.first.norm.bias": np.full((6,), 0.0),
            "body.block3.first.norm.running_mean": np.full((6,), 0.0),
            "body.block3.first.norm.running_var": np.full((6,), 1.0),
            "body.block3.second.conv.weight": normal(
                seed,
                "body.block3.second.conv.weight",
                (6, 6, 3, 3),
                mean=0.0,
                std=0.19245008972987526,
            ),
            "body.block3.second.norm.weight": np.full((6,), 1.0),
            "body.block3.second.norm.bias": np.full((6,), 0.0),
            "body.block3.second.norm.running_mean": np.full((6,), 0.0),
            "body.block3.second.norm.running_var": np.full((6,), 1.0),
            "body.block4.first.conv.weight": normal(
                seed,
                "body.block4.first.conv.weight",
                (6, 6, 3, 3),
                mean=0.0,
                std=0.19245008972987526,
            ),
            "body.block4.first.norm.weight": np.full((6,), 1.0),
            "body.block4.first.norm.bias": np.full((6,), 0.0),
            "body.block4.first.norm.running_mean": np.full((6,), 0.0),
            "body.block4.first.norm.running_var": np.full((6,), 1.0),
            "body.block4.second.conv.weight": normal(
                seed,
                "body.block4.second.conv.weight",
                (6, 6, 3, 3),
                mean=0.0,
                std=0.19245008972987526,
            ),
            "body.block4.second.norm.weight": np.full((6,), 1.0),
            "body.block4.second.norm.bias": np.full((6,), 0.0),
            "body.block4.second.norm.running_mean": np.full((6,), 0.0),
            "body.block4.second.norm.running_var": np.full((6,), 1.0),
            "early.weight": normal(
                seed, "early.weight", (5, 6), mean=0.0, std=0.5773502691896257
            ),
            "early.bias": normal(seed, "early.bias", (5,), mean=0.0, std=0.5),
            "fc.weight": normal(
                seed, "fc.weight", (5, 5), mean=0.0, std=0.6324555320336759
            ),
            "fc.bias": normal(seed, "fc.bias", (5,), mean=0.0, std=0.5),
        }

    def outputs(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Compute every layer's output, by layer name."""
        w = self.weights
        out = {"input": x}

        # stem
        out["stem.conv"] = conv2d(
            out["input"],
            w["stem.conv.weight"],
            None,
            stride=(1, 1),
            padding=(1, 1, 1, 1),
            dilation=(1, 1),
            groups=1,
        )  # 6 x 9 x 9
        out["stem.relu"] = relu(out["stem.conv"])  # 6 x 9 x 9

        # body.block1
        out["body.block1.first.conv"] = conv2d(
            out["stem.relu"],
            w["body.block1.first.conv.weight"],
            None,
            stride=(1, 1),
            padding=(1, 1, 1, 1),
            dilation=(1, 1),
            groups=1,
        )  # 6 x 9 x 9
        out["body.block1.first.norm"] = batch_norm(
            out["body.block1.first.conv"],
            w["body.block1.first.norm.weight"],
            w["body.block1.first.norm.bias"],
            w["body.block1.first.norm.running_mean"],
            w["body.block1.first.norm.running_var"],
            eps=0.001,
        )  # 6 x 9 x 9
        out["body.block1.first.relu"] = relu(out["body.block1.first.norm"])  # 6 x 9 x 9
        out["body.block1.second.conv"] = conv2d(
            out["body.block1.first.relu"],
            w["body.block1.second.conv.weight"],
            None,
            stride=(1, 1),
            padding=(1, 1, 1, 1),
            dilation=(1, 1),
            groups=1,
        )  # 6 x 9 x 9
        out["body.block1.second.norm"] = batch_norm(
            out["body.block1.second.conv"],
            w["body.block1.second.norm.weight"],
            w["body.block1.second.norm.bias"],
            w["body.block1.second.norm.running_mean"],
            w["body.block1.second.norm.running_var"],
            eps=0.001,
        )  # 6 x 9 x 9
        # 6 x 9 x 9
        out["body.block1.second.relu"] = relu(out["body.block1.second.norm"])
        out["body.block1.add"] = np.add(
            out["body.block1.second.relu"], out["stem.relu"]
        )  # 6 x 9 x 9

        # aux1, used in training alone
        out["aux1.pool"] = out["body.block1.add"].mean(axis=(2, 3))  # 6
        # 5
        out["aux1.fc"] = dense(out["aux1.pool"], w["aux1.fc.weight"], w["aux1.fc.bias"])

        # body.block2
        out["body.block2.first.conv"] = conv2d(
            out["body.block1.add"],
            w["body.block2.first.conv.weight"],
            None,
            stride=(1, 1),
            padding=(1, 1, 1, 1),
            dilation=(1, 1),
            groups=1,
        )  # 6 x 9 x 9
        out["body.block2.first.norm"] = batch_norm(
            out["body.block2.first.conv"],
            w["body.block2.first.norm.weight"],
            w["body.block2.first.norm.bias"],
            w["body.block2.first.norm.running_mean"],
            w["body.block2.first.norm.running_var"],
            eps=0.001,
        )  # 6 x 9 x 9
        out["body.block2.first.relu"] = relu(out["body.block2.first.norm"])  # 6 x 9 x 9
        out["body.block2.second.conv"] = conv2d(
            out["body.block2.first.relu"],
            w["body.block2.second.conv.weight"],
            None,
            stride=(1, 1),
            padding=(1, 1, 1, 1),
            dilation=(1, 1),
            groups=1,
        )  # 6 x 9 x 9
        out["body.block2.second.norm"] = batch_norm(
            out["body.block2.second.conv"],
            w["body.block2.second.norm.weight"],
            w["body.block2.second.norm.bias"],
            w["body.block2.second.norm.running_mean"],
            w["body.block2.second.norm.running_var"],
            eps=0.001,
        )  # 6 x 9 x 9
        # 6 x 9 x 9
        out["body.block2.second.relu"] = relu(out["body.block2.second.norm"])
        out["body.block2.add"] = np.add(
            out["body.block2.second.relu"], out["body.block1.add"]
        )  # 6 x 9 x 9

        # aux2, used in training alone
        out["aux2.conv"] = conv2d(
            out["body.block2.add"],
            w["aux2.conv.weight"],
            None,
            stride=(1, 1),
            padding=(0, 0, 0, 0),
            dilation=(1, 1),
            groups=1,
        )  # 4 x 9 x 9
        out["aux2.norm"] = batch_norm(
            out["aux2.conv"],
            w["aux2.norm.weight"],
            w["aux2.norm.bias"],
            w["aux2.norm.running_mean"],
            w["aux2.norm.running_var"],
            eps=0.001,
        )  # 4 x 9 x 9
        out["aux2.relu"] = relu(out["aux2.norm"])  # 4 x 9 x 9
        # 324
        out["aux2.flatten"] = out["aux2.relu"].reshape(out["aux2.relu"].shape[0], -1)
        out["aux2.fc"] = dense(
            out["aux2.flatten"], w["aux2.fc.weight"], w["aux2.fc.bias"]
        )  # 5

        # body.block3
        out["body.block3.first.conv"] = conv2d(
            out["body.block2.add"],
            w["body.block3.first.conv.weight"],
            None,
            stride=(1, 1),
            padding=(1, 1, 1, 1),
            dilation=(1, 1),
            groups=1,
        )  # 6 x 9 x 9
        out["body.block3.first.norm"] = batch_norm(
            out["body.block3.first.conv"],
            w["body.block3.first.norm.weight"],
            w["body.block3.first.norm.bias"],
            w["body.block3.first.norm.running_mean"],
            w["body.block3.first.norm.running_var"],
            eps=0.001,
        )  # 6 x 9 x 9
        out["body.block3.first.relu"] = relu(out["body.block3.first.norm"])  # 6 x 9 x 9
        out["body.block3.second.conv"] = conv2d(
            out["body.block3.first.relu"],
            w["body.block3.second.conv.weight"],
            None,
            stride=(1, 1),
            padding=(1, 1, 1, 1),
            dilation=(1, 1),
            groups=1,
        )  # 6 x 9 x 9
        out["body.block3.second.norm"] = batch_norm(
            out["body.block3.second.conv"],
            w["body.block3.second.norm.weight"],
            w["body.block3.second.norm.bias"],
            w["body.block3.second.norm.running_mean"],
            w["body.block3.second.norm.running_var"],
            eps=0.001,
        )  # 6 x 9 x 9
        # 6 x 9 x 9
        out["body.block3.second.relu"] = relu(out["body.block3.second.norm"])
        out["body.block3.add"] = np.add(
            out["body.block3.second.relu"], out["body.block2.add"]
        )  # 6 x 9 x 9

        # body.block4
        out["body.block4.first.conv"] = conv2d(
            out["body.block3.add"],
            w["body.block4.first.conv.weight"],
            None,
            stride=(1, 1),
            padding=(1, 1, 1, 1),
            dilation=(1, 1),
            groups=1,
        )  # 6 x 9 x 9
        out["body.block4.first.norm"] = batch_norm(
            out["body.block4.first.conv"],
            w["body.block4.first.norm.weight"],
            w["body.block4.first.norm.bias"],
            w["body.block4.first.norm.running_mean"],
            w["body.block4.first.norm.running_var"],
            eps=0.001,
        )  # 6 x 9 x 9
        out["body.block4.first.relu"] = relu(out["body.block4.first.norm"])  # 6 x 9 x 9
        out["body.block4.second.conv"] = conv2d(
            out["body.block4.first.relu"],
            w["body.block4.second.conv.weight"],
            None,
            stride=(1, 1),
            padding=(1, 1, 1, 1),
            dilation=(1, 1),
            groups=1,
        )  # 6 x 9 x 9
        out["body.block4.second.norm"] = batch_norm(
            out["body.block4.second.conv"],
            w["body.block4.second.norm.weight"],
            w["body.block4.second.norm.bias"],
            w["body.block4.second.norm.running_mean"],
            w["body.block4.second.norm.running_var"],
            eps=0.001,
        )  # 6 x 9 x 9
        # 6 x 9 x 9
        out["body.block4.second.relu"] = relu(out["body.block4.second.norm"])
        out["body.block4.add"] = np.add(
            out["body.block4.second.relu"], out["body.block3.add"]
        )  # 6 x 9 x 9

        out["pool"] = out["body.block4.add"].mean(axis=(2, 3))  # 6
        out["early"] = dense(out["pool"], w["early.weight"], w["early.bias"])  # 5
        out["relu"] = relu(out["early"])  # 5
        out["fc"] = dense(out["relu"], w["fc.weight"], w["fc.bias"])  # 5

        return out

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.outputs(x)["fc"]


def main() -> None:
    """Print the shape of every layer's output for one image."""
    model = Heads()
    for name, out in model.outputs(np.zeros((1, 3, 9, 9))).items():
        print(f"{name:<24} {out.shape}")
    parameters = sum(weight.size for weight in model.weights.values())
    print(f"{parameters:,} numbers in weights and buffers")


if __name__ == "__main__":
    main()
