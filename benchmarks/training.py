"""A training step of the grouped AlexNet: Keras against PyTorch, and against plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import archspec
from benchmarks.measure import Row, in_turn, milliseconds

BATCH = 16
ROUNDS = 6


def rows() -> Iterator[Row]:
    """One update of all 61 million weights from 16 images, on the CPU and where there is CUDA."""
    import torch

    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        steps = {
            "Keras": _trainer("keras", device),
            "PyTorch": _trainer("torch", device),
            "plain": _plain(device),
        }
        keras, torch_seconds, ratio = in_turn(steps["Keras"], steps["PyTorch"], ROUNDS, 2)
        yield Row(
            f"AlexNet training step in Keras, batch {BATCH}, {device}, against archspec's PyTorch",
            milliseconds(keras),
            milliseconds(torch_seconds),
            ratio,
            "0.77",
        )
        ours, plain, ratio = in_turn(steps["PyTorch"], steps["plain"], ROUNDS, 1)
        yield Row(
            f"AlexNet training step in PyTorch, batch {BATCH}, {device}, against a plain loop "
            "with nn.LocalResponseNorm and optim.SGD",
            milliseconds(ours),
            milliseconds(plain),
            ratio,
            "1",
        )


def _trainer(backend: str, device: str) -> Callable[[], object]:
    from archspec.backends import get_backend
    from archspec.backends.base import Execution, TrainableBackend
    from archspec.backends.initial import initial_weights

    net = archspec.load("alexnet")
    recipe = net.spec.training
    chosen = get_backend(backend)
    assert recipe is not None
    assert isinstance(chosen, TrainableBackend)
    trainer = chosen.trainer(net, recipe, initial_weights(net, 0), Execution(device))
    images, labels = _batch()
    return lambda: float(trainer.step(images, labels, 0.001))


def _plain(device: str) -> Callable[[], object]:
    """What a person would write: the same layers, torch.nn's normalisation and optimiser."""
    import torch
    from torch import nn

    model = archspec.build("alexnet", backend="torch").to(device)
    for name in ("norm1", "norm2"):
        setattr(model, name, nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0))
    for name in ("drop6", "drop7"):
        setattr(model, name, nn.Dropout(0.5))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, weight_decay=5e-4)
    pixels, numbers = _batch()
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().to(device)
    labels = torch.from_numpy(numbers).to(device)

    def step() -> float:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def _batch() -> tuple[Any, Any]:
    import numpy as np

    numbers = np.random.default_rng(0)
    images = numbers.standard_normal((BATCH, 227, 227, 3)).astype("float32")
    return images, numbers.integers(0, 1000, BATCH)
