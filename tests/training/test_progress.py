"""What a run prints, with and without a terminal."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from small_runs import recipe

from archspec.report.progress import HEADER, TrainingReport
from archspec.training.options import EpochMetrics, Progress, RunPlan, RunSummary

PLAN = RunPlan(
    execution="bfloat16, channels last",
    choices=("channels last (3.1 ms a step, channels first 4.2 ms)",),
    title="AlexNet [Krizhevsky]", backend="torch", engine="PyTorch 2.13.0", device="cpu",
    data="digits", classes=10, training_images=1438, held_out_images=359, params=1_234_567,
    recipe=recipe(epochs=90), folder=Path("runs/alexnet-torch-20260101-000000"), first_epoch=1,
    images_per_epoch=1408, trained_params=1_234_567,
)  # fmt: skip
ROW = EpochMetrics(7, 308, 12.3456, 10.2345, 0.9731, 1.0, 0.01, 12345.6, 0.01)
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Screen:
    """A report on a console of 80 columns, in a time that moves when it is told to."""

    def __init__(self, *, terminal: bool) -> None:
        self.seconds = 0.0
        self.stream = io.StringIO()
        console = Console(file=self.stream, force_terminal=terminal, width=80, legacy_windows=False)
        self.report = TrainingReport(console, lambda: self.seconds)

    def step(self, epoch: int, images: int, seconds: float) -> None:
        self.seconds += seconds
        self.report.step(
            Progress(
                epoch,
                images,
                1408,
                step=images // 32,
                loss=2.30259,
                learning_rate=0.00123,
                images_per_second=1234.5,
                data_wait=0.014,
            )
        )

    @property
    def text(self) -> str:
        return ESCAPES.sub("", self.stream.getvalue())


@pytest.fixture(params=[True, False], ids=["terminal", "plain"])
def screen(request: pytest.FixtureRequest) -> Screen:
    return Screen(terminal=request.param)


def test_the_first_lines(screen: Screen) -> None:
    screen.report.start(PLAN)
    screen.report.close()
    assert screen.text.startswith(
        "AlexNet [Krizhevsky], 1,234,567 parameters\n"
        "on PyTorch 2.13.0, cpu, bfloat16, channels last\n"
        "        channels last (3.1 ms a step, channels first 4.2 ms)\n"
        "data digits: 10 classes, 1,438 training and 359 held-out images\n"
        "recipe: 90 epochs, batch 4, sgd, learning rate 0.01 (constant),\n"
        "        momentum 0, weight decay 0, seed 0\n"
        "run folder runs/alexnet-torch-20260101-000000\n"
        f"\n{HEADER}\n"
    )


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        replace(ROW, epoch=90, images_per_second=98765.4, val_top1=1.0),
        replace(ROW, epoch=1, train_loss=0.0001, images_per_second=0.4, val_top1=0.0),
    ],
)
def test_the_line_of_an_epoch_fits_80_columns(screen: Screen, row: EpochMetrics) -> None:
    screen.report.start(PLAN)
    screen.step(1, 32, 1.0)
    screen.seconds = 7_000_000.0
    screen.report.epoch(row)
    screen.report.close()
    lines = screen.text.splitlines()
    (line,) = [line for line in lines if line.startswith(f"{row.epoch}/90".rjust(7))]
    assert len(line.rstrip()) <= 80
    assert len(HEADER) <= 80
    expected = [f"{row.epoch}/90", f"{row.train_loss:.4f}", f"{row.val_loss:.4f}"]
    expected += [f"{row.val_top1:.2%}", f"{row.val_top5:.2%}", f"{row.lr:.3g}"]
    expected += [f"{row.images_per_second:,.0f}", f"{row.data_wait:.0%}"]
    assert line.split()[:8] == expected


def test_columns_stand_under_their_names() -> None:
    screen = Screen(terminal=False)
    screen.report.start(PLAN)
    screen.report.epoch(ROW)
    header, line = screen.text.splitlines()[-2:]
    ends = [match.end() for match in re.finditer(r"\S+( \S+)?(?=  |$)", header)]
    assert [match.end() for match in re.finditer(r"\S+", line)] == ends


def test_plain_lines_come_every_15_seconds() -> None:
    screen = Screen(terminal=False)
    screen.report.start(PLAN)
    before = screen.text
    for images in range(32, 1408, 32):
        screen.step(1, images, 1.0)
    said = screen.text.removeprefix(before).splitlines()
    assert len(said) == 4
    # 14 of 44 steps are done in the 14 seconds since the first: a second a step.
    left = 90 * 44 - 15
    assert said[:2] == [
        f"  epoch 1: 480/1,408 images, {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left",
        "    loss 2.3026, lr 0.00123, 1,234 images/s, data wait 1%",
    ]


def test_after_an_epoch_its_accuracy_is_shown() -> None:
    screen = Screen(terminal=False)
    screen.report.start(PLAN)
    screen.step(7, 1408, 20.0)
    screen.report.epoch(ROW)
    screen.step(8, 32, 20.0)
    assert screen.text.splitlines()[-1] == (
        "    loss 2.3026, top-1 97.31%, lr 0.00123, 1,234 images/s, data wait 1%"
    )


def test_whatever_a_recipe_says_is_shown() -> None:
    """The optimiser's settings and whatever is not left at its default, in 80 columns."""
    chosen = recipe(
        optimizer={"type": "sgd", "learning_rate": 0.01, "momentum": 0.9, "weight_decay": 0.0005},
        schedule={"type": "steps", "epochs": list(range(2, 60, 2)), "factor": 0.5},
        parameters=[{"match": "*.bias", "learning_rate": 2}],
        augmentation={"random_crop": {"padding": 4}, "horizontal_flip": 0.5},
    )
    screen = Screen(terminal=False)
    screen.report.start(replace(PLAN, recipe=chosen))
    lines = screen.text.splitlines()
    assert max(map(len, lines)) <= 80
    said = " ".join(screen.text.split())
    for item in (
        "sgd, learning rate 0.01 (steps), momentum 0.9, weight decay 0.0005,",
        "1 rule for parameters, random crop, horizontal flip, seed 0",
    ):
        assert item in said


def test_no_line_at_the_end_of_an_epoch() -> None:
    screen = Screen(terminal=False)
    screen.report.start(PLAN)
    before = screen.text
    screen.step(1, 32, 60.0)
    screen.step(1, 1408, 60.0)
    assert screen.text.removeprefix(before).count("\n") == 2


def test_compiling_does_not_count_for_the_time_left() -> None:
    screen = Screen(terminal=False)
    screen.report.start(replace(PLAN, recipe=recipe(epochs=2)))
    screen.step(1, 704, 1000.0)  # half an epoch in the first step
    screen.step(1, 1408, 10.0)
    screen.report.epoch(replace(ROW, epoch=1))
    assert screen.text.splitlines()[-1].split()[-1] == "0:20"


def test_a_resumed_run_knows_its_time_left() -> None:
    screen = Screen(terminal=False)
    screen.report.start(replace(PLAN, recipe=recipe(epochs=10), first_epoch=9))
    assert "going on after epoch 8\n" in screen.text
    screen.step(9, 704, 5.0)
    screen.step(9, 1408, 5.0)
    screen.report.epoch(replace(ROW, epoch=9))
    assert screen.text.splitlines()[-1].split()[-1] == "0:10"
    screen.report.epoch(replace(ROW, epoch=10))
    assert screen.text.splitlines()[-1].split()[-1] == "0:00"


def test_the_bar() -> None:
    screen = Screen(terminal=True)
    screen.report.start(PLAN)
    screen.step(1, 32, 1.0)
    screen.step(1, 704, 21.0)
    screen.report.epoch(ROW)
    screen.step(8, 704, 1.0)
    assert screen.report._live is not None
    screen.report._live.refresh()
    screen.report.close()
    shown = screen.text.replace("\r", "\n").splitlines()
    assert any(line.startswith("epoch 1/90 ━") and line.endswith(" left") for line in shown)
    figures = "loss 2.3026, top-1 97.31%, lr 0.00123, 1,234 images/s, data wait 1%"
    assert any(line.rstrip() == figures for line in shown)
    assert max(map(len, shown)) <= 80
    assert "…" not in screen.text


def test_the_end(screen: Screen) -> None:
    screen.report.start(PLAN)
    best = replace(ROW, epoch=5, val_top1=0.98)
    screen.report.end(RunSummary(PLAN.folder, 90, 90, 3725.0, ROW, best))
    assert screen.text.endswith(
        "\n"
        "held-out top-1 97.31% after 90 epochs (best 98.00% in epoch 5), 1:02:05\n"
        "metrics     runs/alexnet-torch-20260101-000000/metrics.jsonl\n"
        "checkpoints runs/alexnet-torch-20260101-000000/checkpoints, the best is step-00000308\n"
    )


def test_a_run_that_had_ended(screen: Screen) -> None:
    screen.report.end(RunSummary(Path("run"), 1, 0, 0.0, ROW, ROW))
    assert screen.text.startswith(
        "held-out top-1 97.31% after 1 epoch (best 97.31% in epoch 7)\n"
        "the run has ended; --epochs 2 or more trains it longer\n"
    )


def test_warnings_stand_in_a_line(screen: Screen) -> None:
    screen.report.start(PLAN)
    screen.report.warn("the disk is\nnearly full \x1b[31m")
    screen.report.close()
    assert "warning: the disk is nearly full ?[31m\n" in screen.text


def test_an_interrupted_run_says_how_to_go_on(screen: Screen) -> None:
    screen.report.interrupted()
    assert screen.text == ""
    screen.report.start(PLAN)
    screen.report.interrupted()
    assert screen.text.endswith(
        "left at once, after the last checkpoint nothing is saved; go on with archspec train "
        f"--resume {PLAN.folder}\n"
    )


def test_a_run_that_was_asked_to_stop(screen: Screen) -> None:
    screen.report.start(PLAN)
    screen.report.stopped()
    assert screen.text.endswith(
        f"stopped and saved; go on with archspec train --resume {PLAN.folder}\n"
    )


def test_a_warning(screen: Screen) -> None:
    """Before the run begins too, and in the middle of it."""
    screen.report.warn("a checkpoint is\x1b[31m damaged")
    screen.report.start(PLAN)
    screen.report.warn("the disk is [full]")
    screen.report.close()
    assert screen.text.startswith("warning: a checkpoint is?[31m damaged\n")
    assert "warning: the disk is [full]\n" in screen.text


def test_a_run_that_goes_on_within_an_epoch(screen: Screen) -> None:
    screen.report.start(replace(PLAN, first_epoch=3, first_batch=1017))
    screen.report.close()
    assert "going on in epoch 3, after batch 1,017\n" in screen.text


def test_long_paths_are_not_broken(screen: Screen) -> None:
    folder = Path("long" * 40) / "with [brackets] and\x1b[31m colour"
    screen.report.start(replace(PLAN, folder=folder, data=f"folder:{folder}"))
    screen.report.close()
    shown = str(folder).replace("\x1b", "?")
    assert f"run folder {shown}\n" in screen.text
    assert f"data folder:{shown}: 10 classes" in screen.text
