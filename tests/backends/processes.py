"""What test_groups.py lets two processes do, each with a part of the work; prints JSON lines."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from archspec.backends import get_backend
from archspec.backends.base import Group, TrainableBackend
from archspec.diagnostics import ArchspecError


def group() -> Group:
    backend = get_backend("torch")
    assert isinstance(backend, TrainableBackend)
    return backend.group("cpu")


def numbers(own: Group) -> Any:
    # 0.1 + 0.2 + ... has other last bits in another order, and in float32 other digits.
    parts = np.array([0.1 * (own.rank + 1), 1e-12, own.rank])
    return [own.sum(parts).tolist(), own.any(own.rank == 1), own.any(False)]


def one_fails(own: Group) -> Any:
    if own.rank == 1:
        raise ArchspecError("photos/7.png cannot be read")
    own.sum(np.zeros(1))  # the other one does not come
    return "went on"


def all_fail(own: Group) -> Any:
    raise ArchspecError("a batch of 3 does not divide")


def one_is_gone(own: Group) -> Any:
    if own.rank == 1:
        own.close()
        return "gone"
    own.sum(np.zeros(1))
    return "went on"


def normalized(own: Group) -> Any:
    """Two steps of a network with each kind of batch norm, on a half of the batch each."""
    import torch
    import torch.nn.functional as F
    from networks import layer, network

    from archspec.backends.torch.synchronized import synchronize

    torch.set_num_threads(1)
    few = {"eps": 1e-3, "decay": 0.8}
    graph = network(
        [
            layer("conv", "conv2d", filters=4, kernel_size=3),
            layer("unbiased", "batch_norm", eps=1e-5, decay=0.9),
            layer("relu", "relu"),
            layer("biased", "batch_norm", running_variance="biased", **few),
            layer("plain", "batch_norm", affine=False, **few),
            layer("frozen", "batch_norm", trainable=False, **few),
            layer("flatten", "flatten"),
            layer("fc", "dense", units=5),
            layer("of_a_vector", "batch_norm", **few),
        ],
        (2, 5, 4),
    )
    backend = get_backend("torch")
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(8, 2, 5, 4, dtype=torch.float64, generator=draw)
    labels = torch.arange(8) % 5

    def trained(part: slice, together: bool) -> dict[str, Any]:
        torch.manual_seed(0)
        model = backend.build(graph).double().train()
        wrapped = model
        if together:
            synchronize(graph, model)
            wrapped = torch.nn.parallel.DistributedDataParallel(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            F.cross_entropy(wrapped(images[part]), labels[part]).backward()
            optimizer.step()
        return backend.save_weights(graph, model)

    alone = trained(slice(None), False)
    shared = trained(slice(own.rank * 4, own.rank * 4 + 4), True)
    return {name: float(np.abs(alone[name] - shared[name]).max()) for name in alone}


def main(names: list[str]) -> None:
    for name in names:
        own = group()
        found: Any
        try:
            with own.together():
                found = globals()[name](own)
        except ArchspecError as error:
            found = f"ArchspecError: {error}"
        except SystemExit as end:
            found = f"exit {end.code}"
        print(json.dumps([name, own.rank, found]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
