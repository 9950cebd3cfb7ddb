"""What PyTorch says of a built model: shapes, parameters, FLOPs, and what a position sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from archspec.backends.base import Measured
from archspec.backends.torch.emit import attributes
from archspec.graph import Graph
from archspec.layers.base import Shape

if TYPE_CHECKING:
    from archspec.backends.base import Array, Mask


def measure(graph: Graph, model: torch.nn.Module) -> Measured:
    """Run the model on tensors without data, which have shapes and cost nothing."""
    tensors = dict(model.named_parameters())
    updated = sum(t.numel() for t in tensors.values() if t.requires_grad)
    # A number of batches is no statistic: the analysis and Keras know none.
    tensors |= dict(model.named_buffers())
    stored = sum(t.numel() for name, t in tensors.items() if "num_batches" not in name)
    shapes: dict[str, Shape] = {}
    without_data = {
        name: tensor.detach().to("meta") for name, tensor in tensors.items()
    }
    image = torch.empty((1, *graph.input_shape), device="meta", dtype=_dtype(model))

    def note(name: str, output: torch.Tensor) -> None:
        shapes[name] = tuple(output.shape[1:])

    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter, _watched(graph, model, note):
        torch.func.functional_call(model, without_data, (image,))
    root = type(model).__name__
    counted = counter.get_flop_counts()
    flops = {
        name: sum(counted.get(f"{root}.{path}", {}).values())
        for name, path in attributes(graph).items()
    }
    return Measured(
        shapes,
        updated,
        stored - updated,
        {name: count for name, count in flops.items() if count},
    )


def support(
    graph: Graph,
    model: torch.nn.Module,
    images: Array,
    positions: Mapping[str, tuple[int, ...]],
) -> dict[str, Mask]:
    """Where the gradients of the positions with respect to the images are not 0."""
    pixels = torch.from_numpy(images).requires_grad_()
    values: dict[str, torch.Tensor] = {}

    def keep(name: str, output: torch.Tensor) -> None:
        # Now, because the ReLU behind may overwrite the tensor.
        if name in positions:
            here = output[(..., *positions[name])]
            values[name] = (here * torch.randn_like(here)).sum()

    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with _watched(graph, model, keep):
        model(pixels)
    found = {}
    for name, value in values.items():
        (gradient,) = torch.autograd.grad(value, pixels, retain_graph=True)
        found[name] = (gradient != 0).any(dim=1).any(dim=0).numpy()
    return found


@contextmanager
def _watched(
    graph: Graph, model: torch.nn.Module, see: Callable[[str, torch.Tensor], None]
) -> Iterator[None]:
    """Show every layer's output at inference, for layers used in training alone too."""

    def hook(name: str) -> Any:
        return lambda module, args, output: see(name, output)

    model.eval()
    model.training = bool(graph.auxiliary)
    hooks = [
        model.get_submodule(path).register_forward_hook(hook(name))
        for name, path in attributes(graph).items()
    ]
    try:
        yield
    finally:
        model.eval()
        for one in hooks:
            one.remove()


def _dtype(model: torch.nn.Module) -> torch.dtype:
    first = next(model.parameters(), None)
    return torch.get_default_dtype() if first is None else first.dtype
