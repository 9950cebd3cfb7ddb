"""Local response normalisation, eager, against `torch.nn.LocalResponseNorm`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.measure import Row, in_turn, milliseconds

SHAPES = ((16, 96, 55, 55), (16, 256, 27, 27))
ROUNDS = 12


def rows() -> Iterator[Row]:
    """Both layers of AlexNet, forward and with backward, in PyTorch and in Keras."""
    for shape in SHAPES:
        yield from _torch(shape)
        yield from _keras(shape)


def _peer(shape: tuple[int, ...]) -> tuple[Any, Any]:
    import torch

    torch.manual_seed(0)
    image = torch.randn(shape, requires_grad=True)
    return image, torch.nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


def _passes(module: Any, image: Any, *, backward: bool) -> Callable[[], object]:
    import torch

    upstream = torch.ones_like(image)

    def forward_only() -> object:
        with torch.no_grad():
            return module(image)

    def both() -> object:
        image.grad = None
        module(image).backward(upstream)
        return image.grad

    return both if backward else forward_only


def _torch(shape: tuple[int, ...]) -> Iterator[Row]:
    import torch

    from archspec.backends.torch.modules import LocalResponseNorm

    image, theirs = _peer(shape)
    mine = LocalResponseNorm(5, 1e-4, 0.75, 2.0)
    torch.testing.assert_close(mine(image), theirs(image))
    for backward in (False, True):
        yield _row(
            "PyTorch", shape, backward, _passes(mine, image, backward=backward), theirs, image
        )


def _keras(shape: tuple[int, ...]) -> Iterator[Row]:
    from archspec.backends.keras import choose_engine

    choose_engine()
    import keras

    from archspec.backends.keras.modules import LocalResponseNorm

    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow

    image, theirs = _peer(shape)
    mine = LocalResponseNorm(5, 1e-4, 0.75, 2.0)
    last = tensorflow.constant(image.detach().permute(0, 2, 3, 1).numpy())

    def forward_only() -> object:
        return mine(last).numpy()

    def both() -> object:
        with tensorflow.GradientTape() as tape:
            tape.watch(last)
            output = mine(last)
        return tape.gradient(output, last).numpy()

    for backward in (False, True):
        yield _row(
            "Keras on TensorFlow",
            shape,
            backward,
            both if backward else forward_only,
            theirs,
            image,
        )


def _row(
    where: str,
    shape: tuple[int, ...],
    backward: bool,
    mine: Callable[[], object],
    theirs: Any,
    image: Any,
) -> Row:
    ours, peer, ratio = in_turn(mine, _passes(theirs, image, backward=backward), ROUNDS, 2)
    what = "forward and backward" if backward else "forward"
    return Row(
        f"LRN in {where}, {' x '.join(map(str, shape))}, {what}, eager",
        milliseconds(ours),
        milliseconds(peer),
        ratio,
        "1",
    )
