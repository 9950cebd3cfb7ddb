"""What is in a file of weights: format, tensors, statistics, and the specs that it fits."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec import catalog, loading
from archspec.analysis.section import Column, Section
from archspec.diagnostics import shortened
from archspec.layers.base import Shape, show
from archspec.weights import files, readers
from archspec.weights.foreign import Foreign
from archspec.weights.store import tensor_shapes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.generic]

# Statistics are computed so many numbers at a time, in float64.
_PIECE = 1 << 20
# A spec fits but for a layer when so many tensors, its weight and bias, have other shapes.
_LAST = 2


@dataclass(frozen=True, slots=True)
class Statistics:
    """One tensor. The figures are those of its finite numbers, None where it has none.

    `deviation` is the standard deviation, divided by n.
    """

    name: str
    shape: Shape
    dtype: str
    bytes: int
    least: float | None
    largest: float | None
    mean: float | None
    deviation: float | None
    not_finite: int

    def to_json(self) -> dict[str, Any]:
        """The tensor as in ``weights inspect --format json``."""
        return {
            "name": self.name,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "bytes": self.bytes,
            "min": self.least,
            "max": self.largest,
            "mean": self.mean,
            "std": self.deviation,
            "not_finite": self.not_finite,
        }


@dataclass(frozen=True)
class Inspection:
    """A file of weights.

    `fits` are the shipped specs whose tensors have the shapes of the file's, whatever the order
    of their axes, `nearly` those with other shapes in one layer, and which; both are None where
    they were not looked for.
    """

    path: str
    format: str
    size: int
    tensors: tuple[Statistics, ...]
    metadata: dict[str, str]
    notes: tuple[str, ...]
    fits: tuple[str, ...] | None = None
    nearly: tuple[tuple[str, str], ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """The document of ``weights inspect --format json``."""
        return {
            "file": self.path,
            "format": self.format,
            "bytes": self.size,
            "numbers": sum(math.prod(t.shape) for t in self.tensors),
            "tensors": [tensor.to_json() for tensor in self.tensors],
            "metadata": self.metadata,
            "notes": list(self.notes),
            "fits": None if self.fits is None else list(self.fits),
            "fits_but_for": None
            if self.nearly is None
            else [{"spec": spec, "layer": layer} for spec, layer in self.nearly],
        }

    def sections(self) -> tuple[Section, ...]:
        """The file for people."""
        bad = [t for t in self.tensors if t.not_finite]
        columns = (
            Column("tensor", folds=True),
            Column("shape", "right"),
            Column("dtype"),
            *(Column(figure, "right") for figure in ("min", "max", "mean", "std")),
            *((Column("not finite", "right"),) if bad else ()),
        )
        rows = tuple(
            (
                shortened(t.name, 120),
                show(t.shape) or "one number",
                t.dtype,
                *(_figure(x) for x in (t.least, t.largest, t.mean, t.deviation)),
                *((f"{t.not_finite:,}" if t.not_finite else "",) if bad else ()),
            )
            for t in self.tensors
        )
        numbers = sum(math.prod(t.shape) for t in self.tensors)
        notes = [f"{len(self.tensors):,} tensors, {numbers:,} numbers, {self.size:,} bytes."]
        if bad:
            notes.append(
                f"Not finite (NaN or infinite): {sum(t.not_finite for t in bad):,} numbers in "
                f"{len(bad)} tensors; no command loads them."
            )
        notes += self.notes
        if self.metadata:
            said = (f"{shortened(k, 40)} = {shortened(v, 80)}" for k, v in self.metadata.items())
            notes.append(f"It says of itself: {', '.join(said)}.")
        if self.fits is not None and self.nearly is not None:
            if self.fits:
                notes.append(f"Shipped specs of these shapes: {', '.join(self.fits)}.")
            for spec, layer in () if self.fits else self.nearly:
                notes.append(f"The shipped spec {spec} has these shapes but for {layer}.")
            if not self.fits and not self.nearly:
                notes.append("No shipped spec has these shapes.")
        return (Section(f"{self.path} ({self.format})", columns, rows, tuple(notes)),)


def inspect(path: str | Path, *, look_for_specs: bool = True) -> Inspection:
    """Read a file and say what is in it. Raises ArchspecError where it cannot be read."""
    path = Path(path)
    foreign = readers.read(path)
    tensors = tuple(
        statistics(t.name, t.value, t.stored or t.value.dtype.name) for t in foreign.tensors
    )
    fits, nearly = fitting(foreign) if look_for_specs else (None, None)
    return Inspection(
        files.shown(path),
        foreign.format,
        path.stat().st_size,
        tensors,
        dict(foreign.metadata),
        foreign.notes,
        fits,
        nearly,
    )


def statistics(name: str, value: Array, dtype: str) -> Statistics:
    """The figures of one array."""
    import numpy as np

    size = 2 if dtype == "bfloat16" else value.dtype.itemsize
    least, largest, total, finite = math.inf, -math.inf, 0.0, 0
    flat = value.reshape(-1)
    pieces = range(0, flat.size, _PIECE) if value.dtype.kind in "fiub" else ()
    for start in pieces:
        piece = _finite(flat[start : start + _PIECE])
        if piece.size:
            least, largest = min(least, float(piece.min())), max(largest, float(piece.max()))
            total, finite = total + float(piece.sum()), finite + piece.size
    if not finite:
        bad = value.size if value.dtype.kind in "fiub" else 0
        return Statistics(name, value.shape, dtype, value.size * size, None, None, None, None, bad)
    mean = total / finite
    squares = 0.0
    for start in pieces:
        squares += float(np.square(_finite(flat[start : start + _PIECE]) - mean).sum())
    return Statistics(
        name,
        value.shape,
        dtype,
        value.size * size,
        least,
        largest,
        mean,
        math.sqrt(squares / finite),
        value.size - finite,
    )


def fitting(foreign: Foreign) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """The shipped specs whose tensors have these shapes, and those but for one layer."""
    has = Counter(_shape(t.value.shape) for t in foreign.tensors)
    fits: list[str] = []
    nearly: list[tuple[str, str]] = []
    for name in catalog.shipped():
        shapes = tensor_shapes(loading.load(name))
        if len(shapes) != sum(has.values()):
            continue
        wants = Counter(map(_shape, shapes.values()))
        over = wants - has
        if not over:
            fits.append(name)
        elif sum(over.values()) <= _LAST:
            layer, *others = dict.fromkeys(
                key.rpartition(".")[0] for key, s in shapes.items() if _shape(s) in over
            )
            if not others:
                nearly.append((name, layer))
    return tuple(fits), tuple(nearly)


def _shape(shape: Sequence[int]) -> Shape:
    """A shape whatever the order of its axes."""
    return tuple(sorted(shape))


def _finite(piece: Array) -> npt.NDArray[np.float64]:
    import numpy as np

    numbers = piece.astype(np.float64)
    return numbers[np.isfinite(numbers)]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
