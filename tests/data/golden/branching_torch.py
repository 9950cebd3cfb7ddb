"""A network with branches in PyTorch.

Written by archspec VERSION from the spec branching
(sha256 9132aa168d7475d31ee83bd33ca32fc188c24a2f821c8fd6bb91fe751ab0e5ac).
Input: N x 3 x 11 x 12. Output: N x 5.
"""

import torch
import torch.nn.functional as F
from torch import nn

Sides = tuple[int, int, int, int]


class LocalResponseNorm(nn.Module):
    """Divide by (k + scale * sum of squares over `size` channels) ** beta.

    `torch.nn.LocalResponseNorm` is the case scale = alpha / size. With `groups`, no
    window crosses from one group of channels to the next.
    """

    def __init__(
        self, size: int, scale: float, beta: float, k: float, groups: int = 1
    ) -> None:
        super().__init__()
        self.size, self.scale, self.beta = size, scale, beta
        self.k, self.groups = k, groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, channels = x.shape[:2]
        each, reach = channels // self.groups, self.size // 2
        squares = (x * x).reshape(n * self.groups, each, -1)
        squares = F.pad(squares, (0, 0, reach, reach))
        total = squares[:, :each].clone()
        for i in range(1, self.size):
            total += squares[:, i : i + each]
        total = total.mul_(self.scale).add_(self.k)
        return x * total.pow(-self.beta).reshape(x.shape)


class PaddedConv2d(nn.Conv2d):
    """A convolution with a padding of its own for each side."""

    def __init__(self, *args: int, sides: Sides, **kwargs: int) -> None:
        super().__init__(*args, **kwargs)
        self.sides = sides

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(F.pad(x, self.sides))


class BiasedBatchNorm(nn.Module):
    """Batch normalisation that remembers the biased variance of a batch, as Keras does."""

    def __init__(
        self, features: int, eps: float, momentum: float, affine: bool = True
    ) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(features)) if affine else None
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean, var = self.running_mean, self.running_var
        if self.training:
            axes = [axis for axis in range(x.dim()) if axis != 1]
            with torch.no_grad():
                batch_var, batch_mean = torch.var_mean(x, axes, correction=0)
                mean.lerp_(batch_mean.to(mean.dtype), self.momentum)
                var.lerp_(batch_var.to(var.dtype), self.momentum)
            mean, var = None, None
        return F.batch_norm(
            x, mean, var, self.weight, self.bias, training=self.training, eps=self.eps
        )


class FrozenBatchNorm(nn.Module):
    """Batch normalisation by its running statistics, which stay, in training too."""

    def __init__(self, features: int, eps: float, affine: bool = True) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(features)) if affine else None
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean, var = self.running_mean, self.running_var
        return F.batch_norm(x, mean, var, self.weight, self.bias, eps=self.eps)


class DropoutAtInference(nn.Module):
    """Dropout that scales at inference: outputs are multiplied by 1 - p."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            return x * torch.empty_like(x).bernoulli_(1 - self.p)
        return x * (1 - self.p)


class Hardsigmoid(nn.Module):
    """min(max(x + 3, 0), 6) / 6; `nn.Hardsigmoid` rounds 1/6 to float32 in its gradient."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu6(x + 3) / 6


class GlobalAvgPool2d(nn.Module):
    """The mean of each channel."""

    def __init__(self, keep_dims: bool = False) -> None:
        super().__init__()
        self.keep_dims = keep_dims

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3), keepdim=self.keep_dims)


class Add(nn.Module):
    """The sum of the inputs."""

    def forward(self, first: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        for other in others:
            first = first + other
        return first


class Multiply(nn.Module):
    """The product of the inputs."""

    def forward(self, first: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        for other in others:
            first = first * other
        return first


class Concat(nn.Module):
    """The inputs one after another along the channels."""

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return torch.cat(inputs, dim=1)


class Split(nn.Module):
    """The channels from `first` to just before `end`."""

    def __init__(self, first: int, end: int) -> None:
        super().__init__()
        self.first, self.end = first, end

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, self.first : self.end]


class Branching(nn.Module):
    """3 x 11 x 12 in, 5 out."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = PaddedConv2d(3, 8, kernel_size=3, sides=(1, 2, 0, 1))
        self.norm = nn.BatchNorm2d(8, eps=0.001, momentum=0.1)
        self.relu = nn.ReLU()
        self.left = Split(0, 4)
        self.right = Split(4, 8)
        self.towers = nn.Conv2d(8, 8, kernel_size=5, padding=2, groups=2)
        self.response = LocalResponseNorm(
            size=5, scale=0.02, beta=0.75, k=2.0, groups=2
        )
        self.left_norm = BiasedBatchNorm(4, eps=0.001, momentum=0.1)
        self.right_norm = FrozenBatchNorm(4, eps=0.001, affine=False)
        self.product = Multiply()
        self.joined = Concat()
        self.sum = Add()
        self.active = nn.ReLU(inplace=True)
        self.pool_max = nn.MaxPool2d(kernel_size=3, stride=2, padding=1, ceil_mode=True)
        self.pool_avg = nn.AvgPool2d(
            kernel_size=3, stride=2, padding=1, ceil_mode=True, count_include_pad=False
        )
        self.squeeze = GlobalAvgPool2d(keep_dims=True)
        self.excite = nn.Conv2d(8, 8, kernel_size=1)
        self.gate = Hardsigmoid()
        self.pools = Add()
        self.scaled = Multiply()
        self.dilated = PaddedConv2d(
            8, 6, kernel_size=2, stride=2, dilation=2, sides=(1, 1, 0, 1)
        )
        self.leaky = nn.LeakyReLU(0.1)
        self.drop = DropoutAtInference(0.5)
        self.flatten = nn.Flatten()
        self.logits = nn.Linear(72, 5)
        self.stem.requires_grad_(False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        for layer in (self.stem, self.towers, self.excite, self.dilated):
            nn.init.normal_(layer.weight, std=0.5)
            nn.init.normal_(layer.bias, std=0.5)
        layer = self.logits
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)  # 8 x 10 x 13
        norm = self.norm(x)  # 8 x 10 x 13
        relu = self.relu(norm)  # 8 x 10 x 13
        left = self.left(relu)  # 4 x 10 x 13
        right = self.right(relu)  # 4 x 10 x 13
        x = self.towers(relu)  # 8 x 10 x 13
        response = self.response(x)  # 8 x 10 x 13
        left_norm = self.left_norm(left)  # 4 x 10 x 13
        x = self.right_norm(right)  # 4 x 10 x 13
        x = self.product(left_norm, x)  # 4 x 10 x 13
        x = self.joined(x, left)  # 8 x 10 x 13
        x = self.sum(x, response, norm)  # 8 x 10 x 13
        active = self.active(x)  # 8 x 10 x 13
        pool_max = self.pool_max(active)  # 8 x 6 x 7
        pool_avg = self.pool_avg(active)  # 8 x 6 x 7
        x = self.squeeze(active)  # 8 x 1 x 1
        x = self.excite(x)  # 8 x 1 x 1
        gate = self.gate(x)  # 8 x 1 x 1
        x = self.pools(pool_max, pool_avg)  # 8 x 6 x 7
        x = self.scaled(gate, x)  # 8 x 6 x 7
        x = self.dilated(x)  # 6 x 3 x 4
        x = self.leaky(x)  # 6 x 3 x 4
        x = self.drop(x)  # 6 x 3 x 4
        x = self.flatten(x)  # 72
        x = self.logits(x)  # 5
        return x


def main() -> None:
    """Print the modules and the parameters, and run one forward pass."""
    model = Branching().eval()
    print(model)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters:,} parameters")
    with torch.no_grad():
        output = model(torch.rand(1, 3, 11, 12))
    print(f"one random image in, {tuple(output.shape)} out")


if __name__ == "__main__":
    main()
