"""Runs that are stopped anywhere go on as if they had not been, to the last bit."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small_runs import BACKENDS, TINY, checkpoint, figures, metrics, resume, tensors, train

from archspec.backends import get_backend
from archspec.training.stopping import Stopped

both = pytest.mark.parametrize("backend", BACKENDS)

# All that a run remembers: momentum, running statistics, masks of dropout, a plateau that drops in
# the second epoch already. 50 images make six steps an epoch.
EVERYTHING = (
    TINY.replace(
        "  - {name: relu,",
        "  - {name: norm, type: batch_norm, eps: 1.0e-3, decay: 0.9}\n  - {name: relu,",
    )
    .replace("  - {name: fc,", "  - {name: drop, type: dropout, rate: 0.5}\n  - {name: fc,")
    .replace(
        "{type: steps, epochs: [3], factor: 0.1}",
        "{type: plateau, patience: 1, drops: 3, factor: 0.5}",
    )
    .replace("epochs: 4", "epochs: 3")
    .replace("learning_rate: 0.05", "learning_rate: 0.0009765625")
)
STEPS = 6


class Killed(BaseException):
    """What nothing catches: the process is gone."""


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int, Callable[[], None]], None]:
    """Lets something happen before a step of a run, which counts from 1, once."""

    def arrange(backend: str, number: int, action: Callable[[], None]) -> None:
        get_backend(backend).require()
        if backend == "torch":
            from archspec.backends.torch.trainer import TorchTrainer as Trainer
        else:
            from archspec.backends.keras.trainer import KerasTrainer as Trainer
        step, taken = Trainer.step, []

        def watched(self: Any, *arguments: Any) -> Any:
            taken.append(1)
            if len(taken) == number:
                action()
            return step(self, *arguments)

        monkeypatch.setattr(Trainer, "step", watched)

    return arrange


def send(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def die() -> None:
    raise Killed


def same(folder: Path, whole: Path) -> bool:
    states = [json.loads((checkpoint(path) / "state.json").read_text()) for path in (folder, whole)]
    for state in states:
        for row in state["metrics"]:
            del row["images_per_second"], row["data_wait"]
    return (
        states[0] == states[1]
        and figures(folder) == figures(whole)
        and tensors(folder) == tensors(whole)
        and tensors(folder, "best") == tensors(whole, "best")
    )


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """Runs that nothing interrupted, one a backend."""
    made: dict[str, Path] = {}

    def whole(backend: str) -> Path:
        if backend not in made:
            folder = tmp_path_factory.mktemp(backend)
            made[backend] = train(folder, EVERYTHING, backend=backend).folder
        return made[backend]

    return whole


@both
def test_a_signal_in_each_step(
    backend: str, tmp_path: Path, wholes: Callable[[str], Path], at_step: Any
) -> None:
    """The step ends, the run is saved behind it, and goes on there: in the second epoch too."""
    whole = wholes(backend)
    assert len({row["lr"] for row in metrics(whole)}) > 1
    stops = (4, 6, 9) if backend == "torch" else (9,)
    for number in stops:
        kind = signal.SIGINT if number % 2 else signal.SIGTERM
        at_step(backend, number, send(kind))
        output = tmp_path / str(number)
        with pytest.raises(Stopped) as stopped:
            train(tmp_path, EVERYTHING, backend=backend, output=output)
        assert (stopped.value.signal, stopped.value.folder) == (kind, output)
        state = json.loads((checkpoint(output) / "state.json").read_text())
        before, batch = divmod(number - 1, STEPS)
        assert [state[name] for name in ("epoch", "batch", "step")] == [
            before + 1, batch + 1, number,
        ]  # fmt: skip
        summary = resume(output)
        assert (summary.epochs, same(output, whole)) == (3, True)
