"""Runs that are stopped anywhere go on as if they had not been, to the last bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small_runs import BACKENDS, TINY, checkpoint, figures, metrics, resume, tensors, train

from archspec.backends import get_backend
from archspec.diagnostics import ArchspecError
from archspec.training import RunOptions, run
from archspec.training import checkpoint as checkpoints
from archspec.training.data import Images
from archspec.training.options import RunPlan, Silent
from archspec.training.saving import Interval
from archspec.training.schedule import Schedule
from archspec.training.stopping import SIGNALS, Signals, Stopped

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
    .replace("learning_rate: 0.05", "learning_rate: 0.001")
)
KINDS = {
    "sgd": EVERYTHING,
    "nesterov": EVERYTHING.replace("momentum: 0.9", "momentum: 0.9, nesterov: true"),
    "adam": EVERYTHING.replace(
        "{type: sgd, learning_rate: 0.001, momentum: 0.9, weight_decay: 0.0005}",
        "{type: adam, learning_rate: 0.003}",
    )
    .replace("{type: plateau, patience: 1, drops: 3, factor: 0.5}", "{type: cosine}")
    .replace(
        "  preprocessing:",
        "  warmup: {epochs: 1}\n  gradient_clipping: 0.5\n  label_smoothing: 0.1\n"
        "  augmentation: {horizontal_flip: 0.5, random_resized_crop: {scale: [0.5, 1]}}\n"
        "  preprocessing:",
    ),
}
STEPS = 6
Arrange = Callable[[str, str, int, Callable[[], None]], None]


class Killed(BaseException):
    """What nothing catches: the process is gone."""


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Arrange:
    """Lets something happen in a call of a trainer's method, which counts from 1."""

    def arrange(backend: str, method: str, number: int, action: Callable[[], None]) -> None:
        monkeypatch.undo()
        monkeypatch.setattr(checkpoints.durable.os, "fsync", lambda descriptor: None)
        get_backend(backend).require()
        if backend == "torch":
            from archspec.backends.torch.trainer import TorchTrainer as Trainer
        else:
            from archspec.backends.keras.trainer import KerasTrainer as Trainer
        watched(monkeypatch, Trainer, method, number, action)

    return arrange


def watched(
    monkeypatch: pytest.MonkeyPatch, owner: Any, method: str, number: int, action: Any
) -> None:
    call, calls = getattr(owner, method), []

    def asked(*arguments: Any, **options: Any) -> Any:
        calls.append(method)
        if len(calls) == number:
            action()
        return call(*arguments, **options)

    monkeypatch.setattr(owner, method, asked)


def send(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def die() -> None:
    raise Killed


def place(folder: Path) -> list[int]:
    state = json.loads((checkpoint(folder) / "state.json").read_text())
    return [state[name] for name in ("epoch", "batch", "step")]


def assert_same(folder: Path, whole: Path) -> None:
    states = [json.loads((checkpoint(path) / "state.json").read_text()) for path in (folder, whole)]
    for state in states:
        for row in state["metrics"]:
            del row["images_per_second"], row["data_wait"]
    assert states[0] == states[1]
    assert figures(folder) == figures(whole)
    assert tensors(folder) == tensors(whole)
    assert tensors(folder, "best") == tensors(whole, "best")


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Path]]:
    """Runs that nothing interrupted, one for each backend and kind."""
    made: dict[tuple[str, str], Path] = {}

    def whole(backend: str, kind: str = "sgd") -> Path:
        if (backend, kind) not in made:
            folder = tmp_path_factory.mktemp(backend)
            made[backend, kind] = train(folder, KINDS[kind], backend=backend).folder
        return made[backend, kind]

    return whole


@pytest.mark.parametrize(
    ("backend", "what"),
    [
        *(("torch", kind) for kind in KINDS),
        # Keras compiles for seconds; SGD is what the other tests have it do.
        pytest.param("keras", "adam", marks=pytest.mark.xdist_group("keras")),
    ],
)
def test_a_signal_in_a_step(
    backend: str, what: str, tmp_path: Path, wholes: Callable[..., Path], at: Arrange
) -> None:
    """The step ends, the run is saved behind it, and goes on there: in the second epoch too."""
    whole = wholes(backend, what)
    assert len({row["lr"] for row in metrics(whole)}) > 1
    for number in (4, 6, 9) if backend == "torch" and what == "sgd" else (9,):
        kind = signal.SIGINT if number % 2 else signal.SIGTERM
        at(backend, "step", number, send(kind))
        output = tmp_path / str(number)
        with pytest.raises(Stopped) as stopped:
            train(tmp_path, KINDS[what], backend=backend, output=output)
        assert (stopped.value.signal, stopped.value.folder) == (kind, output)
        before, batch = divmod(number - 1, STEPS)
        assert place(output) == [before + 1, batch + 1, number]
        assert resume(output).trained == 3 - before
        assert_same(output, whole)


@both
def test_a_signal_while_an_epoch_is_scored(
    backend: str, tmp_path: Path, wholes: Callable[..., Path], at: Arrange
) -> None:
    """The scoring is broken off, and is all that is left to do of the epoch."""
    at(backend, "logits", 3, send(signal.SIGTERM))  # two batches an epoch
    with pytest.raises(Stopped):
        train(tmp_path, EVERYTHING, backend=backend)
    assert place(tmp_path / "run") == [2, STEPS, 2 * STEPS]
    assert len(metrics(tmp_path / "run")) == 1
    at(backend, "step", 1, send(signal.SIGTERM))  # the first step after it is one of epoch 3
    with pytest.raises(Stopped):
        resume(tmp_path / "run")
    assert place(tmp_path / "run") == [3, 1, 2 * STEPS + 1]
    resume(tmp_path / "run")
    assert_same(tmp_path / "run", wholes(backend))


def test_a_signal_while_images_are_read(
    tmp_path: Path, wholes: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = Images.batches

    def slow(*arguments: Any, **options: Any) -> Iterator[Any]:
        for number, batch in enumerate(batches(*arguments, **options)):
            if number == 2 and options:
                os.kill(os.getpid(), signal.SIGINT)
            yield batch

    with monkeypatch.context() as patched:
        patched.setattr(Images, "batches", slow)
        with pytest.raises(Stopped):
            train(tmp_path, EVERYTHING)
    assert place(tmp_path / "run") == [1, 3, 3]
    resume(tmp_path / "run")
    assert_same(tmp_path / "run", wholes("torch"))


@pytest.mark.parametrize("number", [2, 3], ids=["within an epoch", "at its end"])
def test_a_signal_in_a_save(
    tmp_path: Path, wholes: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The save is finished, the run stops behind the next step."""
    with monkeypatch.context() as patched:
        folder = checkpoints.durable
        watched(patched, folder, "write_folder", number, send(signal.SIGINT))
        with pytest.raises(Stopped):
            train(tmp_path, EVERYTHING, save_every="4")
    assert place(tmp_path / "run") == ([1, 5, 5] if number == 2 else [2, 1, 7])
    resume(tmp_path / "run")
    assert_same(tmp_path / "run", wholes("torch"))


@pytest.mark.parametrize("kind", SIGNALS)
def test_a_second_signal_leaves_at_once(
    tmp_path: Path, wholes: Callable[..., Path], at: Arrange, kind: int
) -> None:
    """It does what it would have done without a run, here: in the very step."""

    def leave(number: int, frame: object) -> None:
        raise Killed

    before = {number: signal.signal(number, leave) for number in SIGNALS}
    try:
        taken: list[int] = []

        def twice() -> None:
            os.kill(os.getpid(), kind)
            taken.append(1)
            os.kill(os.getpid(), kind)
            taken.append(2)

        at("torch", "step", 9, twice)
        with pytest.raises(Killed):
            train(tmp_path, EVERYTHING)
        assert taken == [1]
        assert [signal.getsignal(number) for number in SIGNALS] == [leave, leave]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert place(tmp_path / "run") == [2, 0, STEPS]
    resume(tmp_path / "run")
    assert_same(tmp_path / "run", wholes("torch"))


def test_handlers_are_those_of_before(tmp_path: Path) -> None:
    """After a run, and in another thread, where none may be set."""
    before = [signal.getsignal(number) for number in SIGNALS]
    with Signals() as signals:
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert signals.received is None
    assert [signal.getsignal(number) for number in SIGNALS] == before
    ended = []
    thread = threading.Thread(
        target=lambda: ended.append(train(tmp_path, epochs=1, limit=20).trained)
    )
    thread.start()
    thread.join()
    assert ended == [1]


def test_two_processes_on_one_run(tmp_path: Path, at: Arrange) -> None:
    """The second one, a job that was queued again, is told; it writes nothing."""
    said: list[str] = []

    def second() -> None:
        before = tensors(tmp_path / "run")
        with pytest.raises(ArchspecError) as caught:
            resume(tmp_path / "run")
        said.append(str(caught.value))
        assert tensors(tmp_path / "run") == before

    at("torch", "step", 2, second)
    train(tmp_path, epochs=1)
    assert said == [f"another process trains the run in {tmp_path}/run; end it first"]


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As in what runs in the background of a script."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGINT)
        assert signals.received is None
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.xdist_group("keras")
def test_keras_dies_anywhere(
    tmp_path: Path, wholes: Callable[..., Path], at: Arrange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a step, in the scoring, in the middle of a save: one run after the other goes on."""
    run = tmp_path / "run"

    def go() -> None:
        if run.exists():
            resume(run)
        else:
            train(tmp_path, EVERYTHING, backend="keras", save_every="2")

    def dies() -> None:
        with pytest.raises(Killed):
            go()

    at("keras", "step", 4, die)
    dies()
    assert place(run) == [1, 2, 2]
    at("keras", "logits", 2, die)
    dies()
    assert place(run) == [1, 6, 6]
    at("keras", "step", 100, die)
    watched(monkeypatch, Path, "replace", 4, die)  # spec.yaml, run.json, those before
    dies()
    monkeypatch.undo()
    resume(run)
    assert_same(run, wholes("keras"))


@pytest.mark.slow
def test_fifty_kills(tmp_path: Path) -> None:
    """`kill -9` at fifty moments of short runs, also while they are saved."""
    script = Path(__file__).with_name("killing.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    *moments, told = done.stdout.splitlines()
    assert json.loads(told)["kills"] == 50
    assert len(moments) == 30
    assert set(moments) >= {"open", "replace", "fsync", "step"}


def test_any_number_of_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on until it is stopped does not look at all of its epochs first."""

    class Stop(Silent):
        def start(self, plan: RunPlan) -> None:
            raise KeyboardInterrupt

    rate, asked = Schedule.rate, []

    def counted(self: Any, *where: int) -> float:
        asked.append(where)
        assert len(asked) < 100
        return rate(self, *where)

    folder = train(tmp_path, epochs=1, limit=30).folder
    monkeypatch.setattr(Schedule, "rate", counted)
    with pytest.raises(KeyboardInterrupt):
        run(None, RunOptions(resume=folder, device="cpu", epochs=1000), Stop())
    assert asked


@pytest.mark.parametrize(("what", "warnings"), [("sgd", 0), ("adam", 1)])
def test_other_epochs_than_the_schedule_fell_over(tmp_path: Path, what: str, warnings: int) -> None:
    class Heard(Silent):
        def warn(self, message: str) -> None:
            heard.append(message)

    heard: list[str] = []
    folder = train(tmp_path, KINDS[what], epochs=2, limit=30).folder
    run(None, RunOptions(resume=folder, device="cpu"), Heard())
    assert heard == []
    run(None, RunOptions(resume=folder, device="cpu", epochs=3), Heard())
    assert len(heard) == warnings
    for said in heard:
        assert said.startswith("with 3 epochs instead of 2 the schedule has other learning rates;")


class TestInterval:
    @pytest.mark.parametrize(
        ("text", "steps", "seconds"),
        [
            ("1", 1, None), ("500", 500, None), ("90s", None, 90.0), ("10m", None, 600.0),
            ("1.5h", None, 5400.0), ("0.1s", None, 0.1),
        ],
    )  # fmt: skip
    def test_what_is_read(self, text: str, steps: int | None, seconds: float | None) -> None:
        assert Interval.parse(text) == Interval(steps, seconds)

    @pytest.mark.parametrize(
        "text", ["0", "", "-5", "10 m", "0m", "1d", "m", "1e3", "٣", "inf", "nan", "9" * 20, "1.5"]
    )
    def test_what_is_not(self, text: str) -> None:
        with pytest.raises(ArchspecError, match=r"^--save-every is a number of steps, such as "):
            Interval.parse(text)

    def test_it_is_refused_before_anything_is_written(self, tmp_path: Path) -> None:
        with pytest.raises(ArchspecError, match=r"^--save-every"):
            train(tmp_path, save_every="often")
        assert not (tmp_path / "run").exists()

    def test_by_the_clock(self, tmp_path: Path) -> None:
        """Each step is later than the last by more than this, so each is saved."""
        train(tmp_path, epochs=1, save_every="0.000001s")
        names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
        assert names == ["step-00000005", "step-00000006"]

    def test_a_run_remembers_it(self, tmp_path: Path, at: Arrange) -> None:
        at("torch", "step", 3, die)
        with pytest.raises(Killed):
            train(tmp_path, save_every="2")
        at("torch", "step", 3, die)
        with pytest.raises(Killed):
            resume(tmp_path / "run")
        assert place(tmp_path / "run") == [1, 4, 4]
        at("torch", "step", 2, die)
        with pytest.raises(Killed):
            resume(tmp_path / "run", save_every="1")
        assert place(tmp_path / "run") == [1, 5, 5]
        assert json.loads((tmp_path / "run" / "run.json").read_text())["save_every"] == "1"
