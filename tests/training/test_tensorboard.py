"""What TensorBoard reads of a run, with its own readers."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from small_runs import figures, metrics, train
from test_progress import PLAN, ROW

from archspec.diagnostics import ArchspecError
from archspec.training import RunOptions, run
from archspec.training.options import Progress, RunPlan, Silent, Together
from archspec.training.tensorboard import FOLDER, TensorBoard

pytest.importorskip("tensorboard")
# How TensorBoard is told to read files by itself: it takes seconds to import TensorFlow for that.
sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))


def read(folder: Path) -> dict[str, dict[int, float]]:
    """Each tag's values by step; a step that is there twice fails."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    values = {}
    for tag in found.Tags()["scalars"]:
        events = found.Scalars(tag)
        values[tag] = {event.step: event.value for event in events}
        assert len(values[tag]) == len(events), f"{tag} has a step twice"
    return values


def told(message: str) -> None:
    pytest.fail(message)


def board(folder: Path, now: Callable[[], float] = lambda: 1_700_000_000.5) -> TensorBoard:
    found = TensorBoard(told, now)
    found.start(plan(folder))
    return found


def plan(folder: Path) -> RunPlan:
    folder.mkdir(exist_ok=True)
    return replace(PLAN, folder=folder)


def progress(step: int, **figures: Any) -> Progress:
    usual = {"loss": 1 / step, "learning_rate": 0.5, "images_per_second": 8.0, "data_wait": 0.25}
    return Progress(epoch=1, images=step * 4, total=400, step=step, **{**usual, **figures})


def test_every_figure_has_its_step(tmp_path: Path) -> None:
    watcher = board(tmp_path / "run")
    for step in (1, 4, 8):
        watcher.step(progress(step))
    watcher.step(progress(8))  # the end of an epoch is told again
    row = replace(ROW, epoch=1, step=8)
    watcher.epoch(row)
    found = read(tmp_path / "run" / FOLDER)
    assert found["step/loss"] == pytest.approx({1: 1.0, 4: 0.25, 8: 0.125})
    assert found["step/lr"] == {1: 0.5, 4: 0.5, 8: 0.5}
    assert found["step/images_per_second"][4] == 8.0
    assert found["step/data_wait"][4] == 0.25
    expected = {f"epoch/{name}": {8: value} for name, value in vars(row).items() if name != "step"}
    assert {tag: found[tag] for tag in expected} == {
        tag: pytest.approx(values) for tag, values in expected.items()
    }
    assert set(found) == {
        *expected,
        *(f"step/{n}" for n in ("loss", "lr", "images_per_second", "data_wait")),
    }


def test_a_resumed_run_replaces_the_steps_that_it_trains_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first = board(folder)
    for step in (1, 10, 20, 30):
        first.step(progress(step))
    # It died at step 30, its last checkpoint is of step 14; both in the same second.
    second = board(folder)
    for step in (15, 20, 30, 40):
        second.step(progress(step, loss=7.0))
    found = read(folder / FOLDER)
    assert found["step/loss"] == pytest.approx({1: 1, 10: 0.1, 15: 7, 20: 7, 30: 7, 40: 7})
    assert len(list((folder / FOLDER).iterdir())) == 2


def test_a_run_that_is_resumed_at_the_end_of_an_epoch(tmp_path: Path) -> None:
    first = board(tmp_path / "run")
    first.step(progress(8))
    second = board(tmp_path / "run")
    second.epoch(replace(ROW, epoch=1, step=8))
    second.step(progress(9))
    found = read(tmp_path / "run" / FOLDER)
    assert found["epoch/val_top1"] == pytest.approx({8: ROW.val_top1})
    assert 9 in found["step/loss"]


def test_half_an_event_at_the_end_does_no_harm(tmp_path: Path) -> None:
    """A run that is killed while it writes."""
    first = board(tmp_path / "run")
    for step in (1, 2, 3):
        first.step(progress(step))
    (file,) = (tmp_path / "run" / FOLDER).iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    second = board(tmp_path / "run")
    second.step(progress(3))
    second.step(progress(4))
    assert set(read(tmp_path / "run" / FOLDER)["step/loss"]) == {1, 2, 3, 4}


def test_what_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    said: list[str] = []
    watcher = TensorBoard(said.append)
    watcher.start(plan(tmp_path / "run"))
    (tmp_path / "run" / FOLDER).write_text("a file")
    for step in (1, 2, 3):
        watcher.step(progress(step))
    watcher.epoch(ROW)
    assert len(said) == 1
    assert said[0].startswith(f"cannot write {tmp_path}/run/{FOLDER}: File exists; going on")

    said.clear()
    watcher = TensorBoard(said.append)
    watcher.start(plan(tmp_path / "other"))
    watcher.step(progress(1))
    shutil.rmtree(tmp_path / "other" / FOLDER)
    watcher.step(progress(2))
    watcher.step(progress(3))
    assert len(said) == 1
    assert "No such file or directory" in said[0]


def test_no_framework_is_imported() -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from archspec.training.tensorboard import TensorBoard\n"
        "from tensorboard.compat.proto.event_pb2 import Event\n"
        "from tensorboard.summary.writer.record_writer import RecordWriter\n"
        "print(sorted({'torch', 'tensorflow', 'jax', 'keras'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "[]\n", done.stderr


def test_several_watchers_are_all_told(tmp_path: Path) -> None:
    heard: list[str] = []

    class Listener(Silent):
        def __getattribute__(self, name: str) -> Any:
            heard.append(name)
            return super().__getattribute__(name)

    both = Together(Listener(), Listener())
    for name in ("start", "step", "epoch", "warn", "end"):
        getattr(both, name)(None)
        assert heard == [name, name]
        heard.clear()


class TestRuns:
    def test_a_run_and_its_continuation(self, tmp_path: Path) -> None:
        train(tmp_path, epochs=1, tensorboard=True)
        folder = tmp_path / "run"
        run(None, RunOptions(resume=folder, device="cpu", epochs=3))
        found = read(folder / FOLDER)
        rows = figures(folder)
        for name in ("train_loss", "val_loss", "val_top1", "val_top5", "lr"):
            expected = {row["step"]: row[name] for row in rows}
            assert found[f"epoch/{name}"] == pytest.approx(expected, rel=1e-6)
        steps = found["step/loss"]
        assert set(steps) >= {row["step"] for row in metrics(folder)}
        assert sorted(set(found["step/lr"].values())) == pytest.approx([0.005, 0.05], rel=1e-6)

    def test_a_run_without_it_has_none(self, tmp_path: Path) -> None:
        train(tmp_path, epochs=1)
        assert not (tmp_path / "run" / FOLDER).exists()

    def test_without_the_package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        find = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name, *rest: None if name == "tensorboard" else find(name, *rest),
        )
        with pytest.raises(ArchspecError, match=r"pip install 'archspec-nn\[tensorboard\]'"):
            train(tmp_path, epochs=1, tensorboard=True)
        assert not (tmp_path / "run").exists()
        # A run that began with it, on another machine, goes on all the same.
        train(tmp_path, epochs=1)
        (tmp_path / "run" / FOLDER).mkdir()
        said: list[str] = []

        class Listener(Silent):
            def warn(self, message: str) -> None:
                said.append(message)

        run(None, RunOptions(resume=tmp_path / "run", device="cpu", epochs=2), Listener())
        assert len(said) == 1
        assert said[0].endswith("; going on without")

    def test_the_options_are_words_of_the_command(self) -> None:
        words = RunOptions(tensorboard=True, epochs=3).command("alexnet")
        assert words == ["archspec", "train", "alexnet", "--epochs", "3", "--tensorboard"]
        assert "--tensorboard" not in RunOptions().command("alexnet")
