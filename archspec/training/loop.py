"""The training loop: one, for every backend, to be read from top to bottom."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec import loading
from archspec.analysis.shapes import infer_shapes
from archspec.backends import get_backend
from archspec.backends.base import TrainableBackend
from archspec.diagnostics import ArchspecError, listing
from archspec.graph import Graph
from archspec.layers.base import show
from archspec.spec.recipe import Recipe, Sgd
from archspec.training import data as data_module
from archspec.training.checkpoint import BEST, LAST, Checkpoint, RunFolder
from archspec.training.data import Data, Source
from archspec.training.metrics import score
from archspec.training.options import (
    EpochMetrics,
    RunOptions,
    RunPlan,
    RunSummary,
    Silent,
    Watcher,
)
from archspec.training.schedule import Schedule
from archspec.version import __version__

if TYPE_CHECKING:
    from archspec.backends.base import Trainer

# The recipe of a spec that has none.
DEFAULT_RECIPE = Recipe(
    epochs=10, batch_size=32, optimizer=Sgd(type="sgd", learning_rate=0.01, momentum=0.9)
)
# Seconds between two looks at the loss, each of which waits for the device.
REPORT_EVERY = 0.5


def run(
    spec: str | Path | Graph, options: RunOptions, watcher: Watcher | None = None
) -> RunSummary:
    """Train a network and leave a run folder.

    Raises SpecError for a spec that cannot be built, ArchspecError when something is missing or
    does not fit (an extra, a folder, an image, the number of classes) or the loss is not finite.
    """
    watcher = watcher or Silent()
    backend = get_backend(options.backend)
    if not isinstance(backend, TrainableBackend):
        raise ArchspecError(f"the {options.backend} backend has no gradients and cannot train")
    backend.require()
    _require_packages()
    folder = RunFolder(options.resume) if options.resume is not None else None
    if folder is not None:
        spec, options = folder.spec, _resumed(folder, options)
    source = data_module.open_source(options.data)
    graph = _graph(spec, options, source)
    recipe = _recipe(graph, options)
    data = data_module.prepare(source, graph.input_shape, recipe.preprocessing, options.limit)
    checkpoint = folder.load() if folder is not None else None
    trainer, schedule, metrics = _start(backend, graph, recipe, options, checkpoint)
    if folder is None:
        folder = _new_folder(backend, graph, recipe, options, trainer, data)
    watcher.start(_plan(backend, graph, recipe, options, trainer, data, folder, metrics))

    started = time.perf_counter()
    best = max(metrics, key=lambda m: m.val_top1, default=None)
    step = metrics[-1].step if metrics else 0
    for epoch in range(len(metrics) + 1, recipe.epochs + 1):
        rate = schedule.rate(epoch)
        losses: list[Any] = []
        waited, trained = 0.0, 0
        begun = reported = fetched = time.perf_counter()
        batches = data.training.batches(
            recipe.batch_size, shuffle_seed=_shuffle_seed(recipe.seed, epoch)
        )
        for batch in batches:
            waited += time.perf_counter() - fetched
            losses.append(trainer.step(batch["image"], batch["label"], rate))
            step += 1
            trained += len(batch["image"])
            fetched = time.perf_counter()
            if fetched - reported >= REPORT_EVERY:
                reported = fetched
                watcher.step(epoch, trained, len(data.training), float(losses[-1]))
        train_loss = math.fsum(float(loss) for loss in losses) / len(losses)
        seconds = time.perf_counter() - begun
        watcher.step(epoch, trained, len(data.training), float(losses[-1]))
        if not math.isfinite(train_loss):
            raise ArchspecError(
                f"the loss is {train_loss} in epoch {epoch} at a learning rate of {rate:g}; "
                f"the checkpoint before it is in {folder.path / 'checkpoints'}. "
                "Try a smaller --lr"
            )
        held_out = score(trainer.logits, data.held_out.batches(recipe.batch_size))
        schedule.observe(1.0 - held_out.top1)
        row = EpochMetrics(
            epoch=epoch,
            step=step,
            train_loss=train_loss,
            val_loss=held_out.loss,
            val_top1=held_out.top1,
            val_top5=held_out.top5,
            lr=rate,
            images_per_second=trained / seconds,
            data_wait=waited / seconds,
        )
        metrics.append(row)
        state = {
            "epoch": epoch,
            "hash": graph.hash,
            "lr": rate,
            "schedule": schedule.state(),
            "metrics": [m.to_json() for m in metrics],
        }
        folder.save(Checkpoint(trainer.weights(), trainer.velocities(), state), LAST)
        if best is None or row.val_top1 > best.val_top1:
            best = row
            folder.copy(LAST, BEST)
        folder.append(row.to_json())
        watcher.epoch(row)

    summary = RunSummary(
        folder.path,
        len(metrics),
        time.perf_counter() - started,
        metrics[-1] if metrics else None,
        best,
    )
    watcher.end(summary)
    return summary


def _require_packages() -> None:
    import importlib.util

    needed = {"grain": "grain", "PIL": "pillow", "sklearn": "scikit-learn"}
    missing = [name for module, name in needed.items() if not importlib.util.find_spec(module)]
    if missing:
        raise ArchspecError(
            f"training needs {', '.join(missing)}: pip install 'archspec-nn[train]'"
        )


def _graph(spec: str | Path | Graph, options: RunOptions, source: Source) -> Graph:
    """The network whose output is one logit a class of the data."""
    classes = len(source.classes)
    variables = dict(options.variables)
    if not isinstance(spec, Graph):
        written = loading.load(spec, **variables)
        if "classes" in written.variables and "classes" not in variables:
            variables["classes"] = classes
        spec = loading.load(spec, **variables)
    graph = loading.buildable(spec)
    # The loss is computed from logits: a softmax at the end is left to it.
    while graph.by_name[graph.output].layer.type == "softmax":
        graph = graph.without(graph.output)
    output = infer_shapes(graph).of(graph.output)
    if output != (classes,):
        raise ArchspecError(
            f"the network's output is {show(output)} and the data has {classes} classes "
            f"({listing(source.classes[:10])}{' ...' if classes > 10 else ''}); let the last "
            "dense layer have `units: $classes` and declare `classes` under `variables`"
        )
    return graph


def _recipe(graph: Graph, options: RunOptions) -> Recipe:
    """The spec's recipe with what the command line replaces."""
    recipe = graph.spec.training or DEFAULT_RECIPE
    changes: dict[str, Any] = {}
    for name in ("epochs", "batch_size", "seed"):
        value = getattr(options, name)
        if value is not None:
            changes[name] = value
    if options.learning_rate is not None:
        changes["optimizer"] = recipe.optimizer.model_copy(
            update={"learning_rate": options.learning_rate}
        )
    return recipe.model_copy(update=changes)


def _start(
    backend: TrainableBackend,
    graph: Graph,
    recipe: Recipe,
    options: RunOptions,
    checkpoint: Checkpoint | None,
) -> tuple[Trainer, Schedule, list[EpochMetrics]]:
    """The trainer, the schedule and the epochs so far: new, or where a checkpoint left them."""
    from archspec.backends.numpy.initial import initial_weights

    schedule = Schedule(recipe)
    if checkpoint is None:
        weights = initial_weights(graph, recipe.seed)
        return backend.trainer(graph, recipe, weights, options.device), schedule, []
    state = checkpoint.state
    if state["hash"] != graph.hash:
        raise ArchspecError(
            "the checkpoint belongs to another network than the spec in its run folder"
        )
    trainer = backend.trainer(graph, recipe, checkpoint.weights, options.device)
    trainer.load_velocities(checkpoint.velocities, float(state["lr"]))
    schedule.restore(state["schedule"])
    return trainer, schedule, [EpochMetrics(**row) for row in state["metrics"]]


def _new_folder(
    backend: TrainableBackend,
    graph: Graph,
    recipe: Recipe,
    options: RunOptions,
    trainer: Trainer,
    data: Data,
) -> RunFolder:
    now = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = RunFolder(options.output or Path("runs") / f"{graph.name}-{backend.name}-{now}")
    about = {
        "archspec": __version__,
        "network": graph.name,
        "hash": graph.hash,
        "backend": backend.name,
        "engine": trainer.engine,
        "device": trainer.device,
        "data": options.data,
        "limit": options.limit,
        "classes": list(data.classes),
        "training_images": len(data.training),
        "held_out_images": len(data.held_out),
        "recipe": recipe.model_dump(mode="json"),
    }
    trained = replace(graph, spec=graph.spec.model_copy(update={"training": recipe}))
    folder.create(trained, about, backend.emit(graph), backend.name)
    return folder


def _resumed(folder: RunFolder, options: RunOptions) -> RunOptions:
    """The options of the run that is gone on with; only epochs and device may change."""
    about = folder.run()
    return RunOptions(
        backend=options.backend,
        data=about["data"],
        limit=about["limit"],
        epochs=options.epochs,
        device=options.device,
        resume=options.resume,
    )


def _plan(
    backend: TrainableBackend,
    graph: Graph,
    recipe: Recipe,
    options: RunOptions,
    trainer: Trainer,
    data: Data,
    folder: RunFolder,
    metrics: list[EpochMetrics],
) -> RunPlan:
    return RunPlan(
        title=graph.title,
        backend=backend.name,
        engine=trainer.engine,
        device=trainer.device,
        data=options.data,
        classes=len(data.classes),
        training_images=len(data.training),
        held_out_images=len(data.held_out),
        params=loading.analyze(graph).totals.params,
        recipe=recipe,
        folder=folder.path,
        first_epoch=len(metrics) + 1,
    )


def _shuffle_seed(seed: int, epoch: int) -> int:
    """Another order for each epoch of each seed, the same in every backend."""
    return (seed * 1_000_003 + epoch) % 2**31
