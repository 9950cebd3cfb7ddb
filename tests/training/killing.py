"""A short run that is killed fifty times: `python killing.py FOLDER` prints what came of it.

The process imports PyTorch once, has one thread when it forks, and its children train. Thirty of
them kill themselves at every third of the moments at which something is written, named, deleted or
computed: while a folder is begun, in saves, in steps; twenty are killed by a clock.
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from small_runs import DROPOUT, checkpoint, resume, tensors, train

from archspec.backends.torch.trainer import TorchTrainer
from archspec.training import durable
from archspec.training.checkpoint import RunFolder

# Four steps in each of three epochs, dropout and momentum; every step is saved.
TEXT = DROPOUT.replace("epochs: 4", "epochs: 3").replace("mean: data, std: data", "mean: [78]")
OPTIONS: dict[str, Any] = {"limit": 40, "save_every": "1"}
COUNTED, TIMED = 30, 20
MOMENTS = [
    (Path, "open"), (Path, "mkdir"), (Path, "replace"), (Path, "unlink"), (Path, "touch"),
    (durable.os, "fsync"), (durable.shutil, "rmtree"),
    (TorchTrainer, "step"), (TorchTrainer, "logits"),
]  # fmt: skip


def go(folder: Path, run: Path) -> None:
    """Begin a run, or go on with what is there."""
    if (run / "run.json").exists():
        resume(run)
    else:
        train(folder, TEXT, output=run, **OPTIONS)


def forked(call: Callable[[], None]) -> int:
    """The process that makes a call and then ends."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            call()
            status = 0
        except BaseException as error:  # nothing else would tell of it
            print(repr(error), file=sys.stderr, flush=True)
        os._exit(status)
    return pid


def dying(number: int) -> None:
    """Let this process be killed before the moment of this number, which counts from 1."""
    left = number

    def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            reads = name == "open" and arguments[1:2] in ((), ("rb",))
            left -= not reads
            if left == 0:
                print(name, flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return asked

    for owner, name in MOMENTS:
        setattr(owner, name, watched(name, getattr(owner, name)))


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    durable.os.fsync = lambda descriptor: None  # a process dies, and not the machine
    whole = folder / "whole"
    go(folder, whole)
    gc.collect()
    assert threading.active_count() == 1
    began = time.monotonic()
    os.waitpid(forked(lambda: go(folder, folder / "again")), 0)
    took = time.monotonic() - began
    assert tensors(folder / "again") == tensors(whole)
    draws = random.Random(0)
    runs, kills, ended = 1, 0, 0
    while kills < COUNTED + TIMED or ended < runs:
        run = folder / f"run{runs}"
        number = kills + 1

        def child(run: Path = run, number: int = number) -> None:
            if number <= COUNTED:
                dying(3 * number - 2)
            go(folder, run)

        pid = forked(child)
        if COUNTED < number <= COUNTED + TIMED:
            time.sleep(draws.uniform(0, took / 2))
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            kills += 1
            if (run / "run.json").exists():  # whatever it did, a whole checkpoint is there
                RunFolder(run).load(lambda message: sys.exit(message))
            continue
        assert os.WEXITSTATUS(status) == 0
        assert tensors(run) == tensors(whole)
        assert tensors(run, "best") == tensors(whole, "best")
        ended += 1
        if kills < COUNTED + TIMED:
            runs += 1
    names = [path.name for path in checkpoint(whole).parent.iterdir()]
    print(json.dumps({"kills": kills, "runs": runs, "ended": ended, "kept": sorted(names)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
