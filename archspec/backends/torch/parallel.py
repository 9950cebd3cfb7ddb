"""A model in several processes: the same in each, or each with a part of every tensor."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from archspec.backends.torch.emit import attributes
from archspec.backends.torch.synchronized import synchronize
from archspec.graph import Graph
from archspec.loading import analyze

if TYPE_CHECKING:
    from archspec.backends.base import Array, Execution

# Bytes of parameters that are gathered at once: fewer and larger exchanges than one a layer.
GATHERED = 32 * 2**20
# The part of a GPU's memory that weights, gradients and the optimiser may take before they are
# divided among the processes. The rest is for what a batch needs.
FITS = 0.8


def parallel(graph: Graph, model: Any, execution: Execution) -> Any:
    """What to call instead of the model in training, so that gradients are means over processes.

    With `execution.shard` each process holds a part of every parameter, gradient and optimiser
    tensor (Zhao et al. 2023, "PyTorch FSDP"); the model itself is then changed. Where that is None
    it is done when they do not fit into the GPU by the analyzer's count.
    """
    if execution.group.size == 1:
        return model
    synchronize(graph, model)
    device = execution.device
    if execution.shard or (execution.shard is None and not _fits(graph, device)):
        _shard(graph, model, device)
        return model
    # Said of one channel, whose stride can be any number, and of nothing else here.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    devices = [torch.cuda.current_device()] if device == "cuda" else None
    return torch.nn.parallel.DistributedDataParallel(model, device_ids=devices)


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor with the parts of all processes. All of them must ask."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def own_part(tensor: torch.Tensor) -> torch.Tensor:
    """What this process has of a tensor, in the same memory."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def fill(tensor: torch.Tensor, array: Array) -> None:
    """Write the values of a whole tensor into one of which this process may have a part."""
    values = torch.from_numpy(array).to(tensor.dtype)
    if hasattr(tensor, "full_tensor"):
        from torch.distributed.tensor import distribute_tensor

        values = distribute_tensor(
            values.to(tensor.device),
            tensor.device_mesh,
            tensor.placements,
            src_data_rank=None,
        )
    tensor.copy_(values)


def divided(tensors: Iterable[torch.Tensor]) -> bool:
    """Whether a process has a part of these tensors alone."""
    return any(hasattr(tensor, "full_tensor") for tensor in tensors)


def _fits(graph: Graph, device: str) -> bool:
    """Whether what training holds all the time fits into the memory of a process' device."""
    if device == "cpu":
        return True
    _, total = torch.cuda.mem_get_info()
    return analyze(graph).memory.resident <= FITS * total


def _shard(graph: Graph, model: Any, device: str) -> None:
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device, (dist.get_world_size(),))
    for modules in _together(graph, model):
        fully_shard(modules, mesh=mesh)
    # Divided again behind every pass, so that evaluation leaves it as training does.
    fully_shard(model, mesh=mesh, reshard_after_forward=True)


def _together(graph: Graph, model: Any) -> Iterator[list[Any]]:
    """Layers with parameters, in their order, so many that they are worth an exchange.

    What is left over belongs to the model itself, and so do layers that are used in training
    alone: a part of the model is divided again when all its layers have run.
    """
    names = attributes(graph)
    found: list[Any] = []
    size = 0
    for node in graph.nodes:
        if node.name in graph.training_only:
            continue
        module = model.get_submodule(names[node.name])
        own = sum(p.numel() * p.element_size() for p in module.parameters())
        if own:
            found.append(module)
            size += own
        if size >= GATHERED:
            yield found
            found, size = [], 0
