"""One model on several devices in Keras: those of a process on JAX, or a process for each."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Any

import keras

from archspec.backends.base import Execution
from archspec.backends.keras import devices
from archspec.diagnostics import ArchspecError


def require_devices(execution: Execution) -> None:
    """Raise ArchspecError where this engine does not train on so many devices in one process."""
    count, engine = execution.devices, keras.backend.backend()
    if count == 1:
        return
    if engine != "jax":
        advice = (
            "start a process for each, with TF_CONFIG"
            if engine == "tensorflow"
            else "use --backend torch with torchrun"
        )
        raise ArchspecError(
            f"--devices {count}: Keras divides a batch among the devices of one process on JAX "
            f"alone; set KERAS_BACKEND=jax, or {advice}"
        )
    found = _devices(execution)
    if len(found) < count:
        raise ArchspecError(
            f"--devices {count}: JAX sees {len(found)} ({', '.join(found)})"
        )


def several(execution: Execution) -> AbstractContextManager[Any]:
    """Where each batch is divided among the devices, and every variable is on all of them.

    JAX divides arrays and not the program, so that the model computes what it would on one device:
    batch norm and dropout are those of the whole batch.
    """
    if execution.devices == 1:
        return contextlib.nullcontext()
    chosen = _devices(execution)[: execution.devices]
    scope: AbstractContextManager[Any] = keras.distribution.DataParallel(
        devices=chosen
    ).scope()
    return scope


def divided(arrays: list[Any]) -> list[Any]:
    """Arrays of a batch on the devices of the scope that is entered, each with its part."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return arrays
    return [
        keras.distribution.distribute_tensor(
            keras.ops.convert_to_tensor(array),
            distribution.get_data_layout(array.shape),
        )
        for array in arrays
    ]


def _devices(execution: Execution) -> list[str]:
    """The devices of the kind that the execution says."""
    kind = "cpu" if execution.device == "cpu" else "gpu"
    return [
        name for name in devices() if name.partition(":")[0] in (kind, execution.device)
    ]
