"""The training loop: one, for every backend, to be read from top to bottom."""

from __future__ import annotations

import dataclasses
import math
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from archspec import catalog, loading
from archspec.analysis.shapes import infer_shapes
from archspec.backends import get_backend, trainable_backends
from archspec.backends.base import ALONE, Execution, Group, OutOfMemory, TrainableBackend
from archspec.backends.outputs import ending_in_logits
from archspec.diagnostics import ArchspecError, listing, shortened
from archspec.graph import Graph
from archspec.layers.base import show
from archspec.spec.fields import INPUT
from archspec.spec.recipe import DEFAULT_RECIPE, Recipe
from archspec.training import tensorboard
from archspec.training.checkpoint import (
    Checkpoint,
    Computation,
    Origin,
    RunFolder,
    RunRecord,
    State,
    recipe_hash,
    spec_of,
)
from archspec.training.clock import Clock
from archspec.training.data import Data, Epoch, prepare, require_equal_parts
from archspec.training.finetuning import first_weights, frozen, with_remark
from archspec.training.losses import Losses, NotFinite
from archspec.training.metrics import Score, score
from archspec.training.options import (
    SAVE_EVERY,
    EpochMetrics,
    OnNan,
    Progress,
    RunOptions,
    RunPlan,
    RunSummary,
    Silent,
    Together,
    Watcher,
)
from archspec.training.overrides import overridden
from archspec.training.resuming import network_changes, require_same_run, require_same_spec
from archspec.training.saving import Interval, Saver
from archspec.training.schedule import Schedule
from archspec.training.sources import DEFAULT, Source, open_source, require_packages, shown
from archspec.training.stopping import BrokenOff, Signals, Stopped
from archspec.training.trouble import Chance, diverged, exhausted, skipped
from archspec.version import __version__
from archspec.weights.loading import completed

if TYPE_CHECKING:
    from archspec.backends.base import Trainer
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
    # First of all: no framework may have computed anything before the processes know one another.
    group = _group(options)
    with group.together():
        told = _watched(watcher, options) if group.rank == 0 else Silent()
        return _run(spec, options, told, group)


def _run(
    spec: str | Path | Graph | None, options: RunOptions, watcher: Watcher, group: Group
) -> RunSummary:
    if options.resume is not None:
        start, checkpoint = _resumed(spec, options, options.resume, watcher)
    else:
        start, checkpoint = _new(spec if spec is not None else _unnamed(options), options)
    import numpy as np  # which may be missing until here

    interval = Interval.parse(start.save_every)
    if start.on_nan not in get_args(OnNan):  # what is none would stop, and not say so
        raise ArchspecError(
            f"--on-nan is one of {listing(get_args(OnNan))}, not `{shortened(str(start.on_nan))}`"
        )
    folder, recipe, data, state = start.folder, start.recipe, start.data, checkpoint.state
    began, epochs_before, steps_before = time.perf_counter(), len(state.metrics), state.step
    if state.epoch > recipe.epochs:
        summary = _summary(folder, state, 0, began)
        watcher.end(summary)
        return summary

    trainer = _trainer(start, checkpoint, options, group)
    del checkpoint  # its tensors take as much memory as the model
    schedule = Schedule(recipe, state.schedule)
    saver = Saver(folder, start.graph, recipe, trainer, group, interval, watcher)
    record = _record(start, trainer)
    group.any(False)  # all have looked at the folder before the first one writes
    if options.resume is None:
        saver.begin(record, start.backend.emit(start.graph), state)
    else:
        saver.resume(record, state)
    watcher.start(_plan(start, trainer, state))

    size = recipe.batch_size
    steps = -(-data.training.per_pass(size) // size)
    step = trainer.attempt if start.on_nan == "skip" else trainer.step
    losses, chance = Losses(state, group), Chance(start.graph, recipe, start.backend, data.training)
    shard = (group.rank, group.size)
    try:
        with saver.alone(), Signals() as signals:
            while state.epoch <= recipe.epochs:
                clock, reported = Clock(), -math.inf
                epoch = Epoch(recipe.seed, state.epoch)
                images = data.training.batches(size, epoch=epoch, start=state.batch, shard=shard)
                for batch in clock.waiting_for(images, trainer.busy):
                    state.lr = schedule.rate(state.epoch, state.batch, steps)
                    trainer.reseed(epoch.step_seed(state.batch))
                    loss = step(batch["image"], batch["label"], state.lr)
                    state.batch, state.step = state.batch + 1, state.step + 1
                    if loss is None:
                        losses.skip()
                        watcher.warn(skipped(state, losses.place, data.training, recipe, steps))
                    else:
                        losses.add(loss)
                    clock.stepped(len(batch["image"]) * group.size)
                    first_step = state.step == steps_before + 1
                    # Processes that train together report, save and stop behind the same step.
                    report, save, stop = group.sum(
                        np.array(
                            [
                                first_step or time.perf_counter() - reported >= REPORT_EVERY,
                                saver.due(state.step),
                                signals.received is not None,
                            ]
                        )
                    )
                    if report or save or stop:
                        losses.read()
                    if first_step:
                        clock.leave_out()
                    if report and chance.found(state):
                        with clock.paused():
                            watcher.warn(chance.explained(trainer.weights(), state))
                    if report:
                        watcher.step(_progress(start, state, losses.last, clock))
                        reported = time.perf_counter()
                    if save or stop:
                        with clock.paused():
                            saver.save(state, last=bool(stop))
                    if stop:
                        raise Stopped(signals.number, folder.path)
                losses.read()
                images_per_second, data_wait = clock.images_per_second, clock.data_wait
                if clock.images:
                    watcher.step(_progress(start, state, losses.last, clock))

                held_out = score(
                    trainer.logits,
                    signals.until(data.held_out.batches(size, shard=shard), group),
                    group.sum,
                )
                if not math.isfinite(held_out.loss):
                    raise NotFinite(
                        f"the held-out loss is {held_out.loss} after epoch {state.epoch} (step "
                        f"{state.step:,}), at a learning rate of {state.lr:g}"
                    )
                row = _row(state, held_out, images_per_second, data_wait)
                schedule.observe(1.0 - held_out.top1)
                state.end_epoch(row, schedule.state)
                saver.save(state, last=state.epoch > recipe.epochs)
                watcher.epoch(row)
                if chance.found(state):
                    watcher.warn(chance.explained(trainer.weights(), state))
    except BrokenOff:  # a signal, while the epoch was scored
        saver.save(state, last=True)
        raise Stopped(signals.number, folder.path) from None
    except BrokenPipeError:  # nobody reads what the run reports, as behind `| head`
        if group.size == 1:  # the others do not know, and would not save with this process
            losses.read()
            saver.save(state, last=True)
        raise
    except ArchspecError as error:
        raise saver.given_up(_explained(error, start, group), state, losses) from None

    summary = _summary(folder, state, len(state.metrics) - epochs_before, began)
    watcher.end(summary)
    return summary


def _watched(watcher: Watcher, options: RunOptions) -> Watcher:
    """The watcher, and TensorBoard's where it is asked for or the run began with it."""
    goes_on = options.resume is not None and (options.resume / tensorboard.FOLDER).is_dir()
    if not options.tensorboard and not goes_on:
        return watcher
    try:
        return Together(watcher, tensorboard.TensorBoard(watcher.warn))
    except ArchspecError as error:
        if options.tensorboard:
            raise
        watcher.warn(f"{error}; going on without")
        return watcher


@dataclasses.dataclass(frozen=True)
class _Start:
    """What a run is, new or resumed."""

    folder: RunFolder
    backend: TrainableBackend
    graph: Graph
    recipe: Recipe
    source: Source
    data: Data
    limit: int | None
    save_every: str
    on_nan: OnNan
    execution: Execution
    loaded: Loaded | None = None
    origin: Origin | None = None
    freeze: tuple[str, ...] = ()


def _new(spec: str | Path | Graph, options: RunOptions) -> tuple[_Start, Checkpoint]:
    """A run that begins, with its first weights."""
    backend = _backend(options.backend or DEFAULT_BACKEND)
    from archspec.backends.initial import initial_weights  # needs NumPy, which may be missing

    if options.output is not None:
        RunFolder(options.output).require_free()
    source = open_source(options.data or DEFAULT)
    thawed = _graph(spec, options, source)
    graph = frozen(thawed, options.freeze)
    recipe = overridden(graph.spec.training or DEFAULT_RECIPE, options)
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
    weights = (
        initial_weights(graph, recipe.seed)
        if loaded is None
        else completed(loaded, graph, recipe.seed)
    )
    state = State(graph.hash, recipe_hash(recipe), recipe.optimizer.learning_rate)
    start = _Start(
        RunFolder(options.output or _free_path(f"{graph.name}-{backend.name}")),
        backend,
        graph,
        recipe,
        source,
        data,
        options.limit,
        options.save_every or SAVE_EVERY,
        options.on_nan or "stop",
        _execution(options),
        loaded=loaded,
        origin=origin,
        freeze=options.freeze,
    )
    return start, Checkpoint(weights, {}, state)


def _unnamed(options: RunOptions) -> str | Path:
    """The spec where none is given: that of the run whose weights it begins with, or AlexNet."""
    return catalog.DEFAULT if options.weights is None else spec_of(options.weights)


def _resumed(
    spec: str | Path | Graph | None, options: RunOptions, path: Path, watcher: Watcher
) -> tuple[_Start, Checkpoint]:
    """The run as its folder describes it, and where it stands."""
    folder = RunFolder(path)
    record = folder.record()
    backend = _backend(record.backend)
    if not folder.spec.is_file():
        raise ArchspecError(f"{shown(path)} is not the folder of a run (no {folder.spec.name})")
    written = loading.buildable(loading.load(folder.spec))
    graph, checkpoint = folder.load(watcher.warn)
    require_same_spec(folder.spec, graph, written)
    source = open_source(record.data)
    if options.data is not None:
        options = dataclasses.replace(options, data=open_source(options.data).name)
    network: list[str] = []
    if spec is not None:
        given = frozen(_graph(spec, options, source), record.freeze)
        network = [*network_changes(graph, given)]
        options = dataclasses.replace(options, variables={})
    require_same_run(record, options, overridden(record.recipe, options), network)
    if source.fingerprint != record.fingerprint:
        raise ArchspecError(
            f"the images in {shown(record.data.removeprefix('folder:'))} are not those that the "
            "run began with: held-out ones could come to be trained on; start a new run"
        )
    # What was written last counts where the run died between the two files.
    epochs = options.epochs or (written.spec.training or record.recipe).epochs
    recipe = record.recipe.model_copy(update={"epochs": max(epochs, len(checkpoint.state.metrics))})
    before, now = Schedule(record.recipe), Schedule(recipe)
    # Those of two cosines differ behind the end of the shorter one at the latest.
    both = range(1, min(record.recipe.epochs, recipe.epochs) + 2)
    if any(before.rate(epoch) != now.rate(epoch) for epoch in both):
        watcher.warn(
            f"with {recipe.epochs} epochs instead of {record.recipe.epochs} the schedule has other "
            "learning rates; what is trained was trained with those it had"
        )
    start = _Start(
        folder,
        backend,
        graph,
        recipe,
        source,
        prepare(source, graph.input_shape, recipe, record.limit),
        record.limit,
        options.save_every or record.save_every,
        options.on_nan or record.on_nan,
        _execution(options, record.execution),
        origin=record.weights,
        freeze=record.freeze,
    )
    return start, checkpoint


def _group(options: RunOptions) -> Group:
    """The processes that train together."""
    name = options.backend or DEFAULT_BACKEND
    if options.resume is not None:
        name = RunFolder(options.resume).record().backend
    backend = get_backend(name)
    return backend.group(options.device) if isinstance(backend, TrainableBackend) else ALONE


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


def _free_path(name: str) -> Path:
    """A folder of this second in `runs/` that is not there yet."""
    stem = f"{name}-{datetime.now().strftime('%Y%m%d-%H%M%S')}"
    paths = (Path("runs") / (stem if i == 1 else f"{stem}-{i}") for i in range(1, 1000))
    return next(path for path in paths if not path.exists())


def _execution(options: RunOptions, before: Computation | None = None) -> Execution:
    """How to compute: as the options say, and where they do not as the run did before."""
    asked = Execution(
        options.device,
        options.precision,
        options.compile,
        options.channels_last,
        options.deterministic,
    )
    if before is None:
        return asked
    return dataclasses.replace(
        asked,
        precision=before.precision,
        compile=before.compile if asked.compile is None else asked.compile,
        channels_last=(
            before.channels_last if asked.channels_last is None else asked.channels_last
        ),
        deterministic=before.deterministic,
    )


def _trainer(start: _Start, checkpoint: Checkpoint, options: RunOptions, group: Group) -> Trainer:
    """What computes the steps, with the weights and the optimiser's state of the checkpoint."""
    parts = group.size * options.devices
    require_equal_parts(len(start.data.training), start.recipe.batch_size, parts)
    execution = dataclasses.replace(
        start.execution, group=group, devices=options.devices, shard=options.shard_model
    )
    try:
        trainer = start.backend.trainer(start.graph, start.recipe, checkpoint.weights, execution)
    except OutOfMemory as error:
        raise _explained(error, start, group) from None
    if checkpoint.optimizer:  # a new run has none
        trainer.load_optimizer_state(checkpoint.optimizer, checkpoint.state.lr)
    return trainer


def _explained(error: ArchspecError, start: _Start, group: Group) -> ArchspecError:
    """The error that ends a run, with what it knows of the batch and of what can be done."""
    if isinstance(error, NotFinite):
        return diverged(error, start.data.training, start.recipe)
    if isinstance(error, OutOfMemory):
        return exhausted(error, start.graph, group.size)
    return error


def _record(start: _Start, trainer: Trainer) -> RunRecord:
    computed = trainer.execution
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
        execution=Computation(
            **{
                field.name: getattr(computed, field.name)
                for field in dataclasses.fields(Computation)
            }
        ),
        weights=start.origin,
        freeze=start.freeze,
        save_every=start.save_every,
        on_nan=start.on_nan,
    )


def _plan(start: _Start, trainer: Trainer, state: State) -> RunPlan:
    data, totals = start.data, loading.analyze(start.graph).totals
    return RunPlan(
        title=start.graph.title,
        backend=start.backend.name,
        engine=trainer.engine,
        device=trainer.device,
        execution=str(trainer.execution),
        choices=trainer.choices,
        data=start.source.name,
        classes=len(data.classes),
        training_images=len(data.training),
        held_out_images=len(data.held_out),
        params=totals.params,
        recipe=start.recipe,
        folder=start.folder.path,
        first_epoch=state.epoch,
        images_per_epoch=data.training.per_pass(start.recipe.batch_size),
        trained_params=totals.trainable_params,
        weights=start.loaded,
        first_batch=state.batch,
    )


def _progress(start: _Start, state: State, loss: float, clock: Clock) -> Progress:
    size, total = start.recipe.batch_size, start.data.training.per_pass(start.recipe.batch_size)
    return Progress(
        epoch=state.epoch,
        images=min(state.batch * size, total),
        total=total,
        step=state.step,
        loss=loss,
        learning_rate=state.lr,
        images_per_second=clock.images_per_second,
        data_wait=clock.data_wait,
    )


def _row(state: State, held_out: Score, images_per_second: float, data_wait: float) -> EpochMetrics:
    """The figures of the epoch whose last step the state stands behind."""
    return EpochMetrics(
        epoch=state.epoch,
        step=state.step,
        train_loss=state.losses / state.counted,
        val_loss=held_out.loss,
        val_top1=held_out.top1,
        val_top5=held_out.top5,
        lr=state.lr,
        images_per_second=images_per_second,
        data_wait=data_wait,
    )


def _summary(folder: RunFolder, state: State, trained: int, began: float) -> RunSummary:
    assert state.best is not None
    seconds = time.perf_counter() - began
    last = state.metrics[-1]
    return RunSummary(folder.path, len(state.metrics), trained, seconds, last, state.best)
