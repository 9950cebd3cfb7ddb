"""Real tasks: what runs on digits have left in `benchmarks/digits`, and how they were made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from archspec.training.runs import Run, read

RUNS = Path(__file__).with_name("digits")
BOTH = """\
## `alexnet-small` on digits in both backends

    archspec train alexnet-small --backend torch --output torch
    archspec train alexnet-small --backend keras --output keras
    archspec runs compare keras torch --output docs/curves.svg

float32 on the CPU, one thread of a machine that others used too, seed 0. What the runs left is in
`benchmarks/digits`.
"""
EQUAL = """\
Each framework draws its own masks of dropout, so these curves agree as those of two seeds do: from
epoch 15 on, where the learning rate has dropped, within a few of the 359 held-out images. What is
equal is the function: the same network without its two dropout layers, in float64, has the same
curve in both.

    archspec: 1
    name: alexnet-small-no-dropout
    extends: alexnet-small
    changes: [{remove: drop6}, {remove: drop7}]

    archspec train no-dropout.yaml --precision float64 --no-compile --epochs 6 --backend torch
    archspec train no-dropout.yaml --precision float64 --no-compile --epochs 6 --backend keras
"""
AFTER = """\
The difference begins as rounding and is multiplied by training: no two implementations that add in
another order stay together for longer. In PyTorch alone, first weights that differ by 1e-7, the
rounding of float32, lead to another loss (1.6 apart) within 24 steps of this recipe.
"""
WHOLE = """\
## The whole AlexNet at 227 x 227 on digits

    archspec train alexnet --batch-size 16 --epochs 4 --recipe augmentation.horizontal_flip=0 \\
        --recipe augmentation.pca_jitter=null --output alexnet-227

The paper's recipe but for smaller batches and fewer epochs, and without what does not suit digits:
mirror images and colours. On the same CPU, 56,909,194 parameters.
"""


def text() -> Iterator[str]:
    """The sections of `RESULTS.md`."""
    yield BOTH
    yield from _table([RUNS / "torch", RUNS / "keras"])
    yield EQUAL
    yield from _differences([RUNS / "float64-torch", RUNS / "float64-keras"])
    yield AFTER
    yield WHOLE
    yield from _table([RUNS / "alexnet-227"])


def _table(folders: list[Path]) -> Iterator[str]:
    """A row for each run."""
    yield "| run | epochs | first loss | last loss | best top-1 | in epoch | last | images/s |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for run in read(folders).runs:
        yield _row(run)
    yield ""


def _row(run: Run) -> str:
    first, last, best = run.rows[0], run.last, run.best
    assert last is not None
    assert best is not None
    return (
        f"| {run.name} | {last.epoch} | {first.train_loss:.3f} | {last.train_loss:.4f} | "
        f"{best.val_top1:.2%} | {best.epoch} | {last.val_top1:.2%} | {last.images_per_second:.0f} |"
    )


def _differences(folders: list[Path]) -> Iterator[str]:
    """How far two runs are apart in each epoch, relative to the first."""
    one, other = (run.rows for run in read(folders).runs)
    yield "| epoch | training loss | differs by | held-out loss differs by | top-1 | top-1 |"
    yield "|---:|---:|---:|---:|---:|---:|"
    for a, b in zip(one, other, strict=True):
        training = abs(a.train_loss - b.train_loss) / a.train_loss
        held_out = abs(a.val_loss - b.val_loss) / a.val_loss
        yield (
            f"| {a.epoch} | {a.train_loss:.6f} | {training:.0e} | {held_out:.0e} | "
            f"{a.val_top1:.2%} | {b.val_top1:.2%} |"
        )
    yield ""
