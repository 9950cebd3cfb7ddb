"""The training loop: one, for every backend, to be read from top to bottom."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from archspec import catalog, loading
from archspec.analysis.shapes import infer_shapes
from archspec.backends import get_backend, trainable_backends
from archspec.backends.base import Execution, TrainableBackend
from archspec.backends.outputs import ending_in_logits
from archspec.diagnostics import ArchspecError, listing
from archspec.graph import Graph
from archspec.layers.base import show
from archspec.spec.fields import INPUT
from archspec.spec.recipe import DEFAULT_RECIPE, Recipe
from archspec.training.checkpoint import (
    Checkpoint,
    Origin,
    RunFolder,
    RunRecord,
    State,
    spec_of,
)
from archspec.training.clock import Clock
from archspec.training.data import Data, Epoch, prepare
from archspec.training.finetuning import first_weights, frozen, with_remark
from archspec.training.metrics import score
from archspec.training.options import (
    EpochMetrics,
    Progress,
    RunOptions,
    RunPlan,
    RunSummary,
    Silent,
    Watcher,
)
from archspec.training.schedule import Schedule
from archspec.training.sources import DEFAULT, Source, open_source, require_packages, shown
from archspec.version import __version__
from archspec.weights.loading import completed

if TYPE_CHECKING:
    from archspec.backends.base import Trainer, Weights
    from archspec.weights import Loaded

DEFAULT_BACKEND = "torch"
# Seconds between two looks at the losses, each of which waits for the device.
REPORT_EVERY = 0.5


def run(
    spec: str | Path | Graph | None = None,
    options: RunOptions | None = None,
    watcher: Watcher | None = None,
) -> RunSummary:
    """Train a network and leave a run folder, or go on with the run of a folder.

    Where `spec` is None it is that of the run whose weights this one begins with, or AlexNet;
    with `options.resume` it must be None. Raises SpecError for a spec that cannot be built,
    ArchspecError when something is missing or does not fit (an extra, a folder, an image, the
    number of classes) or the loss is not finite.
    """
    options, watcher = options or RunOptions(), watcher or Silent()
    if options.resume is not None:
        start = _resumed(spec, options, options.resume)
    else:
        start = _new(spec if spec is not None else _unnamed(options), options)
    folder, recipe, data = start.folder, start.recipe, start.data
    metrics = list(start.checkpoint.state.metrics) if start.checkpoint else []
    began = time.perf_counter()
    if len(metrics) >= recipe.epochs:
        summary = _summary(folder, metrics, 0, began)
        watcher.end(summary)
        return summary
    trainer, schedule = _trainer(start, Execution(options.device))
    if options.resume is None:
        folder.create(start.graph, _record(start, trainer), start.backend.emit(start.graph))
        if start.loaded is not None:
            # So that a run which dies before its first epoch has ended can go on by itself.
            state = State(0, start.graph.hash, schedule.rate(1), schedule.state, ())
            folder.save(start.graph, Checkpoint(trainer.weights(), {}, state))
    else:
        folder.describe(start.graph, _record(start, trainer))
        folder.write_metrics(metrics)
    watcher.start(_plan(start, trainer, len(metrics) + 1))

    total = data.training.per_pass(recipe.batch_size)
    step = metrics[-1].step if metrics else 0
    first_epoch = len(metrics) + 1
    for epoch in range(first_epoch, recipe.epochs + 1):
        rate = schedule.rate(epoch)
        order = Epoch(recipe.seed, epoch)
        losses: list[float] = []
        unread: list[Any] = []  # losses that the device may still be computing
        clock, reported = Clock(), -math.inf
        batches = data.training.batches(recipe.batch_size, epoch=order)
        for number, batch in enumerate(clock.waiting_for(batches, trainer.busy)):
            trainer.reseed(order.step_seed(number))
            unread.append(trainer.step(batch["image"], batch["label"], rate))
            step += 1
            clock.stepped(len(batch["image"]))
            first_step = epoch == first_epoch and not losses
            if first_step or time.perf_counter() - reported >= REPORT_EVERY:
                losses += _finite(unread, epoch, step, rate, folder)
                if first_step:
                    clock.leave_out()
                watcher.step(
                    Progress(epoch, clock.images, total, losses[-1], clock.images_per_second)
                )
                unread, reported = [], time.perf_counter()
        losses += _finite(unread, epoch, step, rate, folder)
        images_per_second, data_wait = clock.images_per_second, clock.data_wait
        watcher.step(Progress(epoch, clock.images, total, losses[-1], images_per_second))

        held_out = score(trainer.logits, data.held_out.batches(recipe.batch_size))
        _finite([held_out.loss], epoch, step, rate, folder)
        schedule.observe(1.0 - held_out.top1)
        row = EpochMetrics(
            epoch=epoch,
            step=step,
            train_loss=math.fsum(losses) / len(losses),
            val_loss=held_out.loss,
            val_top1=held_out.top1,
            val_top5=held_out.top5,
            lr=rate,
            images_per_second=images_per_second,
            data_wait=data_wait,
        )
        metrics.append(row)
        state = State(epoch, start.graph.hash, rate, schedule.state, tuple(metrics))
        folder.save(start.graph, Checkpoint(trainer.weights(), trainer.optimizer_state(), state))
        if _best(metrics) is row:
            folder.keep_best()
        folder.append_metrics(row)
        watcher.epoch(row)

    summary = _summary(folder, metrics, len(metrics) + 1 - first_epoch, began)
    watcher.end(summary)
    return summary


@dataclasses.dataclass(frozen=True)
class _Start:
    """What a run begins with, new or resumed."""

    folder: RunFolder
    backend: TrainableBackend
    graph: Graph
    recipe: Recipe
    source: Source
    data: Data
    limit: int | None
    checkpoint: Checkpoint | None = None
    loaded: Loaded | None = None
    origin: Origin | None = None
    freeze: tuple[str, ...] = ()


def _new(spec: str | Path | Graph, options: RunOptions) -> _Start:
    backend = _backend(options.backend or DEFAULT_BACKEND)
    if options.output is not None:
        RunFolder(options.output).require_free()
    source = open_source(options.data or DEFAULT)
    thawed = _graph(spec, options, source)
    graph = frozen(thawed, options.freeze)
    recipe = _recipe(graph.spec.training or DEFAULT_RECIPE, options)
    loading.require_batches(graph, recipe.batch_size)
    loaded = origin = None
    if options.weights is not None:
        command = options.command(spec.name if isinstance(spec, Graph) else spec)
        loaded, origin = first_weights(thawed, options.weights, options.skip, command)
    elif options.skip:
        raise ArchspecError("--skip is about the weights of a file; say which: --weights FILE")
    data = prepare(source, graph.input_shape, recipe, options.limit)
    recipe = data.resolved(recipe)
    if loaded is not None and options.weights is not None:
        loaded = with_remark(loaded, options.weights, data.preprocessing)
    folder = RunFolder(options.output or _free_path(f"{graph.name}-{backend.name}"))
    return _Start(
        folder,
        backend,
        graph,
        recipe,
        source,
        data,
        options.limit,
        loaded=loaded,
        origin=origin,
        freeze=options.freeze,
    )


def _unnamed(options: RunOptions) -> str | Path:
    """The spec where none is given: that of the run whose weights it begins with, or AlexNet."""
    return catalog.DEFAULT if options.weights is None else spec_of(options.weights)


def _resumed(spec: str | Path | Graph | None, options: RunOptions, path: Path) -> _Start:
    """The run as its folder describes it; the number of epochs and the device may change."""
    folder = RunFolder(path)
    record = folder.record()
    _refuse_changes(spec, options)
    if options.backend not in (None, record.backend):
        raise ArchspecError(
            f"the run in {shown(path)} is one of the {record.backend} backend and cannot go on "
            f"with {options.backend}; leave --backend out"
        )
    backend = _backend(record.backend)
    if not folder.spec.is_file():
        raise ArchspecError(f"{shown(path)} is not the folder of a run (no spec.yaml)")
    graph = loading.buildable(loading.load(folder.spec))
    if graph.hash != record.hash or graph.spec.training != record.recipe:
        raise ArchspecError(
            f"{shown(folder.spec)} was changed after the run had begun, and its checkpoints "
            "belong to what it was; start a new run with it"
        )
    checkpoint = folder.load(graph)
    recipe = _recipe(record.recipe, RunOptions(epochs=options.epochs))
    source = open_source(record.data)
    if source.fingerprint != record.fingerprint:
        raise ArchspecError(
            f"the images in {shown(record.data.removeprefix('folder:'))} are not those that the "
            "run began with: held-out ones could come to be trained on; start a new run"
        )
    data = prepare(source, graph.input_shape, recipe, record.limit)
    rows = checkpoint.state.metrics if checkpoint is not None else ()
    if rows and _best(rows) is rows[-1]:
        folder.keep_best()  # the run may have died before it did
    return _Start(
        folder,
        backend,
        graph,
        recipe,
        source,
        data,
        record.limit,
        checkpoint,
        origin=record.weights,
        freeze=record.freeze,
    )


def _refuse_changes(spec: str | Path | Graph | None, options: RunOptions) -> None:
    given = {
        "SPEC": spec,
        "--data": options.data,
        "--batch-size": options.batch_size,
        "--lr": options.learning_rate,
        "--seed": options.seed,
        "--limit": options.limit,
        "--output": options.output,
        "--set": options.variables or None,
        "--root": options.root,
        "--weights": options.weights,
        "--skip": options.skip or None,
        "--freeze": options.freeze or None,
    }
    refused = [name for name, value in given.items() if value is not None]
    if refused:
        raise ArchspecError(
            "--resume goes on with the spec, the data and the recipe of the run; leave out "
            f"{listing(refused)}"
        )


def _backend(name: str) -> TrainableBackend:
    backend = get_backend(name)
    if not isinstance(backend, TrainableBackend):
        can = [backend.name for backend in trainable_backends()]
        raise ArchspecError(f"the {name} backend cannot train; there are {listing(can)}")
    backend.require()
    require_packages("training")
    return backend


def _graph(spec: str | Path | Graph, options: RunOptions, source: Source) -> Graph:
    """The network whose output is one logit a class of the data."""
    classes = len(source.classes)
    chosen: dict[str, Any] = dict(options.variables)
    if not isinstance(spec, Graph):
        written = loading.load(spec, root=options.root, **chosen)
        if "classes" in written.variables and "classes" not in chosen:
            written = loading.load(spec, root=options.root, **chosen, classes=classes)
        spec = written
    graph = ending_in_logits(loading.buildable(spec))
    if graph.output == INPUT or not loading.has_trained_weights(graph):
        raise ArchspecError(f"the network {graph.name} has no weights to train")
    shapes = infer_shapes(graph)
    wrong = [name for name in graph.outputs if shapes.of(name) != (classes,)]
    if not wrong:
        return graph
    name, output = wrong[0], shapes.of(wrong[0])
    shown_names = [shown(label) for label in source.classes[:10]]
    more = " ..." if classes > 10 else ""
    found = f"the data has {classes} classes ({listing(shown_names)}{more})"
    if len(output) > 1:
        advice = "end it with `flatten` or a global pool and a dense layer"
    elif "classes" in chosen:
        advice = "leave out `--set classes=...`, which the data decides"
    elif "classes" in graph.variables:
        advice = f"let {name} have `units: $classes`"
    else:
        advice = f"declare `variables: {{classes: {classes}}}` and let {name} have "
        advice += "`units: $classes`"
    what = "the network's output" if name == graph.output else f"the auxiliary output {name}"
    raise ArchspecError(f"{what} is {show(output)} and {found}; {advice}")


def _recipe(recipe: Recipe, options: RunOptions) -> Recipe:
    """The recipe with what the command line replaces."""
    values = recipe.model_dump()
    for name in ("epochs", "batch_size", "seed"):
        if getattr(options, name) is not None:
            values[name] = getattr(options, name)
    if options.learning_rate is not None:
        values["optimizer"]["learning_rate"] = options.learning_rate
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        option = {"learning_rate": "lr"}.get(str(problem["loc"][-1]), str(problem["loc"][-1]))
        raise ArchspecError(
            f"--{option.replace('_', '-')} {problem['input']}: {problem['msg']}"
        ) from None


def _free_path(name: str) -> Path:
    """A folder of this second in `runs/` that is not there yet."""
    stem = f"{name}-{datetime.now().strftime('%Y%m%d-%H%M%S')}"
    paths = (Path("runs") / (stem if i == 1 else f"{stem}-{i}") for i in range(1, 1000))
    return next(path for path in paths if not path.exists())


def _trainer(start: _Start, execution: Execution) -> tuple[Trainer, Schedule]:
    """The trainer and the schedule: new, or where a checkpoint left them."""
    from archspec.backends.initial import initial_weights

    graph, recipe, checkpoint = start.graph, start.recipe, start.checkpoint
    if checkpoint is None:
        weights: Weights = (
            initial_weights(graph, recipe.seed)
            if start.loaded is None
            else completed(start.loaded, graph, recipe.seed)
        )
        return start.backend.trainer(graph, recipe, weights, execution), Schedule(recipe)
    trainer = start.backend.trainer(graph, recipe, checkpoint.weights, execution)
    trainer.load_optimizer_state(checkpoint.optimizer, checkpoint.state.lr)
    return trainer, Schedule(recipe, checkpoint.state.schedule)


def _record(start: _Start, trainer: Trainer) -> RunRecord:
    return RunRecord(
        archspec=__version__,
        network=start.graph.name,
        hash=start.graph.hash,
        backend=start.backend.name,
        engine=trainer.engine,
        device=trainer.device,
        data=start.source.name,
        limit=start.limit,
        fingerprint=start.source.fingerprint,
        classes=start.data.classes,
        training_images=len(start.data.training),
        held_out_images=len(start.data.held_out),
        recipe=start.recipe,
        weights=start.origin,
        freeze=start.freeze,
    )


def _plan(start: _Start, trainer: Trainer, first_epoch: int) -> RunPlan:
    data, totals = start.data, loading.analyze(start.graph).totals
    return RunPlan(
        title=start.graph.title,
        backend=start.backend.name,
        engine=trainer.engine,
        device=trainer.device,
        data=start.source.name,
        classes=len(data.classes),
        training_images=len(data.training),
        held_out_images=len(data.held_out),
        params=totals.params,
        recipe=start.recipe,
        folder=start.folder.path,
        first_epoch=first_epoch,
        images_per_epoch=data.training.per_pass(start.recipe.batch_size),
        trained_params=totals.trainable_params,
        weights=start.loaded,
    )


def _finite(
    losses: Sequence[Any], epoch: int, step: int, rate: float, folder: RunFolder
) -> list[float]:
    """The losses of the steps up to `step` as numbers. Raises ArchspecError for NaN or infinity."""
    found = [float(loss) for loss in losses]
    for before, loss in zip(reversed(range(len(found))), found, strict=True):
        if not math.isfinite(loss):
            kept = f"; {shown(folder.path)} has the epochs before it" if epoch > 1 else ""
            raise ArchspecError(
                f"the loss is {loss} in epoch {epoch}, step {step - before}, at a learning rate "
                f"of {rate:g}; try a smaller --lr{kept}"
            )
    return found


def _best(metrics: Sequence[EpochMetrics]) -> EpochMetrics:
    """The epoch with the highest top-1, the first of several."""
    return max(metrics, key=lambda row: row.val_top1)


def _summary(
    folder: RunFolder, metrics: Sequence[EpochMetrics], trained: int, began: float
) -> RunSummary:
    seconds = time.perf_counter() - began
    return RunSummary(folder.path, len(metrics), trained, seconds, metrics[-1], _best(metrics))
