"""From pictures to the likeliest classes, with the pre-processing of the training."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from archspec import catalog, loading
from archspec.analysis.numbers import counted
from archspec.analysis.shapes import infer_shapes
from archspec.backends import get_backend
from archspec.backends.outputs import ending_in_logits
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.layers.base import Shape, show
from archspec.spec.preprocessing import Preprocessing
from archspec.training.checkpoint import RUN, RunFolder, run_around, weights_in
from archspec.training.pixels import Scaling, fitted, least, require_fit
from archspec.training.sources import SUFFIXES, check_images, images_below, read_image, shown
from archspec.weights.files import regular

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from archspec.backends.base import Predictor
    from archspec.weights import Loaded

    Array = npt.NDArray[np.floating[Any]]

DEFAULT_BACKEND = "torch"
DEFAULT_TOP = 5
# Images in one pass; the last one is filled up, so that a compiled model sees one shape.
BATCH = 16
# Bytes of a file of labels: 21,841 classes of ImageNet have two million.
MAX_LABELS = 16 << 20
# The lines of ImageNet's list of classes begin with the number of a WordNet entry.
_SYNSET = re.compile(r"n\d{8}[ \t]+(?=\S)")


@dataclass(frozen=True, slots=True)
class Guess:
    """One class: its number from 0, its label where there are some, and how likely it is.

    `probability` is softmax(logits) in float64, over all classes.
    """

    index: int
    label: str | None
    probability: float
    logit: float

    def to_json(self) -> dict[str, Any]:
        """The class as in the `classes` of an image of ``predict --format json``."""
        return {
            "class": self.index,
            "label": self.label,
            "probability": self.probability,
            "logit": self.logit,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """An image, its likeliest classes, the likeliest first, and all its logits in float32."""

    image: Path
    top: tuple[Guess, ...]
    logits: Array

    def to_json(self) -> dict[str, Any]:
        """The image as in the `images` of ``predict --format json``."""
        return {"image": str(self.image), "classes": [guess.to_json() for guess in self.top]}


@dataclass(frozen=True)
class Classifier:
    """A network with weights on a device, and what it needs to look at pictures.

    `labels` has a name for each class, or is None. `weights` says where each weight came from.
    """

    graph: Graph
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None
    weights: Loaded
    backend: str
    predictor: Predictor

    def predict(self, images: Iterable[str | Path], top: int = DEFAULT_TOP) -> Iterator[Prediction]:
        """The `top` likeliest classes of JPEG and PNG files, and of those below folders.

        Every file's header is read before the first image is looked at. Raises ArchspecError for
        what is no image.
        """
        import numpy as np

        paths = _files(images)
        check_images(paths)
        shape, recipe = self.graph.input_shape, self.preprocessing
        scaling, enough = Scaling.of(recipe, shape[0]), least(shape, recipe)
        size = min(BATCH, len(paths))
        for first in range(0, len(paths), size):
            batch = paths[first : first + size]
            pixels = np.zeros((size, *_last(shape)), "float32")
            for place, path in enumerate(batch):
                image = fitted(read_image(path, enough), shape, recipe)
                scaling.scaled(image, out=pixels[place])
            logits = self.predictor.logits(pixels)
            for path, row in zip(batch, logits, strict=False):
                yield Prediction(path, self._best(path, row, top), row)

    def _best(self, path: Path, logits: Array, top: int) -> tuple[Guess, ...]:
        import numpy as np

        exact = logits.astype("float64")
        if not np.isfinite(exact).all():
            raise ArchspecError(
                f"the logits of {shown(path)} are not finite: the weights of {self.weights.path} "
                f"and the pixel values do not belong together"
            )
        odds = np.exp(exact - exact.max())
        probabilities = odds / odds.sum()
        order = np.argsort(-exact, kind="stable")[:top]
        return tuple(
            Guess(
                int(index),
                self.labels[index] if self.labels else None,
                float(probabilities[index]),
                float(exact[index]),
            )
            for index in order
        )


def classifier(
    weights: str | Path,
    spec: str | Path | Graph | None = None,
    *,
    variables: Mapping[str, Any] | None = None,
    root: str | Path | None = None,
    labels: str | Path | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    backend: str = DEFAULT_BACKEND,
    device: str = "auto",
) -> Classifier:
    """A network that is ready to look at pictures.

    `weights` is a file, or the folder of a run or a checkpoint: without a `spec`, a run gives its
    spec, its pre-processing and its class names, and any other file is AlexNet's. `labels` is a
    text file with one label a line. `preprocessing` replaces keys of the recipe's (`rescale`,
    `mean`, `std`, `short_side`).

    Raises SpecError for a spec that cannot be built and ArchspecError for what is missing or does
    not fit.
    """
    from archspec.weights import Misfit, load

    _require_pillow()
    chosen = get_backend(backend)
    chosen.require()
    file = weights_in(Path(weights))
    regular(file)  # a name that is wrong is what to say first, and not what its spec may lack
    recipe: Preprocessing | None = None
    names: tuple[str, ...] | None = None
    run = run_around(Path(weights)) if spec is None else None
    if run is not None:
        graph, recipe, names = _of_run(run, variables)
    else:
        if not isinstance(spec, Graph):
            spec = loading.load(spec or catalog.DEFAULT, root=root, **(variables or {}))
        graph = loading.buildable(spec)
        if graph.spec.training is not None:
            recipe = graph.spec.training.preprocessing
    network = ending_in_logits(graph)
    (classes,) = _output(network)
    scaling = _preprocessing(graph, recipe, preprocessing or {})
    if labels is not None:
        names = _labels(Path(labels), classes)
    elif run is not None and len(names or ()) != classes:
        raise ArchspecError(
            f"{shown(run.path / RUN)} names {len(names or ()):,} of the {classes:,} classes that "
            f"the network in {shown(run.spec)} has: one of the two was changed after the run had "
            "begun; put it back, or name the classes with --labels"
        )
    try:
        loaded = load(file, graph)
        loaded.require_complete()
    except Misfit as error:  # its advice is to leave layers out, and a guess needs them all
        fits = f"{error.fits} fits" if error.fits else "give its spec: --spec SPEC"
        raise ArchspecError(f"{error.what}; {fits}") from None
    predictor = chosen.predictor(network, loaded.weights, device)
    return Classifier(network, scaling, names, loaded, backend, predictor)


def _of_run(
    run: RunFolder, variables: Mapping[str, Any] | None
) -> tuple[Graph, Preprocessing, tuple[str, ...]]:
    record = run.record()
    if variables:
        raise ArchspecError(
            f"the spec of the run in {shown(run.path)} has its variables filled in; leave out --set"
        )
    graph = loading.buildable(loading.load(run.spec))
    return graph, record.recipe.preprocessing, record.classes


def _require_pillow() -> None:
    if importlib.util.find_spec("PIL") is None:
        raise ArchspecError("reading pictures needs pillow: pip install 'archspec-nn[train]'")


def _last(shape: Shape) -> Shape:
    """(C, H, W) as (H, W, C)."""
    return (*shape[1:], shape[0])


def _output(graph: Graph) -> Shape:
    """(classes,), the shape of the network's output. Raises ArchspecError for any other."""
    output = infer_shapes(graph).of(graph.output)
    if len(output) != 1:
        raise ArchspecError(
            f"the output of {graph.name} is a map of {show(output)}, and not one number a class: "
            "it tells no classes of a picture"
        )
    if output == (1,):
        raise ArchspecError(f"the output of {graph.name} is a single number; classes need one each")
    if graph.input_shape[0] not in (1, 3):
        raise ArchspecError(
            f"images have 1 or 3 channels and {graph.name} reads {show(graph.input_shape)}"
        )
    return output


def _preprocessing(
    graph: Graph, recipe: Preprocessing | None, given: Mapping[str, Any]
) -> Preprocessing:
    """What becomes of pixel values, in numbers."""
    if recipe is None and "mean" not in given:
        raise ArchspecError(
            f"the spec of {graph.name} does not say what becomes of pixel values; say it with "
            "--mean, such as --mean 123.68,116.779,103.939 (red, green, blue), with --std and "
            "--rescale, or in the spec under `training.preprocessing`"
        )
    before = recipe.model_dump() if recipe is not None else {}
    if "short_side" in given:
        before.pop("center_crop", None)  # it was cut out of a picture of another size
    try:
        found = Preprocessing.model_validate({**before, **given})
    except ValidationError as error:
        # The deepest: the other kind that a statistic may be of, `data`, was not meant by numbers.
        problem = max(error.errors(), key=lambda one: len(one["loc"]))
        option = str(problem["loc"][0]).replace("_", "-")
        raise ArchspecError(f"--{option}: {problem['msg']}") from None
    measured = [name for name in ("mean", "std") if getattr(found, name) == "data"]
    if measured:
        options = " and ".join(f"--{name}" for name in measured)
        raise ArchspecError(
            f"the spec of {graph.name} leaves {' and '.join(measured)} to the images that it is "
            "trained on: give the folder of that run as --weights, without --spec, or the numbers "
            f"with {options}, one a channel"
        )
    Scaling.of(found, graph.input_shape[0])
    require_fit(graph.input_shape, found)
    return found


def _files(images: Iterable[str | Path]) -> list[Path]:
    """The files that are named, and those below the folders that are. Raises ArchspecError."""
    found: list[Path] = []
    for name in images:
        image = Path(name)
        if not str(name):  # Path("") is this folder, and an unset variable of the shell means none
            raise ArchspecError("an image has no name: one of the arguments is empty")
        try:
            if not image.is_dir():
                found.append(image)
                continue
            below = images_below(image)
        except OSError as error:
            raise ArchspecError(f"cannot read {shown(image)}: {error.strerror}") from None
        if not below:
            raise ArchspecError(f"the folder {shown(image)} has no images ({', '.join(SUFFIXES)})")
        found += below
    if not found:
        raise ArchspecError("there is no image to look at")
    return found


def _labels(path: Path, classes: int) -> tuple[str, ...]:
    """One label a line; the numbers of ImageNet's `n01440764 tench, Tinca tinca` are left out."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_LABELS + 1)
    except OSError as error:
        raise ArchspecError(f"cannot read the labels {shown(path)}: {error.strerror}") from None
    if len(content) > MAX_LABELS:
        raise ArchspecError(f"the labels {shown(path)} are longer than {MAX_LABELS >> 20} MiB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ArchspecError(f"the labels {shown(path)} are not text in UTF-8") from None
    lines = [line.strip() for line in text.rstrip().split("\n")]
    if "" in lines:
        raise ArchspecError(
            f"the labels {shown(path)}: line {lines.index('') + 1} is empty; it takes one label a "
            "line"
        )
    if len(lines) != classes:
        raise ArchspecError(
            f"{shown(path)} has {counted(len(lines), 'label')}, one a line, and the network has "
            f"{classes:,} classes"
        )
    if all(_SYNSET.match(line) for line in lines):
        lines = [_SYNSET.sub("", line, count=1) for line in lines]
    return tuple(lines)
