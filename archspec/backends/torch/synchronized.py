"""Batch normalisation over the images of all processes.

The statistics are those of the whole batch, as in a single process, on every device:
`torch.nn.SyncBatchNorm` computes on GPUs alone, and remembers the unbiased variance alone.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812

from archspec.backends.torch.emit import attributes
from archspec.graph import Graph
from archspec.layers.batch_norm import BatchNorm


def synchronize(graph: Graph, model: Any) -> None:
    """Let the batch normalisations of a model count the images of all processes in training."""
    names = attributes(graph)
    # The processes talk in it, which is left out of what is compiled.
    forward = torch.compiler.disable(_forward)
    for node in graph.nodes:
        if isinstance(node.layer, BatchNorm) and node.layer.trainable:
            module = model.get_submodule(names[node.name])
            unbiased = node.layer.running_variance == "unbiased"
            module.forward = functools.partial(
                forward, module, module.forward, unbiased
            )


def _forward(module: Any, alone: Any, unbiased: bool, x: torch.Tensor) -> torch.Tensor:
    if not module.training:
        return alone(x)
    count, mean, var = _statistics(x.detach())
    with torch.no_grad():
        remembered = var * (count / (count - 1)) if unbiased else var
        module.running_mean.lerp_(mean.to(module.running_mean), module.momentum)
        module.running_var.lerp_(remembered.to(module.running_var), module.momentum)
    return _Normalize.apply(x, module.weight, module.bias, count, mean, var, module.eps)


def _statistics(
    x: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The numbers in a channel of all processes, their mean and their biased variance.

    The parts are put together as in Chan, Golub and LeVeque (1983), "Algorithms for computing
    the sample variance", which does not cancel.
    """
    var, mean = torch.var_mean(_wide(x), _axes(x), correction=0)
    own = torch.cat([mean.new_tensor([x.numel() // x.shape[1]]), mean, var])
    parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, own)
    counts, means, variances = torch.stack(parts).split([1, *[x.shape[1]] * 2], dim=1)
    total = counts.sum()
    mean = (counts * means).sum(0) / total
    var = (counts * (variances + (means - mean) ** 2)).sum(0) / total
    return total, mean, var


class _Normalize(torch.autograd.Function):
    """(x - mean) / sqrt(var + eps), scaled and shifted, where mean and var depend on every x.

    The gradient is that of Ioffe and Szegedy (2015), section 3, with the sums over the batch
    taken over all processes.
    """

    @staticmethod
    def forward(ctx: Any, *args: Any) -> torch.Tensor:
        x, weight, bias, count, mean, var, eps = args
        ctx.save_for_backward(x, weight, count, mean, torch.rsqrt(var + eps))
        return F.batch_norm(x, mean, var, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> tuple[Any, ...]:
        x, weight, count, mean, inverse = ctx.saved_tensors
        wide, axes = _wide(upstream[0]), _axes(x)
        normal = (_wide(x) - _channels(mean, x)) * _channels(inverse, x)
        own = torch.stack([wide.sum(axes), (wide * normal).sum(axes)])
        # The gradients of scale and shift are averaged with those of the other parameters.
        both = own.clone()
        dist.all_reduce(both)
        means = both / count
        scale = inverse if weight is None else inverse * weight
        slope = wide - _channels(means[0], x) - normal * _channels(means[1], x)
        found = (slope * _channels(scale, x)).to(x.dtype)
        if weight is None:
            return found, *[None] * 6
        return found, own[1].to(weight.dtype), own[0].to(weight.dtype), *[None] * 4


def _axes(x: torch.Tensor) -> list[int]:
    """All axes but the channels."""
    return [axis for axis in range(x.dim()) if axis != 1]


def _channels(values: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """One value a channel in the shape that multiplies x."""
    return values.reshape(1, -1, *[1] * (x.dim() - 2))


def _wide(x: torch.Tensor) -> torch.Tensor:
    """At least float32, in which sums over a batch are taken."""
    return x if x.dtype == torch.float64 else x.float()
