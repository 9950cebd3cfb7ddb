"""Modules for what `torch.nn` does not have; the emitted source contains those it uses.

Maps are N,C,H,W. Padding is (left, right, top, bottom), the order of `torch.nn.functional.pad`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everyone uses
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


class CroppedConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution that takes away other widths at each side."""

    def __init__(self, *args: int, sides: Sides, **kwargs: int) -> None:
        super().__init__(*args, **kwargs)
        self.sides = sides

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.pad(super().forward(x), [-width for width in self.sides])


class PaddedMaxPool2d(nn.MaxPool2d):
    """A max pool with a padding of its own for each side, which never wins."""

    def __init__(self, kernel_size: int, stride: int, sides: Sides) -> None:
        super().__init__(kernel_size, stride)
        self.sides = sides

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(F.pad(x, self.sides, value=float("-inf")))


class PaddedAvgPool2d(nn.Module):
    """An average pool with a padding of its own for each side.

    `overhang` (right, bottom) is where windows reach past the padding; it never counts
    in the mean, and the padding only with `count_include_pad`.
    """

    def __init__(
        self,
        kernel_size: tuple[int, int],
        stride: tuple[int, int],
        sides: Sides,
        overhang: tuple[int, int] = (0, 0),
        count_include_pad: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.sides = kernel_size, stride, sides
        self.reach = (0, overhang[0], 0, overhang[1])
        self.counted = 1.0 if count_include_pad else 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        elements = F.pad(torch.ones_like(x[:1, :1]), self.sides, value=self.counted)
        total = F.pad(F.pad(x, self.sides), self.reach)
        count = F.pad(elements, self.reach)
        return self.pool(total) / self.pool(count)

    def pool(self, x: torch.Tensor) -> torch.Tensor:
        """Add up each window."""
        return F.avg_pool2d(x, self.kernel_size, self.stride, divisor_override=1)


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


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation across the channels of each position."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class GroupNormOfOne(nn.GroupNorm):
    """Group normalisation of groups that hold one number, for one image too.

    `nn.GroupNorm` refuses that, and takes several images.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class Scale(nn.Module):
    """A factor, and perhaps a bias, for each channel."""

    def __init__(self, channels: int, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shape = (-1,) + (1,) * (x.dim() - 2)
        x = x * self.weight.reshape(shape)
        return x if self.bias is None else x + self.bias.reshape(shape)


class DropoutAtInference(nn.Module):
    """Dropout that scales at inference: outputs are multiplied by 1 - p."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            return x * torch.empty_like(x).bernoulli_(1 - self.p)
        return x * (1 - self.p)


class StochasticDepth(nn.Module):
    """Drops a whole image with probability p in training, and divides what stays by 1 - p."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        shape = (x.shape[0],) + (1,) * (x.dim() - 1)
        return x * x.new_empty(shape).bernoulli_(1 - self.p).div_(1 - self.p)


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


class Reshape(nn.Module):
    """The same elements in another shape."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(x.shape[0], *self.shape)


class Permute(nn.Module):
    """The axes of a map in another order: 0 is channels, 1 height, 2 width."""

    def __init__(self, *order: int) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, *(axis + 1 for axis in self.order))
