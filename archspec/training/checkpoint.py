"""What a run leaves behind: its resolved spec and recipe, its metrics, its checkpoints.

A checkpoint is a folder with `weights.safetensors` and `optimizer.safetensors` (canonical
names and layout, so any backend can read them) and `state.json`. It is written under another
name and then renamed: a run that dies leaves the checkpoint before.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from archspec import catalog
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.layers.base import Shape, show
from archspec.plain import plain_spec
from archspec.spec.recipe import Recipe
from archspec.training.options import EpochMetrics
from archspec.training.schedule import ScheduleState
from archspec.training.sources import shown
from archspec.weights import store

if TYPE_CHECKING:
    from archspec.backends.base import Array

LAST, BEST = "last", "best"
RUN, CHECKPOINTS = "run.json", "checkpoints"
WEIGHTS, OPTIMIZER = "weights.safetensors", "optimizer.safetensors"


@dataclass(frozen=True)
class Origin:
    """The file whose weights a run began with, and what was not taken from there (`skip`)."""

    file: str
    format: str
    sha256: str
    skip: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunRecord:
    """What a run is, as in its `run.json`.

    `weights` is None where all weights began as the spec says; `freeze` is what the run was told
    to freeze, beside what its spec freezes.
    """

    archspec: str
    network: str
    hash: str
    backend: str
    engine: str
    device: str
    data: str
    limit: int | None
    fingerprint: str
    classes: tuple[str, ...]
    training_images: int
    held_out_images: int
    recipe: Recipe
    weights: Origin | None = None
    freeze: tuple[str, ...] = ()


@dataclass(frozen=True)
class State:
    """Where a run stands between two epochs, as in the `state.json` of a checkpoint."""

    epoch: int
    hash: str
    lr: float
    schedule: ScheduleState
    metrics: tuple[EpochMetrics, ...]


@dataclass(frozen=True)
class Checkpoint:
    """A model between two epochs."""

    weights: dict[str, Array]
    optimizer: dict[str, Array]
    state: State


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run. Its methods raise ArchspecError where it cannot be used."""

    path: Path

    @property
    def spec(self) -> Path:
        """The resolved spec: a plain one without variables."""
        return self.path / "spec.yaml"

    @property
    def weights(self) -> Path:
        """The file with the weights of the best epoch, the last one's where there is no best."""
        folder = self._existing(BEST) or self._existing(LAST)
        if folder is None:
            raise ArchspecError(
                f"the run in {shown(self.path)} has no checkpoint yet; go on with it: "
                f"archspec train --resume {shown(self.path)}"
            )
        return folder / WEIGHTS

    def require_free(self) -> None:
        """Find out that the folder cannot be begun before anything costly is done for it."""
        try:
            taken = self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir()))
        except OSError as error:
            raise _cannot("write", self.path, error) from None
        if not taken:
            return
        if (self.path / RUN).exists():
            advice = f", or go on with that run: --resume {shown(self.path)}"
            raise ArchspecError(f"{shown(self.path)} holds a run; choose another --output{advice}")
        what = "is not empty" if self.path.is_dir() else "is a file"
        raise ArchspecError(f"{shown(self.path)} {what}; choose another --output")

    def create(self, graph: Graph, record: RunRecord, source: str) -> None:
        """Begin a run: write the spec, the resolved recipe and the emitted source."""
        self.require_free()
        with _writing(self.path):
            (self.path / CHECKPOINTS).mkdir(parents=True)
            (self.path / f"model_{record.backend}.py").write_text(source, encoding="utf-8")
        self.describe(graph, record)

    def describe(self, graph: Graph, record: RunRecord) -> None:
        """Write `spec.yaml` and `run.json`, both with the recipe."""
        self._write("spec.yaml", plain_spec(graph, record.recipe))
        text = TypeAdapter(RunRecord).dump_json(record, indent=2).decode()
        self._write(RUN, text + "\n")

    def record(self) -> RunRecord:
        """What `describe` wrote."""
        path = self.path / RUN
        try:
            found: RunRecord = TypeAdapter(RunRecord).validate_json(path.read_bytes())
        except OSError as error:
            reason = f"no {RUN}" if isinstance(error, FileNotFoundError) else error.strerror
            raise ArchspecError(
                f"{shown(self.path)} is not the folder of a run ({reason})"
            ) from None
        except ValidationError as error:
            raise ArchspecError(f"{shown(path)} is damaged: {_first(error)}") from None
        return found

    def write_metrics(self, rows: Sequence[EpochMetrics]) -> None:
        """Write `metrics.jsonl`, one line an epoch."""
        self._write("metrics.jsonl", "".join(json.dumps(asdict(row)) + "\n" for row in rows))

    def append_metrics(self, row: EpochMetrics) -> None:
        """Add the line of an epoch."""
        path = self.path / "metrics.jsonl"
        with _writing(path), path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(row)) + "\n")

    def save(self, graph: Graph, checkpoint: Checkpoint) -> None:
        """Write the last checkpoint of `graph` whole, or leave the one before it."""
        target = self._checkpoint(LAST)
        new = target.with_name(f"{LAST}.new")
        with _writing(target, new):
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir()
            (new / WEIGHTS).write_bytes(store.encode(graph, checkpoint.weights))
            optimizer = store.encode(graph, checkpoint.optimizer, "optimizer")
            (new / OPTIMIZER).write_bytes(optimizer)
            state = TypeAdapter(State).dump_json(checkpoint.state, indent=2)
            (new / "state.json").write_bytes(state + b"\n")
            _replace(new, target)

    def keep_best(self) -> None:
        """Let the last checkpoint be the best too; the two share their files where they can."""
        target = self._checkpoint(BEST)
        new = target.with_name(f"{BEST}.new")
        with _writing(target, new):
            shutil.rmtree(new, ignore_errors=True)
            shutil.copytree(self._checkpoint(LAST), new, copy_function=_link)
            _replace(new, target)

    def load(self, graph: Graph) -> Checkpoint | None:
        """The last checkpoint, whose tensors are those of `graph`; None before the first."""
        folder = self._existing(LAST)
        if folder is None:
            return None
        try:
            state: State = TypeAdapter(State).validate_json((folder / "state.json").read_bytes())
            weights, *_ = store.read(folder / WEIGHTS)
            optimizer, *_ = store.read(folder / OPTIMIZER)
        except ValidationError as error:
            raise ArchspecError(
                f"{shown(folder / 'state.json')} is damaged: {_first(error)}"
            ) from None
        except (OSError, ArchspecError) as error:
            raise ArchspecError(
                f"cannot read the checkpoint {shown(folder)}: {_one_line(error)}"
            ) from None
        shapes = store.tensor_shapes(graph)
        _check(folder / WEIGHTS, weights, shapes, complete=True)
        _check(folder / OPTIMIZER, optimizer, _of_optimizer(optimizer, shapes), complete=False)
        if state.hash != graph.hash or state.epoch != len(state.metrics):
            raise ArchspecError(f"{shown(folder / 'state.json')} belongs to another run")
        return Checkpoint(weights, optimizer, state)

    def _existing(self, name: str) -> Path | None:
        """The folder of a checkpoint, which has another name if the run died between renames."""
        folder = self._checkpoint(name)
        found = (folder, folder.with_name(f"{name}.old"))
        return next((folder for folder in found if folder.is_dir()), None)

    def _checkpoint(self, name: str) -> Path:
        return self.path / CHECKPOINTS / name

    def _write(self, name: str, text: str) -> None:
        """Write a file whole, or leave the one before it."""
        target = self.path / name
        new = target.with_name(f"{name}.new")
        with _writing(target, new):
            new.write_text(text, encoding="utf-8")
            new.replace(target)


def weights_in(path: Path) -> Path:
    """The file that `--weights` means: the path, or what is in the folder of a run or a checkpoint.

    Raises ArchspecError for a folder that is neither.
    """
    if not path.is_dir():
        return path
    if (path / RUN).exists():
        return RunFolder(path).weights
    if (path / WEIGHTS).exists():
        return path / WEIGHTS
    raise ArchspecError(
        f"{shown(path)} is a folder, and neither that of a run ({RUN}) nor a checkpoint "
        f"({WEIGHTS}); give a file of weights"
    )


def run_around(path: Path) -> RunFolder | None:
    """The run whose folder, checkpoint or file of weights a path is; None if it is of no run."""
    # As it is called, and then where `..` and links lead, which hide the names of its folders.
    for place in (path.absolute(), Path(os.path.realpath(path))):
        if (place / RUN).is_file():
            return RunFolder(place)
        checkpoint = place if place.is_dir() else place.parent
        run = checkpoint.parent.parent
        if checkpoint.parent.name == CHECKPOINTS and (run / RUN).is_file():
            return RunFolder(run)
    return None


def spec_of(weights: Path) -> str | Path:
    """What spec is meant where none is named: that of the run the weights are of, or AlexNet."""
    run = run_around(weights)
    return catalog.DEFAULT if run is None else run.spec


def _replace(new: Path, target: Path) -> None:
    """Put a folder in the place of another; at every moment one of the two is whole.

    The one before stands beside as `.old` for that moment, because no folder can replace
    another at once.
    """
    old = target.with_name(f"{target.name}.old")
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        target.replace(old)
    new.replace(target)
    shutil.rmtree(old, ignore_errors=True)


def _link(source: str, target: str) -> None:
    """Copy a file that is never written again: by a link, where the file system has them."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _of_optimizer(state: Iterable[str], shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """The shapes that an optimiser's tensors have: those of the parameters, or a number."""
    found: dict[str, Shape] = {}
    for key in state:
        _, dot, name = key.partition(".")
        if not dot:
            found[key] = ()
        elif name in shapes:
            found[key] = shapes[name]
    return found


def _check(
    path: Path, found: Mapping[str, Array], shapes: Mapping[str, Shape], *, complete: bool
) -> None:
    missing = sorted(shapes.keys() - found.keys()) if complete else []
    if missing:
        raise ArchspecError(f"{shown(path)} lacks {missing[0]}")
    for name, tensor in found.items():
        if tensor.shape != shapes.get(name):
            raise ArchspecError(
                f"{shown(path)} has {shown(name)} of shape {show(tensor.shape) or 'none'}, which "
                "the network in spec.yaml has not"
            )


@contextlib.contextmanager
def _writing(target: Path, new: Path | None = None) -> Iterator[None]:
    """Turn what writing raises into one message; the unfinished `new` goes."""
    try:
        yield
    except OSError as error:
        if new is not None:
            shutil.rmtree(new, ignore_errors=True)
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
        raise _cannot("write", target, error) from None


def _cannot(what: str, path: Path, error: OSError) -> ArchspecError:
    return ArchspecError(f"cannot {what} {shown(path)}: {_one_line(error)}")


def _one_line(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or " ".join(str(error).split())


def _first(error: ValidationError) -> str:
    """Where the first problem of a JSON file is, and what it is."""
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"])
    return shown(f"{place}: {problem['msg']}" if place else problem["msg"])
