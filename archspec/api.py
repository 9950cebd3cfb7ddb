"""What archspec does, as functions; the command line only adds arguments and printing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec import catalog, source
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.loading import Spec, analyze, buildable, examine, load, parse_shape

if TYPE_CHECKING:
    from archspec.analysis import Analysis
    from archspec.analysis.conventions import Conventions
    from archspec.analysis.diff import Comparison
    from archspec.evaluation import Evaluation
    from archspec.prediction import Classifier, Prediction
    from archspec.training.options import RunOptions, RunSummary, Watcher
    from archspec.training.runs import Runs
    from archspec.verification import Verification
    from archspec.verification.edited import Edited
    from archspec.weights import Loaded
    from archspec.weights.foreign import Colours, Flatten

__all__ = [
    "Spec",
    "analyze",
    "build",
    "buildable",
    "classifier",
    "compare_runs",
    "conventions",
    "diff",
    "emit",
    "evaluate",
    "examine",
    "expand",
    "load",
    "load_weights",
    "parse_assignments",
    "parse_shape",
    "predict",
    "save_weights",
    "train",
    "verify",
    "verify_source",
]


def diff(a: Spec, b: Spec) -> Comparison:
    """What differs between two networks, and what explains the difference of every total.

    A network with errors is compared as far as its analysis goes (`Analysis.has_errors` of
    `Comparison.a` and `.b` tells). Raises SpecError when one is no network.
    """
    from archspec.analysis.diff import compare

    return compare(analyze(a), analyze(b))


def emit(spec: Spec = catalog.DEFAULT, *, backend: str = "torch") -> str:
    """The source of the model, which needs the framework to run and nothing of archspec."""
    from archspec.backends import get_backend

    return get_backend(backend).emit(buildable(spec))


def build(
    spec: Spec = catalog.DEFAULT,
    *,
    backend: str = "torch",
    seed: int | None = None,
    weights: str | Path | None = None,
) -> Any:
    """The model, made by executing what `emit` returns.

    With `seed`, its weights are drawn by archspec and equal in every backend; with `weights` they
    are those of a file, a run or a checkpoint; without, the framework draws them. Raises
    ArchspecError when the framework is not installed or the file does not fit.
    """
    from archspec.backends import get_backend
    from archspec.backends.initial import initial_weights

    graph = buildable(spec)
    chosen = get_backend(backend)
    chosen.require()
    model = chosen.build(graph)
    if weights is not None:
        loaded = load_weights(weights, graph)
        loaded.require_complete()
        chosen.load_weights(graph, model, loaded.weights)
    elif seed is not None:
        chosen.load_weights(graph, model, initial_weights(graph, seed))
    return model


def conventions(found: Analysis) -> Conventions:
    """What other tools say of the models of a network that was analysed; none of them is run.

    Raises ArchspecError where a layer type of a plug-in cannot be built in PyTorch.
    """
    from archspec.analysis import conventions
    from archspec.backends.torch.emit import modules

    return conventions.compute(found, {} if found.has_errors else modules(found.graph))


def verify(spec: Spec = catalog.DEFAULT, **options: Any) -> Verification:
    """Compare every installed backend with the NumPy reference; see `archspec.verification`."""
    from archspec import verification

    return verification.verify(buildable(spec), **options)


def load_weights(
    path: str | Path,
    spec: Spec = catalog.DEFAULT,
    *,
    skip: Sequence[str] = (),
    colours: Colours | None = None,
    flatten: Flatten | None = None,
) -> Loaded:
    """Canonical weights of a network out of a file, whatever wrote it, and how they were found.

    The file may also be the folder of a run or of a checkpoint. `Loaded.weights` are float32 arrays
    by canonical name; see `archspec.weights.load` for the options. Raises SpecError, or
    ArchspecError for a file that cannot be read or does not fit.
    """
    from archspec import weights
    from archspec.training.checkpoint import weights_in

    path = weights_in(Path(path))
    return weights.load(path, buildable(spec), skip=skip, colours=colours, flatten=flatten)


def save_weights(
    path: str | Path, weights: Mapping[str, Any], spec: Spec = catalog.DEFAULT
) -> None:
    """Write canonical weights of a network in the format of the file's ending.

    That is the canonical store (`.safetensors`), the dictionary of `bvlc_alexnet.npy` (`.npy`), or
    a backend's own format. Raises SpecError, or ArchspecError where that cannot be done.
    """
    from archspec.weights import save

    save(path, buildable(spec), weights)


def with_recipe(net: Graph, changes: Mapping[str, Any]) -> Graph:
    """A network with keys of its recipe replaced, such as ``{"optimizer.momentum": 0.95}``.

    One without a recipe has that of `archspec train` first. Raises ArchspecError, naming the key,
    for what would not be a recipe.
    """
    if not changes:
        return net
    from dataclasses import replace

    from archspec.spec.recipe import DEFAULT_RECIPE
    from archspec.training.options import RunOptions
    from archspec.training.overrides import overridden

    recipe = overridden(net.spec.training or DEFAULT_RECIPE, RunOptions(recipe=changes))
    return replace(net, spec=net.spec.model_copy(update={"training": recipe}))


def verify_source(spec: Spec, file: str | Path, **options: Any) -> Edited:
    """Execute an emitted file that was edited, and tell which layers the edit changed.

    `options` are those of `archspec.verification.edited.verify_source`.
    """
    from archspec.verification.edited import verify_source

    return verify_source(buildable(spec), Path(file), **options)


def train(
    spec: Spec | None = None,
    options: RunOptions | None = None,
    watcher: Watcher | None = None,
) -> RunSummary:
    """Train a network (AlexNet if left out) with its recipe, or go on with a run; see RunOptions.

    Raises SpecError or ArchspecError; see `archspec.training.loop.run`.
    """
    from archspec.training import run

    return run(spec, options, watcher)


def compare_runs(folders: Iterable[str | Path]) -> Runs:
    """Runs beside one another: their figures, their recipes' differences, their networks'.

    Folders that are no runs are told in `Runs.unreadable`. Raises ArchspecError where none is.
    """
    from archspec.training.runs import read

    return read([Path(folder) for folder in folders])


def evaluate(weights: str | Path, spec: Spec | None = None, **options: Any) -> Evaluation:
    """Top-1, top-5 and confusions of a run, or of weights, on held-out or other images.

    The options are those of `archspec.evaluation.evaluate`. Raises SpecError or
    ArchspecError.
    """
    from archspec import evaluation

    return evaluation.evaluate(Path(weights), spec, **options)


def classifier(weights: str | Path, spec: Spec | None = None, **options: Any) -> Classifier:
    """A network with weights that is ready to look at pictures; see `archspec.prediction`."""
    from archspec import prediction

    return prediction.classifier(weights, spec, **options)


def predict(
    images: str | Path | Iterable[str | Path],
    weights: str | Path,
    spec: Spec | None = None,
    *,
    top: int = 5,
    **options: Any,
) -> list[Prediction]:
    """The `top` likeliest classes of each image, file by file and of the files below folders.

    The options are those of `archspec.prediction.classifier`: labels, preprocessing, backend,
    device and more. Raises SpecError or ArchspecError.
    """
    several = [images] if isinstance(images, (str, Path)) else images
    return list(classifier(weights, spec, **options).predict(several, top))


def expand(spec: Spec = catalog.DEFAULT) -> str:
    """The plain spec that a spec amounts to: no variables, blocks, repetitions, other files."""
    from archspec.plain import plain_spec

    return plain_spec(spec if isinstance(spec, Graph) else load(spec))


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """`name=value` texts as values, read as in a spec. Raises ArchspecError."""
    values = {}
    for name, text in _assigned("--set", assignments, "classes=10"):
        value = source.value(text)
        if value is None:
            raise ArchspecError(f"--set {name}= needs a value, such as {name}=10")
        values[name] = value
    return values


def parse_recipe(assignments: Iterable[str]) -> dict[str, Any]:
    """`key=value` texts such as ``optimizer.momentum=0.95``, read as in a spec.

    Raises ArchspecError for what is none, and for a key that is given twice.
    """
    values: dict[str, Any] = {}
    for key, text in _assigned("--recipe", assignments, "optimizer.momentum=0.95"):
        if not text:
            raise ArchspecError(f"--recipe {key}= needs a value; `null` leaves the key out")
        if key in values:
            raise ArchspecError(f"--recipe {key} is given twice")
        values[key] = source.value(text, mappings=True)
    return values


def _assigned(option: str, assignments: Iterable[str], example: str) -> Iterator[tuple[str, str]]:
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.strip():
            raise ArchspecError(f"{option} takes name=value, such as {example}, not `{assignment}`")
        yield name.strip(), text.strip()
