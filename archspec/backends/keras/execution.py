"""How Keras computes on its engine: precision, compiled code, deterministic kernels."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
from collections.abc import Iterator
from typing import Any

import keras

from archspec.backends.base import Execution
from archspec.backends.keras import devices, precision
from archspec.backends.keras.parallel import require_devices, several
from archspec.diagnostics import ArchspecError

# Keras' names of the policies that compute in 16 bits and keep weights in float32.
HALVES = {"bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
# Layers of ours that square activations, which float16 cannot hold and bfloat16 would round: they
# compute in float32 whatever surrounds them, as Keras' own normalisations do.
_FULL = ("LocalResponseNorm",)


def settled(wanted: Execution) -> Execution:
    """What is asked for on the device that is there, with nothing left open.

    Raises ArchspecError for what this engine cannot do.
    """
    engine = keras.backend.backend()
    device = _device(wanted.device)
    if wanted.channels_last is False:
        raise ArchspecError("--no-channels-last: Keras models have channels last")
    chosen = dataclasses.replace(
        wanted,
        device=device,
        precision=_precision(wanted, device),
        compile=_compiled(wanted, engine, device),
        channels_last=True,
    )
    require_devices(chosen)
    return chosen


def _device(wanted: str) -> str:
    gpus = [name for name in devices() if name.startswith(("gpu", "cuda"))]
    if wanted == "cuda" and not gpus:
        raise ArchspecError(
            f"--device cuda: Keras on {keras.backend.backend()} sees no GPU; use --device cpu "
            "or auto"
        )
    return "cpu" if wanted == "cpu" or not gpus else "cuda"


def _compiled(wanted: Execution, engine: str, device: str) -> bool:
    """Whether XLA compiles the step. On a CPU it takes TensorFlow longer than it gains."""
    if engine == "torch":
        if wanted.compile:
            raise ArchspecError(
                "--compile: Keras does not compile on PyTorch; set KERAS_BACKEND to tensorflow or "
                "jax, or use --backend torch"
            )
        return False
    if engine == "jax":
        if wanted.compile is False:
            raise ArchspecError(
                "--no-compile: JAX compiles every step; set KERAS_BACKEND to tensorflow or torch"
            )
        return True
    if wanted.group.size > 1:
        if wanted.compile:
            raise ArchspecError(
                "--compile: TensorFlow's processes do not exchange gradients within what XLA "
                "compiles; leave it out, or set KERAS_BACKEND=jax"
            )
        return False
    return device == "cuda" if wanted.compile is None else wanted.compile


def _precision(wanted: Execution, device: str) -> str:
    """The precision on this device: a CPU has no TF32 and computes float32 for it."""
    if device == "cpu":
        exact = wanted.precision in ("auto", "tf32")
        return "float32" if exact else wanted.precision
    if wanted.precision != "auto":
        return wanted.precision
    if wanted.deterministic:
        return "float32"
    # The least capability of an NVIDIA GPU that has tensor cores for it.
    capability = _capability()
    if capability >= (8, 0):
        return "bfloat16"
    return "float16" if capability >= (7, 0) else "float32"


def _capability() -> tuple[int, ...]:
    """The compute capability of the first GPU, (9, 0) for Hopper; () where it has none."""
    engine = importlib.import_module(keras.backend.backend())
    found: Any
    if keras.backend.backend() == "torch":
        found = engine.cuda.get_device_capability()
    elif keras.backend.backend() == "jax":
        found = getattr(engine.devices("gpu")[0], "compute_capability", "0").split(".")
    else:
        gpu = engine.config.list_physical_devices("GPU")[0]
        details = engine.config.experimental.get_device_details(gpu)
        found = details.get("compute_capability", ())
    return tuple(int(part) for part in found)


@contextlib.contextmanager
def arithmetic(execution: Execution) -> Iterator[None]:
    """Where and how Keras makes and computes things inside."""
    exact = execution.precision in ("float64", "float32")
    # Not "cpu:0", for which Keras on PyTorch copies each parameter and trains the copy.
    place = "cpu" if execution.device == "cpu" else "gpu:0"
    kept = "float64" if execution.precision == "float64" else "float32"
    policy = HALVES.get(execution.precision, kept)
    engine = _ENGINES[keras.backend.backend()]
    with (
        keras.device(place),
        precision(kept, policy),
        engine(exact, execution.deterministic),
        several(execution),
    ):
        yield


@contextlib.contextmanager
def _tensorflow(exact: bool, deterministic: bool) -> Iterator[None]:
    """TensorFlow's switches; that to deterministic kernels cannot be taken back."""
    experimental = importlib.import_module("tensorflow").config.experimental
    if deterministic:
        experimental.enable_op_determinism()
    before = experimental.tensor_float_32_execution_enabled()
    experimental.enable_tensor_float_32_execution(not exact)
    try:
        yield
    finally:
        experimental.enable_tensor_float_32_execution(before)


@contextlib.contextmanager
def _jax(exact: bool, deterministic: bool) -> Iterator[None]:
    """JAX's switch; deterministic kernels are an option of what is compiled."""
    jax = importlib.import_module("jax")
    with jax.default_matmul_precision("float32" if exact else "tensorfloat32"):
        yield


@contextlib.contextmanager
def _torch(exact: bool, deterministic: bool) -> Iterator[None]:
    """PyTorch's switches."""
    torch = importlib.import_module("torch")
    products, kernels = torch.backends.cuda.matmul, torch.backends.cudnn
    if deterministic:
        # Before the first product on the device: cuBLAS reads it when it starts.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    strict = torch.are_deterministic_algorithms_enabled()
    before = products.allow_tf32, kernels.allow_tf32
    products.allow_tf32 = kernels.allow_tf32 = not exact
    if deterministic != strict:
        torch.use_deterministic_algorithms(deterministic)
    try:
        yield
    finally:
        products.allow_tf32, kernels.allow_tf32 = before
        if deterministic != strict:
            torch.use_deterministic_algorithms(strict)


_ENGINES = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}


def in_full(model: keras.Model) -> None:
    """Let the layers that need it compute in float32 where the others take 16 bits."""
    for layer in model.layers:
        if type(layer).__name__ in _FULL and layer.compute_dtype in HALVES:
            layer.dtype_policy = "float32"
