"""The processes that `torchrun` started, as one group."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from archspec.diagnostics import ArchspecError

if TYPE_CHECKING:
    from archspec.backends.base import Array, Doubles

# How long a process waits for the others before it takes them for dead: longer than the slowest
# image, checkpoint or compilation.
PATIENCE = timedelta(minutes=10)
# The key under which processes count those that failed.
FAILED = "failed"
# What gloo, NCCL and the store say of a process that is gone.
LOST = re.compile(
    r"gloo|NCCL|TCPStore|Connection|Broken pipe|Timed out|wait timeout", re.I
)
# Each group of a process has its own keys in the store, which may outlive it.
_NUMBERS = itertools.count()


class TorchGroup:
    """Processes that run the same program, each on its part of every batch.

    Numbers of the host travel by gloo, gradients on CUDA by NCCL. Raises ArchspecError where the
    processes do not find one another, or are more than the GPUs of this machine.
    """

    def __init__(self, device: str) -> None:
        if device == "cuda":
            torch.cuda.set_device(own_gpu(torch.cuda.device_count()))
        try:
            store, self.rank, self.size = next(rendezvous("env://", timeout=PATIENCE))
            self._store = dist.PrefixStore(f"archspec-{next(_NUMBERS)}", store)
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo",
                store=self._store,
                rank=self.rank,
                world_size=self.size,
                timeout=PATIENCE,
            )
        except (RuntimeError, ValueError) as error:
            raise ArchspecError(
                f"this process did not find the others: {_first_line(error)}; start all with "
                "torchrun, which sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT"
            ) from None

    def sum(self, numbers: Array) -> Doubles:
        own = torch.from_numpy(np.array(numbers, "float64"))
        parts = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(parts, own)
        # In the order of the ranks, so that the last bits depend on nothing else.
        return np.stack([part.numpy() for part in parts]).sum(axis=0)

    def any(self, flag: bool) -> bool:
        return bool(self.sum(np.array([flag])) > 0)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not self._first_to_fail():
                raise SystemExit(2) from None
            told = error
            if not isinstance(error, ArchspecError) and LOST.search(str(error)):
                told = ArchspecError(
                    f"process {self.rank} of {self.size} lost another one, which ended without a "
                    "message: killed, perhaps for want of memory; --resume goes on from the last "
                    "checkpoint"
                )
            if isinstance(told, ArchspecError):
                _tell_torchrun(f"archspec: {told}")
            if told is error:
                raise
            raise told from None
        finally:
            self.close()

    def close(self) -> None:
        if dist.is_initialized():
            dist.destroy_process_group()

    def _first_to_fail(self) -> bool:
        """Whether no other process failed before this one."""
        try:
            return bool(self._store.add(FAILED, 1) == 1)
        except RuntimeError:
            return True  # the process that had the store is gone, and may have said nothing


def own_gpu(gpus: int) -> int:
    """The number of the GPU of this process. Raises ArchspecError where it has none."""
    number = int(os.environ.get("LOCAL_RANK", "0"))
    if number >= gpus:
        count = os.environ.get("LOCAL_WORLD_SIZE", str(number + 1))
        raise ArchspecError(
            f"{count} processes want a GPU each and PyTorch sees {gpus} here; start as many: "
            f"--nproc-per-node {gpus}"
        )
    return number


def _tell_torchrun(message: str) -> None:
    """Leave a message that torchrun prints last, after lines of its own."""
    file = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if file:
        details = {"py_callstack": message, "timestamp": str(int(time.time()))}
        text = json.dumps({"message": {"message": message, "extraInfo": details}})
        with contextlib.suppress(OSError):
            Path(file).write_text(text, encoding="utf-8")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
