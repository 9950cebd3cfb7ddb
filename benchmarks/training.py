"""Training steps: archspec's in both backends, against what people write by hand.

The peers are given everything but archspec's trainer: the same network and the same batch, which
lies in memory already. All are timed in turn in one process, until the device is done.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import archspec
from benchmarks.measure import Row, in_turn, milliseconds

# Steps of one round: a round ends with a look at the loss, as a run's every half second.
STEPS = 4


@dataclass(frozen=True)
class Case:
    """A network and a batch; `rounds` of `STEPS` steps are timed."""

    network: str
    batch: int
    rounds: int
    steps: int = STEPS

    def __str__(self) -> str:
        return f"{self.network}, batch {self.batch}"


CPU = (
    Case("alexnet-small", 16, 9),
    Case("alexnet-small", 64, 5, 2),
    Case("alexnet", 32, 5, 1),
)
GPU = (Case("alexnet-small", 64, 9, 50), Case("alexnet", 128, 9, 20), Case("alexnet", 512, 9, 8))

# One round: so many steps, the last one's loss read.
Round = Callable[[], float]


def rows() -> Iterator[Row]:
    """Steps on the CPU, and on a GPU where PyTorch sees one."""
    import torch

    for case in CPU:
        yield from cpu(case)
    if torch.cuda.is_available():
        for case in GPU:
            yield from gpu(case)
    else:
        yield Row("training steps on a GPU: PyTorch sees no CUDA device here", "", "", None, "")


def cpu(case: Case) -> Iterator[Row]:
    """In float32, which is what a CPU computes in unless it is told otherwise."""
    ours, peer = rounds_of("torch", case, "cpu"), plain_torch(case, "cpu")
    yield compared(case, "cpu", "PyTorch", "a plain loop with optim.SGD", ours, peer, "1")
    yield share(case, "cpu", "float32", ours)
    own, lrn = ours, plain_torch(case, "cpu", standard=True)
    yield compared(
        case, "cpu", "PyTorch", "the same with nn.LocalResponseNorm and nn.Dropout", own, lrn, "1"
    )
    keras, fit = rounds_of("keras", case, "cpu"), plain_keras(case)
    engine = os.environ["KERAS_BACKEND"]
    yield compared(case, "cpu", f"Keras on {engine}", "a plain `fit`", keras, fit, "1")
    yield compared(case, "cpu", f"Keras on {engine}", "archspec's PyTorch", keras, ours, "0.77")


def gpu(case: Case) -> Iterator[Row]:
    """As `archspec train` computes there by itself."""
    ours = rounds_of("torch", case, "cuda")
    plain, tuned = plain_torch(case, "cuda"), tuned_torch(case)
    yield compared(case, "cuda", "PyTorch", "a plain float32 loop", ours, plain, "3")
    words = "a loop tuned by hand (bfloat16, compiled, channels last, fused)"
    yield compared(case, "cuda", "PyTorch", words, ours, tuned, "1")
    yield share(case, "cuda", "bfloat16", ours)
    import keras

    from archspec.backends.keras import devices

    if any(name.startswith(("gpu", "cuda")) for name in devices()):
        words = f"Keras on {keras.backend.backend()}"
        own = rounds_of("keras", case, "cuda")
        yield compared(case, "cuda", words, "a plain float32 `fit`", own, plain_keras(case), "3")


def compared(
    case: Case, device: str, who: str, whom: str, ours: Round, peer: Round, target: str
) -> Row:
    mine, theirs, ratio = in_turn(ours, peer, case.rounds, 2)
    return Row(
        f"{case}, training step in {who}, {device}, against {whom}",
        speed(case, mine),
        speed(case, theirs),
        ratio,
        target,
    )


def speed(case: Case, seconds: float) -> str:
    """Time of a step, and images a second."""
    each = seconds / case.steps
    return f"{milliseconds(each)} ({case.batch / each:,.0f} images/s)"


def share(case: Case, device: str, precision: str, ours: Round) -> Row:
    """The matrix products of a step against the rate of one large product, measured in turn."""
    product, operations = large_product(device, precision)
    mine, seconds, _ = in_turn(ours, product, case.rounds, 1)
    analysis = archspec.analyze(archspec.load(case.network))
    each = analysis.totals.training_step_matmul_flops * case.batch * case.steps / mine
    peak = operations / seconds
    printed = data_sheet(precision) if device == "cuda" else None
    beside = "" if printed is None else f"; {each / printed:.0%} of the data sheet's"
    return Row(
        f"{case}, {device}, products of a training step against one large product in {precision}",
        f"{each / 1e12:.3g} TFLOP/s{beside}",
        f"{peak / 1e12:.3g} TFLOP/s",
        each / peak,
        "",
    )


def large_product(device: str, precision: str) -> tuple[Round, float]:
    """A product of two square matrices, and its operations: the rate that can be had."""
    import torch

    size = 8192 if device == "cuda" else 1536
    left, right = (
        torch.randn(size, size, device=device, dtype=getattr(torch, precision)) for _ in range(2)
    )
    return lambda: float((left @ right)[0, 0]), 2.0 * size**3


def data_sheet(precision: str) -> float | None:
    """The rate that the vendor prints for the GPU at hand, if archspec knows it."""
    import torch

    from archspec.analysis.devices import shipped_devices

    name = torch.cuda.get_device_name().lower()
    for device in shipped_devices().values():
        words = device.name.replace("-", " ").split()
        if all(word in name.replace("-", " ").split() for word in words):
            return next((rate for kind, rate in device.peak.items() if kind == precision), None)
    return None


def rounds_of(backend: str, case: Case, device: str) -> Round:
    """The steps that `archspec train` takes."""
    from archspec.backends import get_backend
    from archspec.backends.base import Execution, TrainableBackend
    from archspec.backends.initial import initial_weights
    from archspec.spec.recipe import DEFAULT_RECIPE

    net = archspec.load(case.network)
    recipe = (net.spec.training or DEFAULT_RECIPE).model_copy(update={"batch_size": case.batch})
    chosen = get_backend(backend)
    chosen.require()
    assert isinstance(chosen, TrainableBackend)
    trainer = chosen.trainer(net, recipe, initial_weights(net, 0), Execution(device))
    images, labels = batch(case)

    def run() -> float:
        for number in range(case.steps):
            trainer.reseed(number)
            loss = trainer.step(images, labels, 0.001)
        return float(loss)

    return run


def plain_torch(case: Case, device: str, standard: bool = False) -> Round:
    """What a person would write: the model, a loss, an optimiser.

    With `standard`, normalisation and dropout are those of torch.nn.
    """
    import torch
    from torch import nn

    model = archspec.build(case.network, backend="torch").to(device)
    if standard:
        for name in ("norm1", "norm2"):
            setattr(model, name, nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0))
        for name in ("drop6", "drop7"):
            setattr(model, name, nn.Dropout(0.5))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, weight_decay=5e-4)
    pixels, numbers = batch(case)

    def step() -> Any:
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().to(device)
        labels = torch.from_numpy(numbers).to(device)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return repeated(case, step)


def tuned_torch(case: Case) -> Round:
    """What an expert would write for a GPU that has bfloat16."""
    import torch
    from torch import nn

    torch.backends.cudnn.benchmark = True
    model: Any = archspec.build(case.network, backend="torch").to("cuda")
    model = model.to(memory_format=torch.channels_last)
    compiled = torch.compile(model)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.001, momentum=0.9, weight_decay=5e-4, fused=True
    )
    pixels, numbers = batch(case)
    pinned, answers = torch.from_numpy(pixels).pin_memory(), torch.from_numpy(numbers).pin_memory()

    def step() -> Any:
        images = pinned.to("cuda", non_blocking=True).permute(0, 3, 1, 2)
        labels = answers.to("cuda", non_blocking=True)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16):
            loss = nn.functional.cross_entropy(compiled(images), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return repeated(case, step)


def repeated(case: Case, step: Callable[[], Any]) -> Round:
    def run() -> float:
        for _ in range(case.steps):
            loss = step()
        return float(loss)

    return run


def plain_keras(case: Case) -> Round:
    """`compile` and `fit`, on arrays in memory."""
    import keras
    import numpy as np

    model = archspec.build(case.network, backend="keras")
    model.compile(
        optimizer=keras.optimizers.SGD(0.001, momentum=0.9, weight_decay=5e-4),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    pixels, numbers = batch(case)
    images, labels = (np.concatenate([part] * case.steps) for part in (pixels, numbers))

    def run() -> float:
        found = model.fit(images, labels, batch_size=case.batch, epochs=1, verbose=0, shuffle=False)
        history: Mapping[str, list[float]] = found.history
        return float(history["loss"][-1])

    return run


def batch(case: Case) -> tuple[Any, Any]:
    """Images N,H,W,C in float32, and labels."""
    import numpy as np

    net = archspec.load(case.network)
    channels, height, width = net.input_shape
    classes = int(net.variables.get("classes", 1000))
    numbers = np.random.default_rng(0)
    images = numbers.standard_normal((case.batch, height, width, channels)).astype("float32")
    return images, numbers.integers(0, classes, case.batch)
