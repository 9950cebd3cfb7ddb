"""What test_many_devices.py runs in each of two processes that torchrun starts."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch

from archspec.training import RunOptions, run
from archspec.training.options import Progress, Silent
from archspec.training.stopping import Stopped


class Terminate(Silent):
    """Lets the process that reports, and no other, be told to stop in the second epoch."""

    def step(self, progress: Progress) -> None:
        if progress.epoch == 2:
            signal.raise_signal(signal.SIGTERM)


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    rank = int(os.environ["RANK"])
    for spec in sorted(folder.glob("*.yaml")):
        options = RunOptions(limit=75, device="cpu", output=folder / f"{spec.stem}-two")
        run(spec, options)
    divided = RunOptions(limit=75, device="cpu", output=folder / "divided", shard_model=True)
    run(folder / "sgd.yaml", divided)

    stopped = RunOptions(limit=75, device="cpu", output=folder / "stopped", save_every="1000")
    try:
        run(folder / "sgd.yaml", stopped, Terminate())
    except Stopped as error:
        (folder / f"stopped-{rank}").write_text(str(error.signal))
    run(None, RunOptions(resume=folder / "begun", device="cpu", epochs=3))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
