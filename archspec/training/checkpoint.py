"""What a run leaves behind: its resolved spec and recipe, its metrics, its checkpoints.

A checkpoint is the folder `checkpoints/step-00000089` with the weights and the optimiser's numbers
(canonical names and layout, so any backend can read them), `state.json` with everything else that
a run needs to go on, the spec and recipe that they belong to, and a manifest (`durable`). The last
two are kept, and that of the best epoch: where one is damaged, the one before it is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from archspec import catalog, loading
from archspec.diagnostics import ArchspecError, SpecError, listing, shortened
from archspec.graph import Graph
from archspec.layers.base import Shape, show
from archspec.plain import plain_spec
from archspec.spec.recipe import Recipe
from archspec.training import durable
from archspec.training.options import SAVE_EVERY, EpochMetrics, OnNan
from archspec.training.schedule import ScheduleState
from archspec.training.sources import shown
from archspec.weights import store
from archspec.weights.files import MAX_HEADER

if TYPE_CHECKING:
    from archspec.backends.base import Array

RUN, CHECKPOINTS, METRICS = "run.json", "checkpoints", "metrics.jsonl"
WEIGHTS, OPTIMIZER, STATE, SPEC = (
    "weights.safetensors",
    "optimizer.safetensors",
    "state.json",
    "spec.yaml",
)
# Checkpoints that are kept beside that of the best epoch.
KEPT = 2
# What a folder holds in which a run is about to begin, until it has begun.
BEGINNING = ".beginning"
# Bytes of a file of a checkpoint at most. Tensors are held against their network besides.
_LIMITS = {WEIGHTS: 1 << 44, OPTIMIZER: 1 << 44, STATE: 64 << 20, SPEC: 64 << 20}
_NAME = re.compile(r"step-(\d{8,15})(\.old)?")
# Numbers that an optimiser keeps for each weight at most, of eight bytes at most.
_STATES = 4 * 8


@dataclass(frozen=True)
class Origin:
    """The file whose weights a run began with, and what was not taken from there (`skip`)."""

    file: str
    format: str
    sha256: str
    skip: tuple[str, ...] = ()


@dataclass(frozen=True)
class Computation:
    """How a run computes, as `archspec.backends.base.Execution` has it once it is settled."""

    precision: str
    compile: bool
    channels_last: bool
    deterministic: bool


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
    execution: Computation = Computation("float32", False, False, False)
    weights: Origin | None = None
    freeze: tuple[str, ...] = ()
    save_every: str = SAVE_EVERY
    on_nan: OnNan = "stop"


@dataclass
class State:
    """Where a run stands between two steps, but for its tensors; the `state.json` of a checkpoint.

    `network` and `recipe` are the hashes of what it belongs to. `batch` batches of `epoch`, which
    counts from 1, are trained, and `step` since the run began; all of an epoch's batches are
    where it has not been scored yet. `losses` is the sum of the `counted` losses of this epoch.
    `skipped` steps were left out since the run began, because they led to NaN or infinity, and of
    those the last `in_a_row`.
    `lr` is the learning rate of the last step, `metrics` has a row for each epoch before.
    """

    network: str
    recipe: str
    lr: float
    epoch: int = 1
    batch: int = 0
    step: int = 0
    losses: float = 0.0
    counted: int = 0
    skipped: int = 0
    in_a_row: int = 0
    schedule: ScheduleState = field(default_factory=ScheduleState)
    metrics: list[EpochMetrics] = field(default_factory=list)

    def end_epoch(self, row: EpochMetrics, schedule: ScheduleState) -> None:
        """Stand before the next epoch."""
        self.metrics.append(row)
        self.schedule = schedule
        self.epoch, self.batch, self.losses, self.counted = self.epoch + 1, 0, 0.0, 0

    @property
    def best(self) -> EpochMetrics | None:
        """The epoch with the highest held-out top-1, the first of several."""
        return max(self.metrics, key=lambda row: row.val_top1, default=None)


@dataclass(frozen=True)
class Checkpoint:
    """A model and its optimiser between two steps."""

    weights: dict[str, Array]
    optimizer: dict[str, Array]
    state: State


class InUse(ArchspecError):
    """Another process trains the run."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run. Its methods raise ArchspecError where it cannot be used."""

    path: Path

    @property
    def spec(self) -> Path:
        """The resolved spec: a plain one without variables."""
        return self.path / SPEC

    @property
    def way_on(self) -> str:
        """The command that goes on with the run."""
        return f"archspec train --resume {shlex.quote(shown(self.path))}"

    @property
    def weights(self) -> Path:
        """The file with the weights of the best epoch, the last ones before the first has ended."""
        newest = next((path for path in self._saved() if _damage(path) is None), None)
        state = _state(newest) if newest is not None else None
        if newest is None or state is None or not state.step:
            raise ArchspecError(
                f"the run in {shown(self.path)} has no trained weights yet; go on with it: "
                f"{self.way_on}"
            )
        if state.best is None:
            return newest / WEIGHTS
        best = self._checkpoint(state.best.step)
        damage = _damage(best)
        if damage is not None:
            raise ArchspecError(
                f"the best checkpoint {shown(best)} is damaged: {damage}; the last one is whole: "
                f"--weights {shown(newest)}"
            )
        return best / WEIGHTS

    def checkpoint(self, name: str) -> Path:
        """The folder of the checkpoint that `best`, `last` or `step-89` means.

        Raises ArchspecError.
        """
        if name == "best":
            return self.weights.parent
        saved = self._saved()
        if name == "last":
            found = next((path for path in saved if _damage(path) is None), None)
        else:
            digits = name.removeprefix("step-")
            wanted = int(digits) if name != digits and digits.isdecimal() else None
            found = next((path for path in saved if _step(path) == wanted), None)
        if found is None:
            there = [f"step-{_step(path)}" for path in reversed(saved)]
            have = f"; there are {listing(dict.fromkeys(there))}" if there else ""
            raise ArchspecError(
                f"{shown(self.path)} has no checkpoint `{shortened(name)}`: it is `best`, `last` "
                f"or `step-N`{have}"
            )
        damage = _damage(found)
        if damage is not None:
            raise ArchspecError(f"the checkpoint {shown(found)} is damaged: {damage}")
        return found

    def require_free(self) -> None:
        """Find out that the folder cannot be begun before anything costly is done for it."""
        try:
            found = [path.name for path in self.path.iterdir()] if self.path.is_dir() else []
            taken = bool(found) if self.path.is_dir() else self.path.exists()
        except OSError as error:
            raise _cannot("write", self.path, error) from None
        if RUN in found:
            advice = f", or go on with that run: --resume {shown(self.path)}"
            raise ArchspecError(f"{shown(self.path)} holds a run; choose another --output{advice}")
        if not taken or BEGINNING in found:
            return
        what = "is not empty" if self.path.is_dir() else "is a file"
        raise ArchspecError(f"{shown(self.path)} {what}; choose another --output")

    def create(self, graph: Graph, record: RunRecord, source: str, checkpoint: Checkpoint) -> None:
        """Begin a run: write the spec, the resolved recipe, the emitted source, a checkpoint.

        It can be gone on with from the moment at which its `run.json` is there. What a run left
        that died before is replaced.
        """
        self.require_free()
        with _writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / BEGINNING).touch()
            durable.remove(self.path / CHECKPOINTS)
            (self.path / CHECKPOINTS).mkdir()
            durable.write_file(self.path / f"model_{record.backend}.py", source.encode())
        self.save(graph, plain_spec(graph, record.recipe), checkpoint)
        self.describe(graph, record)

    def describe(self, graph: Graph, record: RunRecord) -> None:
        """Write `spec.yaml` and `run.json`, both with the recipe."""
        self._write(SPEC, plain_spec(graph, record.recipe))
        text = _records().dump_json(record, indent=2).decode()
        self._write(RUN, text + "\n")
        with _writing(self.path):
            (self.path / BEGINNING).unlink(missing_ok=True)

    def record(self) -> RunRecord:
        """What `describe` wrote."""
        path = self.path / RUN
        try:
            found: RunRecord = _records().validate_json(path.read_bytes())
        except OSError as error:
            reason = f"no {RUN}" if isinstance(error, FileNotFoundError) else error.strerror
            raise ArchspecError(
                f"{shown(self.path)} is not the folder of a run ({reason})"
            ) from None
        except ValidationError as error:
            raise ArchspecError(f"{shown(path)} is damaged: {_first(error)}") from None
        return found

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let nobody else train this run meanwhile. Raises InUse where somebody does."""
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(durable.locked(self.path))
            except durable.Locked:
                raise InUse(
                    f"another process trains the run in {shown(self.path)}; end it first"
                ) from None
            yield

    def write_metrics(self, rows: Sequence[EpochMetrics]) -> None:
        """Let `metrics.jsonl` have these lines, one an epoch.

        The last one is appended, so that who follows the file sees it come; only a file that does
        not have those before it is written anew.
        """
        path = self.path / METRICS
        lines = [json.dumps(asdict(row)) + "\n" for row in rows]
        with _writing(path):
            found = path.read_text(encoding="utf-8") if path.exists() else ""
            if lines and found == "".join(lines[:-1]):
                with path.open("a", encoding="utf-8") as stream:
                    stream.write(lines[-1])
            elif found != "".join(lines):
                durable.write_file(path, "".join(lines).encode())

    def save(self, graph: Graph, spec: str, checkpoint: Checkpoint) -> None:
        """Write a checkpoint of `graph` whole, then delete those that are no longer kept.

        `spec` is its text with the recipe. Where it cannot be written, all that were there are
        there.
        """
        state = checkpoint.state
        target = self._checkpoint(state.step)
        with _writing(target):
            durable.write_folder(
                target,
                {
                    WEIGHTS: store.encode(graph, checkpoint.weights),
                    OPTIMIZER: store.encode(graph, checkpoint.optimizer, "optimizer"),
                    STATE: _states().dump_json(state, indent=2) + b"\n",
                    SPEC: spec.encode(),
                },
            )
        steps = sorted(
            {step for step in map(_step, self._saved()) if step <= state.step}, reverse=True
        )
        kept = {f"step-{step:08d}" for step in steps[:KEPT]}
        if state.best is not None:
            kept.add(self._checkpoint(state.best.step).name)
        # What a run left that died in a save has no such name, and goes too.
        for path in (self.path / CHECKPOINTS).iterdir():
            if path.name not in kept:
                with contextlib.suppress(OSError):
                    durable.remove(path)

    def load(self, warn: Callable[[str], None]) -> tuple[Graph, Checkpoint]:
        """The last whole checkpoint, and the network and recipe that it belongs to.

        `warn` is told of those that are damaged. Raises ArchspecError where all are.
        """
        damaged: list[str] = []
        for path in self._saved():
            try:
                found = _read(path)
            except durable.Damaged as error:
                damaged.append(f"{path.name}: {error}")
                continue
            for said in damaged:
                warn(f"a checkpoint is damaged, {said}; going on from {path.name}")
            return found
        what = f"no whole checkpoint ({'; '.join(damaged)})" if damaged else "no checkpoint"
        raise ArchspecError(
            f"{shown(self.path)} has {what}; put its checkpoints back or start a new run"
        )

    def _saved(self) -> list[Path]:
        """The folders of checkpoints, the newest first.

        One that was being replaced when the run died stands behind its successor.
        """
        folder = self.path / CHECKPOINTS
        try:
            found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
        except OSError:
            return []
        return sorted(found, key=lambda path: (-_step(path), path.name))

    def _checkpoint(self, step: int) -> Path:
        return self.path / CHECKPOINTS / f"step-{step:08d}"

    def _write(self, name: str, text: str) -> None:
        with _writing(self.path / name):
            durable.write_file(self.path / name, text.encode())


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


@cache
def _records() -> TypeAdapter[RunRecord]:
    return TypeAdapter(RunRecord)


@cache
def _states() -> TypeAdapter[State]:
    return TypeAdapter(State)


def recipe_hash(recipe: Recipe) -> str:
    """SHA-256 of what a recipe does in an epoch: all that is not a default but their number."""
    content = recipe.model_dump(mode="json", exclude_defaults=True, exclude={"epochs", "ignore"})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _step(path: Path) -> int:
    """The step of a checkpoint's folder."""
    return int(path.name.removesuffix(durable.OLD).removeprefix("step-"))


def _damage(path: Path) -> str | None:
    """What is wrong with a checkpoint, by its manifest and its state."""
    try:
        durable.require_whole(path, _LIMITS)
        _state(path)
    except durable.Damaged as error:
        return str(error)
    return None


def _state(path: Path) -> State:
    """The state of a checkpoint. Raises Damaged."""
    try:
        found: State = _states().validate_json((path / STATE).read_bytes())
    except ValidationError as error:
        raise durable.Damaged(f"{STATE} is no state of a run: {_first(error)}") from None
    except OSError as error:
        raise durable.Damaged(f"{STATE}: {error.strerror}") from None
    counts = (
        found.batch,
        found.step,
        found.counted,
        found.skipped,
        found.in_a_row,
        found.epoch - 1 - len(found.metrics),
    )
    if min(counts) < 0 or found.epoch - 1 != len(found.metrics):
        raise durable.Damaged(f"{STATE} contradicts itself")
    return found


def _read(path: Path) -> tuple[Graph, Checkpoint]:
    """A checkpoint and its network. Raises Damaged.

    A manifest finds what has changed; whoever changes that too finds the rest looked at.
    """
    durable.require_whole(path, _LIMITS)
    state = _state(path)
    try:
        graph = loading.buildable(loading.load(path / SPEC))
    except SpecError as error:
        raise durable.Damaged(f"{SPEC}: {error.diagnostics[0].message}") from None
    recipe = graph.spec.training
    if recipe is None or (graph.hash, recipe_hash(recipe)) != (state.network, state.recipe):
        raise durable.Damaged(f"{SPEC} is not what {STATE} belongs to")
    shapes = store.tensor_shapes(graph)
    room = sum(math.prod(shape) for shape in shapes.values()) * _STATES + MAX_HEADER
    arrays = []
    for name in (WEIGHTS, OPTIMIZER):
        if (path / name).stat().st_size > room:
            raise durable.Damaged(f"{name} is larger than its network can make it")
        try:
            arrays.append(store.read(path / name)[0])
        except ArchspecError as error:
            raise durable.Damaged(str(error)) from None
    weights, optimizer = arrays
    missing = sorted(shapes.keys() - weights.keys())
    if missing:
        raise durable.Damaged(f"{WEIGHTS} lacks {missing[0]}")
    _check(WEIGHTS, weights, shapes)
    # `velocity.conv1.weight` is of the shape of conv1.weight or one number, as `count` is.
    of = {key: shapes.get(key.partition(".")[2]) for key, array in optimizer.items() if array.ndim}
    _check(OPTIMIZER, {key: optimizer[key] for key in of}, of)
    return graph, Checkpoint(weights, optimizer, state)


def _check(file: str, found: Mapping[str, Array], shapes: Mapping[str, Shape | None]) -> None:
    for name, tensor in found.items():
        if tensor.shape != shapes.get(name):
            raise durable.Damaged(
                f"{file} has {shown(name)} of shape {show(tensor.shape) or 'none'}, which "
                f"the network in {SPEC} has not"
            )


@contextlib.contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Turn what writing raises into one message."""
    try:
        yield
    except OSError as error:
        raise _cannot("write", target, error) from None


def _cannot(what: str, path: Path, error: OSError) -> ArchspecError:
    return ArchspecError(f"cannot {what} {shown(path)}: {error.strerror or error}")


def _first(error: ValidationError) -> str:
    """Where the first problem of a JSON file is, and what it is."""
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"])
    return shown(f"{place}: {problem['msg']}" if place else problem["msg"])
