"""How good a trained network is on images with known classes, and what it takes for what."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.analysis.numbers import printable
from archspec.analysis.section import Column, Section
from archspec.analysis.shapes import infer_shapes
from archspec.diagnostics import ArchspecError, listing
from archspec.graph import Graph
from archspec.prediction import DEFAULT_BACKEND, Classifier, classifier
from archspec.training.checkpoint import RunFolder, RunRecord, run_around
from archspec.training.clock import Clock
from archspec.training.data import Images, split
from archspec.training.metrics import Score, confusion, sums
from archspec.training.pixels import Scaling
from archspec.training.sources import Source, open_source, shown

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.floating[Any]]
    Counts = npt.NDArray[np.int64]

SCHEMA_VERSION = 1
DEFAULT_BATCH = 32
# Classes whose whole matrix fits a terminal, and rows of a table of classes or of confusions.
MATRIX = 12
ROWS = 20
# Classes that a class is said to be taken for, and letters of the heading of a matrix' column.
NAMED = 3
HEADING = 5
# Classes that a message names.
FEW = 5


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a network makes of images whose classes are known.

    `score` and `confusion` (rows: what it is, columns: what it is taken for) are as in
    `training.metrics`. `part` says which images of `data` these were; of each there were ten crops
    where `ten_crop` says so. `images_per_second` is
    without the first batch, in which frameworks compile, and with the time in which there was
    nothing to compute because images were not ready: a fraction `data_wait` of all.
    """

    network: Classifier
    data: str
    part: str
    ten_crop: bool
    classes: tuple[str, ...]
    score: Score
    confusion: Counts
    images_per_second: float
    data_wait: float

    @property
    def images(self) -> int:
        """How many they were."""
        return int(self.confusion.sum())

    def sections(self) -> tuple[Section, ...]:
        """Figures, classes, and the confusion matrix, or its largest entries for many classes."""
        matrix = _matrix(self) if len(self.classes) <= MATRIX else _confused(self)
        return (_figures(self), _classes(self), *([matrix] if matrix else []))

    def to_json(self) -> dict[str, Any]:
        """The document of ``evaluate --format json``, schema version 1."""
        per_class = zip(self.classes, self.confusion, self.confusion.diagonal(), strict=True)
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.network.graph.name,
            "weights": {"file": self.network.weights.path, "format": self.network.weights.format},
            "backend": self.network.backend,
            "engine": self.network.predictor.engine,
            "device": self.network.predictor.device,
            "data": self.data,
            "part": self.part,
            "ten_crop": self.ten_crop,
            "images": self.images,
            "preprocessing": self.network.preprocessing.model_dump(mode="json"),
            "loss": self.score.loss if math.isfinite(self.score.loss) else None,
            "top1": self.score.top1,
            "top5": self.score.top5,
            "images_per_second": self.images_per_second,
            "data_wait": self.data_wait,
            "classes": [
                {
                    "name": name,
                    "images": int(row.sum()),
                    "top1": int(right) / int(row.sum()) if row.sum() else None,
                }
                for name, row, right in per_class
            ],
            "confusion": self.confusion.tolist(),
        }


def evaluate(
    weights: Path,
    spec: str | Path | Graph | None = None,
    *,
    data: str | None = None,
    ten_crop: bool = False,
    checkpoint: str | None = None,
    batch_size: int | None = None,
    limit: int | None = None,
    backend: str | None = None,
    device: str = "auto",
    variables: Mapping[str, Any] | None = None,
    root: str | Path | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score a run on the images that it holds out, or any weights on other images.

    `weights` is the folder of a run (its best epoch counts), a checkpoint, or a file of weights;
    a run brings its spec, its pre-processing and the names of its classes. Without `data` the
    images are those that the run holds out; with it, those that the source holds out, or all of a
    source that has no such part. `ten_crop` averages the softmax of ten crops of each (the corners,
    the middle, and their mirror images: Krizhevsky et al. 2012, section 4.1). `checkpoint` is that
    of a run: ``best`` (if left out), ``last`` or ``step-N``. `limit` takes so many images, evenly
    over them. `backend` is the run's if left out, and `batch_size` that of its recipe: so the
    figures are those of its `metrics.jsonl`. `progress` is called with the images done and their
    number.

    Raises SpecError for a spec that cannot be built and ArchspecError for what is missing or does
    not fit.
    """
    run = run_around(weights) if spec is None else None
    record = run.record() if run is not None else None
    if record is None and data is None:
        raise ArchspecError(
            f"{shown(weights)} belongs to no run, so say which images to look at: --data "
            "folder:DIR, with one sub-folder a class"
        )
    if checkpoint is not None:
        around = run_around(weights)
        if around is None:
            raise ArchspecError(
                f"{shown(weights)} belongs to no run, and --checkpoint is about those of a run"
            )
        weights = around.checkpoint(checkpoint)
    network = classifier(
        weights,
        spec,
        variables=variables,
        root=root,
        preprocessing=preprocessing,
        backend=backend or (record.backend if record else DEFAULT_BACKEND),
        device=device,
    )
    source, indices, part = _chosen(run, record, data)
    _require_classes(network, source, record)
    if limit is not None and limit < len(indices):
        indices = [indices[len(indices) * i // limit] for i in range(limit)]
        part = f"{limit:,} of {part}"
    source.check(indices)
    shape = network.graph.input_shape
    recipe = network.preprocessing
    images = Images(source, indices, shape, Scaling.of(recipe, shape[0]), recipe, crops=ten_crop)
    size = batch_size or (record.recipe.batch_size if record else DEFAULT_BATCH)
    if ten_crop:
        size = max(1, size // 10)  # what the network sees at once stays as large
    clock = Clock()
    found = sums(
        _averaged(network.predictor.logits) if ten_crop else network.predictor.logits,
        _timed(images.batches(size), clock, len(images), progress),
        len(source.classes),
    )
    return Evaluation(
        network,
        source.name,
        part,
        ten_crop,
        source.classes,
        Score.of(found),
        confusion(found),
        clock.images_per_second,
        clock.data_wait,
    )


def _chosen(
    run: RunFolder | None, record: RunRecord | None, data: str | None
) -> tuple[Source, list[int], str]:
    """The source, the numbers of the images, and in words which of them these are."""
    if data is None:
        assert run is not None
        assert record is not None
        source = open_source(record.data)
        if source.fingerprint != record.fingerprint:
            raise ArchspecError(
                f"the images in {shown(record.data.partition(':')[2] or record.data)} are not "
                f"those that the run in {shown(run.path)} began with: some of them may have been "
                "trained on; say which images to look at with --data"
            )
    else:
        source = open_source(data)
    if record is not None and source.fingerprint == record.fingerprint:
        return source, split(source, record.limit)[1], "the images that the run holds out"
    if source.held_out is not None:
        return source, list(source.held_out), "the images that the source holds out"
    return source, list(range(len(source.labels))), "all images"


def _require_classes(network: Classifier, source: Source, record: RunRecord | None) -> None:
    """Raise ArchspecError where the classes of the images are not those of the network."""
    if record is not None and source.classes != record.classes:
        lacking = [name for name in record.classes if name not in source.classes]
        others = [name for name in source.classes if name not in record.classes]
        found = [f"lack {_named(lacking)}"] if lacking else []
        found += [f"have {_named(others, '')}, which the run was not trained on"] if others else []
        found = found or ["have the classes in another order"]
        raise ArchspecError(
            f"the images of {shown(source.name)} {' and '.join(found)}; their folders must have "
            "the names of its classes"
        )
    (outputs,) = infer_shapes(network.graph).of(network.graph.output)
    if outputs != len(source.classes):
        raise ArchspecError(
            f"{shown(source.name)} has {len(source.classes):,} classes and the network tells "
            f"{outputs:,} apart"
        )


def _named(classes: Sequence[str], what: str = "the class ") -> str:
    """`the class a`, or `the classes a, b and 7 more`."""
    names = listing([shown(name) for name in classes[:FEW]])
    more = f" and {len(classes) - FEW:,} more" if len(classes) > FEW else ""
    plural = what.replace("class", "classes") if len(classes) > 1 else what
    return f"{plural}{names}{more}"


def _averaged(logits_of: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The logarithms of the mean softmax over the views of each image, in float64.

    They are logits as good as any: their softmax is that mean.
    """
    import numpy as np

    def log_probabilities(images: Array) -> Array:
        count, views = images.shape[:2]
        found = logits_of(images.reshape(count * views, *images.shape[2:])).astype("float64")
        found = _log_softmax(found).reshape(count, views, -1)
        # The largest apart, so that no class is left with a probability of exactly 0.
        highest = found.max(axis=1)
        mean: Array = highest + np.log(np.exp(found - highest[:, None]).mean(axis=1))
        return mean

    return log_probabilities


def _log_softmax(logits: Array) -> Array:
    import numpy as np

    centred = logits - logits.max(axis=1, keepdims=True)
    found: Array = centred - np.log(np.exp(centred).sum(axis=1, keepdims=True))
    return found


def _timed(
    batches: Iterable[dict[str, Any]],
    clock: Clock,
    total: int,
    progress: Callable[[int, int], None] | None,
) -> Iterator[dict[str, Any]]:
    """The batches; whoever asks for the next one has computed the one before."""
    for number, batch in enumerate(clock.waiting_for(batches, lambda: False)):
        yield batch
        clock.stepped(len(batch["label"]))
        if number == 0:
            clock.leave_out()
        if progress is not None:
            progress(clock.images, total)


def _figures(found: Evaluation) -> Section:
    score, images = found.score, found.images
    loss = f"{score.loss:.4f}" if math.isfinite(score.loss) else "not finite"
    rows = (
        ("top-1", f"{score.top1:.2%}", f"{round(score.top1 * images):,} of {images:,} images"),
        ("top-5", f"{score.top5:.2%}", f"{round(score.top5 * images):,} of {images:,} images"),
        ("loss", loss, "mean cross-entropy"),
        ("images/s", f"{found.images_per_second:,.0f}", f"waited for images {found.data_wait:.0%}"),
    )
    return Section("figures", (Column(""), Column("", "right"), Column("", folds=True)), rows)


def _classes(found: Evaluation) -> Section:
    """A row for each class, or for those that are told worst."""
    rows = []
    for number, (name, row) in enumerate(zip(found.classes, found.confusion, strict=True)):
        images = int(row.sum())
        share = row[number] / images if images else math.nan
        others = [i for i in row.argsort(kind="stable")[::-1] if i != number and row[i]]
        taken = ", ".join(f"{printable(found.classes[i])} ({row[i]:,})" for i in others[:NAMED])
        cells = (printable(name), f"{images:,}", f"{share:.2%}" if images else "", taken)
        rows.append((share if images else math.inf, cells))
    notes: tuple[str, ...] = ()
    if len(rows) > ROWS:
        notes = (f"the {ROWS} that are told worst, of {len(rows):,}; --format json has all",)
        rows = sorted(rows, key=lambda one: one[0])[:ROWS]
    columns = (
        Column("class", folds=True),
        Column("images", "right"),
        Column("top-1", "right"),
        Column("taken for", folds=True),
    )
    return Section("classes", columns, tuple(cells for _, cells in rows), notes)


def _matrix(found: Evaluation) -> Section:
    """The whole matrix. Columns of classes with long names have their numbers."""
    names = [printable(name) for name in found.classes]
    short = all(len(name) <= HEADING for name in names)
    heads = names if short else [str(i) for i in range(len(names))]
    rows = tuple(
        (name if short else f"{i} {name}", *(f"{count:,}" if count else "" for count in row))
        for i, (name, row) in enumerate(zip(names, found.confusion, strict=True))
    )
    columns = (Column("class", folds=True), *(Column(head, "right") for head in heads))
    notes = ("a row for each class, a column for what its images are taken for",)
    return Section("confusion matrix", columns, rows, notes)


def _confused(found: Evaluation) -> Section | None:
    """The largest entries beside the diagonal; None where there are none."""
    wrong = found.confusion.copy()
    for number in range(len(found.classes)):
        wrong[number, number] = 0
    order = wrong.ravel().argsort(kind="stable")[::-1][:ROWS]
    rows = []
    for row, column in (divmod(int(place), len(found.classes)) for place in order):
        count, images = wrong[row, column], found.confusion[row].sum()
        if count:
            a, b = printable(found.classes[row]), printable(found.classes[column])
            rows.append((a, b, f"{count:,}", f"{count / images:.1%}"))
    if not rows:
        return None
    columns = (
        Column("class", folds=True),
        Column("taken for", folds=True),
        Column("images", "right"),
        Column("of its own", "right"),
    )
    notes = ("the most frequent; --format json or csv has the whole matrix",)
    return Section("confused", columns, tuple(rows), notes)
