"""How PyTorch computes: precision, layout, compiled code, deterministic kernels."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from archspec.backends.base import Execution
from archspec.diagnostics import ArchspecError

# Precisions that matrix products and convolutions are computed in, while weights, sums and the
# loss stay in float32.
HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
# Modules of ours that square activations or keep statistics, which float16 cannot hold and
# bfloat16 would round: they compute in float32 whatever surrounds them, as PyTorch's own
# normalisations do.
_FULL = ("LocalResponseNorm", "BiasedBatchNorm")
# Steps of each way to compute that are timed, after one that is not.
_ROUNDS = 3


def settled(wanted: Execution) -> Execution:
    """What is asked for on the device that is there; `channels_last` and `compile` may stay open.

    Raises ArchspecError for what this device or this PyTorch cannot do.
    """
    device = chosen_device(wanted.device)
    precision = _precision(wanted, device)
    chosen = dataclasses.replace(wanted, device=device, precision=precision)
    if wanted.deterministic and device == "cuda":
        # Before the first product on the device: cuBLAS reads it when it starts.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if device == "cuda" and not wanted.deterministic and precision != "float64":
        return chosen
    # On a CPU neither is worth its time, and what is measured is not determined.
    return dataclasses.replace(
        chosen, compile=bool(wanted.compile), channels_last=bool(wanted.channels_last)
    )


def chosen_device(wanted: str) -> str:
    """The device that is meant by ``cpu``, ``cuda`` or ``auto``. Raises ArchspecError."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ArchspecError(
            "--device cuda: this PyTorch sees no CUDA device; use --device cpu or auto"
        )
    return wanted


def _precision(wanted: Execution, device: str) -> str:
    """The precision on this device: a CPU has no TF32 and computes float32 for it."""
    if device == "cpu":
        exact = wanted.precision in ("auto", "tf32")
        return "float32" if exact else wanted.precision
    # The least capability of an NVIDIA GPU that has tensor cores for it.
    capability = torch.cuda.get_device_capability()
    has = {"bfloat16": capability >= (8, 0), "float16": capability >= (7, 0)}
    if wanted.precision == "auto":
        if wanted.deterministic:
            return "float32"
        return next((half for half in has if has[half]), "float32")
    if wanted.precision == "bfloat16" and not has["bfloat16"]:
        raise ArchspecError(
            f"--precision bfloat16: {torch.cuda.get_device_name()} has none; use float16 or auto"
        )
    return wanted.precision


@contextlib.contextmanager
def arithmetic(execution: Execution) -> Iterator[None]:
    """Set PyTorch's switches, which are the whole process', for what is computed inside."""
    products, kernels = torch.backends.cuda.matmul, torch.backends.cudnn
    before = (
        products.allow_tf32,
        kernels.allow_tf32,
        kernels.benchmark,
        kernels.deterministic,
        torch.are_deterministic_algorithms_enabled(),
    )
    tf32 = execution.precision not in ("float64", "float32")
    same = execution.deterministic
    _switch(tf32, tf32, not same, same, same)
    try:
        yield
    except RuntimeError as error:
        explained = _explained(error, execution)
        if explained is None:
            raise
        raise ArchspecError(explained) from None
    finally:
        _switch(*before)


def _switch(
    products_tf32: bool, kernels_tf32: bool, fastest: bool, same: bool, strict: bool
) -> None:
    torch.backends.cuda.matmul.allow_tf32 = products_tf32
    torch.backends.cudnn.allow_tf32 = kernels_tf32
    torch.backends.cudnn.benchmark = fastest
    torch.backends.cudnn.deterministic = same
    if torch.are_deterministic_algorithms_enabled() != strict:
        torch.use_deterministic_algorithms(strict)


def _explained(error: RuntimeError, execution: Execution) -> str | None:
    """What to do about an operation that has no kernel of the kind that was asked for."""
    text = str(error)
    if execution.deterministic and "deterministic" in text:
        return (
            f"--deterministic: {text.partition(', but you set')[0]}; leave --deterministic out, or "
            "train with --device cpu"
        )
    if execution.precision in HALVES and "not implemented for" in text:
        return f"--precision {execution.precision}: PyTorch on this device says {text}; use float32"
    return None


def arranged(model: torch.nn.Module, execution: Execution) -> None:
    """Move a model to the device, in the precision in which its weights are kept."""
    kept = torch.float64 if execution.precision == "float64" else torch.float32
    model.to(execution.device, kept)
    half = HALVES.get(execution.precision)
    if half is None:
        return
    for module in model.modules():
        if type(module).__name__ in _FULL:
            module.register_forward_pre_hook(_widened)
            module.register_forward_hook(lambda module, given, found: found.to(half))


def _widened(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> Any:
    return tuple(tensor.float() for tensor in given)


def has_maps(model: torch.nn.Module) -> bool:
    """Whether a model has weights whose layout in memory can follow that of its maps."""
    return any(parameter.dim() == 4 for parameter in model.parameters())


def laid_out(model: torch.nn.Module, channels_last: bool) -> None:
    """Let the weights of convolutions lie in memory as the maps do."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model.to(memory_format=layout)


def fastest(
    execution: Execution,
    model: torch.nn.Module,
    step: Callable[[Execution, Any], None],
) -> tuple[Execution, tuple[str, ...]]:
    """Decide by a few steps what `execution` leaves open, and say how long they took.

    `step` computes one as an execution says, with a model that may be compiled; it changes buffers
    and gradients. All processes of a group decide alike. Raises ArchspecError where code that was
    asked for cannot be compiled.
    """
    said: tuple[str, ...] = ()
    if execution.channels_last is None:
        execution, said = _layout(execution, model, step)
    laid_out(model, bool(execution.channels_last))
    if execution.compile is False:
        return execution, said
    plain = execution.group.sum(_seconds(execution, lambda: step(execution, model)))
    expected = _norms(model)
    compiled = torch.compile(model, dynamic=False)
    fault = None
    try:
        seconds = _seconds(execution, lambda: step(execution, compiled))
        if _wrong(_norms(model), expected):
            raise RuntimeError("its gradients are not those of the network")
    except Exception as error:  # PyTorch has many for it, most of them private
        if _is_ours(error):
            raise
        fault, seconds = error, np.array(np.inf)
    seconds = execution.group.sum(seconds)
    if execution.compile is None:
        better, words = _better(
            ("compiled", "not compiled"), (seconds, plain), execution
        )
        if not np.isfinite(seconds):
            words = f"not compiled: {_reason(fault)}"
        return dataclasses.replace(execution, compile=better), (*said, words)
    if not np.isfinite(seconds):
        raise ArchspecError(
            f"--compile: PyTorch cannot compile for this device: {_reason(fault)}; use --no-compile"
        )
    return execution, said


def _norms(model: torch.nn.Module) -> Any:
    """The norm of each parameter's gradient; 0 where it has none."""
    gradients = (parameter.grad for parameter in model.parameters())
    return np.array([0.0 if g is None else float(g.norm()) for g in gradients])


def _wrong(found: Any, expected: Any) -> bool:
    """Whether compiled code loses or blows up a gradient.

    PyTorch 2.13 compiles AlexNet for a CPU to code whose gradients are 0 before the dense layers.
    What dropout draws is another thing in compiled code, so norms are compared, and coarsely; tiny
    ones are left out, which are rounding alone before a batch normalisation.
    """
    counted = expected > 1e-3 * expected.max(initial=0.0)
    found, expected = found[counted], expected[counted]
    return not bool(np.all((found > 0.1 * expected) & (found < 10 * expected)))


def _layout(
    execution: Execution,
    model: torch.nn.Module,
    step: Callable[[Execution, Any], None],
) -> tuple[Execution, tuple[str, ...]]:
    ways = [
        dataclasses.replace(execution, channels_last=last) for last in (True, False)
    ]
    if not has_maps(model):
        return ways[1], ()
    times = []
    for way in ways:
        laid_out(model, bool(way.channels_last))
        times.append(_seconds(way, functools.partial(step, way, model)))
    names = "channels last", "channels first"
    better, said = _better(names, execution.group.sum(np.array(times)), execution)
    return ways[not better], (said,)


def _seconds(execution: Execution, step: Callable[[], None]) -> Any:
    """The least time that a step takes."""

    def once() -> float:
        began = time.perf_counter()
        step()
        if execution.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    once()
    return np.array(min(once() for _ in range(_ROUNDS)))


def _better(
    names: tuple[str, str], seconds: Any, execution: Execution
) -> tuple[bool, str]:
    """Whether the first takes less time: "channels last (3.1 ms a step, channels first 4.2 ms)"."""
    first = bool(seconds[0] < seconds[1])
    ways = zip(names, seconds, strict=True)
    (chosen, least), (other, most) = sorted(
        ways, key=lambda way: (way[0] == names[0]) != first
    )
    each = 1e3 / execution.group.size
    said = f"{chosen} ({least * each:.3g} ms a step, {other} {most * each:.3g} ms)"
    return first, said


def _is_ours(error: Exception) -> bool:
    return isinstance(error, (ArchspecError, torch.OutOfMemoryError))


def _reason(error: Exception | None) -> str:
    """The first line of a message that says something; another process has its own."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if error is not None and lines else "another process cannot"
