"""Whether the built models are what the analysis says of the network.

Compared with the frameworks' own figures are the shape of every layer, the numbers of trainable and
of other parameters, and the FLOPs of convolutions and matrix products (2 a multiply-accumulate),
layer by layer. What a position sees of the image is measured by the support of its gradient: the
pixels at which that is not 0.

A gradient is also 0 behind a dead ReLU, and at all pixels of a max pool's window but one. So it is
taken for random images and weights, of several channels and images together, and again for others
until the field is as large as the analysis says. It never reaches a pixel that is not seen. Where
the field hangs over the edge of the image, the same layers are measured on a larger one, as far as
that is cheap; else the pixels seen must lie within the field.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from archspec.analysis.costs import layer_costs
from archspec.analysis.receptive_field import ReceptiveField, receptive_fields
from archspec.analysis.section import Column, Section
from archspec.analysis.shapes import Shapes, infer_shapes
from archspec.graph import Graph
from archspec.layers.base import show
from archspec.spec.fields import Pair

if TYPE_CHECKING:
    from archspec.backends.base import ComparableBackend, Mask, Measured, Weights
    from archspec.verification.checks import Subject

# How many layers' fields are measured beside that of the last one.
INNER = 4
# Multiply-accumulates of the largest image on which fields are measured: about a second.
MOST_MACS = 4_000_000_000
# Images at once, as many as add up to this but no more than MOST_IMAGES.
BATCH_MACS = 200_000_000
MOST_IMAGES = 32
# How often gradients are taken before a field counts as smaller than the analysis says.
DRAWS = 30

_COLUMNS = (
    Column("of the built model", folds=True),
    Column("backend"),
    Column("analysis", "right"),
    Column("measured", "right"),
    Column("verdict"),
)


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure of one backend's model, of a layer or (None) of the network.

    `what` is `shape`, `trainable_params`, `non_trainable_params`, `flops` or `receptive_field`. A
    field is the rows and the columns that a position sees, each as (first, last), None where there
    is none. `inside` is False where it hangs over the edge of the image: what is measured must lie
    within what is expected. `image` is the height and width of the image on which it was measured,
    None where that is the network's own.
    """

    what: str
    backend: str
    layer: str | None
    expected: Any
    measured: Any
    equal: bool
    inside: bool = True
    image: Pair | None = None


@dataclass(frozen=True)
class Facts:
    """Everything that was compared with the analysis."""

    facts: tuple[Fact, ...]
    key: ClassVar[str] = "facts"

    @property
    def equal(self) -> bool:
        """Whether every figure is the analysis'."""
        return all(fact.equal for fact in self.facts)

    def to_json(self) -> dict[str, Any]:
        """The findings as in ``verify --format json``."""
        return {"equal": self.equal, "compared": [asdict(fact) for fact in self.facts]}

    def sections(self) -> tuple[Section, ...]:
        """One table. What every layer has is one line, and one for each layer that differs."""
        rows: list[tuple[str, ...]] = []
        for backend in dict.fromkeys(fact.backend for fact in self.facts):
            mine = [fact for fact in self.facts if fact.backend == backend]
            for what in dict.fromkeys(fact.what for fact in mine):
                every = [fact for fact in mine if fact.what == what]
                if what in _EVERY:
                    rows.append(_summary(every))
                    every = [fact for fact in every if not fact.equal]
                rows += map(_row, every)
        larger = [f for f in self.facts if f.image is not None]
        notes = [
            f"the field of {fact.layer} hangs over the edge of the image: measured on one of "
            f"{show(fact.image)}"
            for fact in larger
            if fact.image
        ]
        return (
            Section("The built models against the analysis", _COLUMNS, tuple(rows), tuple(notes)),
        )


# What is compared for every layer, and what that is called.
_EVERY = {"shape": "output shapes", "flops": "FLOPs of products"}
_WORDS = {
    "trainable_params": "trainable parameters",
    "non_trainable_params": "other parameters",
    "receptive_field": "receptive field",
    "shape": "output",
    "flops": "FLOPs",
}


def _summary(every: Sequence[Fact]) -> tuple[str, ...]:
    """What was found of all layers together."""
    equal = sum(fact.equal for fact in every)
    layers = "1 layer" if len(every) == 1 else f"{len(every)} layers"
    verdict = _verdict(equal == len(every))
    return (_EVERY[every[0].what], every[0].backend, layers, f"{equal} equal", verdict)


def _row(fact: Fact) -> tuple[str, ...]:
    words = _WORDS[fact.what] + (f" of {fact.layer}" if fact.layer else "")
    expected, measured = _text(fact, fact.expected), _text(fact, fact.measured)
    within = fact.equal and not fact.inside
    if not fact.inside:
        expected = f"within {expected}"
    return (words, fact.backend, expected, measured, "within" if within else _verdict(fact.equal))


def _text(fact: Fact, value: Any) -> str:
    if value is None:
        return "none"
    if fact.what == "receptive_field":
        return (
            " x ".join(str(last - first + 1) for first, last in value)
            + " at "
            + ", ".join(str(first) for first, _ in value)
        )
    return show(value) if isinstance(value, tuple) else f"{value:,}"


def _verdict(equal: bool) -> str:
    return "equal" if equal else "NOT EQUAL"


def facts(subject: Subject) -> Facts | None:
    """Compare the models that were built, and others of the same layers where the image is small.

    None where no backend can say anything of its models.
    """
    found: list[Fact] = []
    graph = subject.graph
    shapes = infer_shapes(graph)
    for backend in subject.backends:
        measured = subject.measured.get(backend.name)
        counts = [] if measured is None else _counts(graph, shapes, backend.name, measured)
        found += counts
        # A model with other tensors has no place for the weights.
        fits = all(fact.equal for fact in counts if "params" in fact.what)
        if fits and backend.differentiates_images:
            found += _fields(graph, backend)
    return Facts(tuple(found)) if found else None


def _counts(graph: Graph, shapes: Shapes, backend: str, measured: Measured) -> list[Fact]:
    costs = layer_costs(graph, shapes, 1)
    found = [
        _same("shape", backend, name, shapes.of(name), measured.shapes.get(name))
        for name in shapes.layers
    ]
    for what in ("trainable_params", "non_trainable_params"):
        expected = sum(getattr(cost, what) for cost in costs.values())
        found.append(_same(what, backend, None, expected, getattr(measured, what)))
    if measured.flops is not None:
        for name, cost in costs.items():
            counted = measured.flops.get(name, 0)
            if cost.macs or counted:
                found.append(_same("flops", backend, name, 2 * cost.macs, counted))
    return found


def _same(what: str, backend: str, layer: str | None, expected: Any, measured: Any) -> Fact:
    return Fact(what, backend, layer, expected, measured, expected == measured)


# The first and the last of the rows that are seen, and those of the columns.
Field = tuple[Pair, Pair]


@dataclass(frozen=True, slots=True)
class _Site:
    """A position of a layer, what it sees by the analysis, and along which axes that is inside."""

    layer: str
    position: tuple[int, ...]
    field: Field
    inside: tuple[bool, bool]

    def agrees(self, seen: Field | None) -> bool:
        """Whether that is the field, or within it where it hangs over the edge of the image.

        What has no gradient anywhere is constant, as the softmax of a single channel is.
        """
        return seen is None or all(
            mine == other if inside else mine[0] <= other[0] and other[1] <= mine[1]
            for mine, other, inside in zip(self.field, seen, self.inside, strict=True)
        )

    def exceeded(self, seen: Field | None) -> bool:
        """Whether more than the field is seen."""
        return seen is not None and any(
            other[0] < mine[0] or mine[1] < other[1]
            for mine, other in zip(self.field, seen, strict=True)
        )


def _fields(graph: Graph, backend: ComparableBackend) -> Iterator[Fact]:
    """The fields of the last layer and of some before it."""
    for part, sites in _plan(graph):
        seen = _seen(part, sites, backend)
        _, height, width = part.input_shape
        larger = part.input_shape != graph.input_shape
        for site in sites:
            found = seen[site.layer]
            yield Fact(
                "receptive_field",
                backend.name,
                site.layer,
                site.field,
                found,
                site.agrees(found),
                all(site.inside),
                (height, width) if larger else None,
            )


def _plan(graph: Graph) -> list[tuple[Graph, list[_Site]]]:
    """What to measure on which networks: the given image, and a larger one where that helps."""
    names = _probes(graph)
    hanging = {site.layer for site in _sites(graph, names) if not all(site.inside)}
    plan = []
    for name in reversed(names):
        larger = _enlarged(graph, name) if name in hanging else None
        if larger is not None:
            sites = [s for s in _sites(larger, names) if s.layer in hanging and all(s.inside)]
            plan.append((larger, sites))
            names = [n for n in names if all(n != site.layer for site in sites)]
            break
    if names:
        plan.insert(0, (_leading_to(graph, names), _sites(graph, names)))
    return plan


def _probes(graph: Graph) -> list[str]:
    """The last layer that changes what is seen, and some of those before it."""
    shapes = infer_shapes(graph)
    fields = receptive_fields(graph, shapes)
    distinct: dict[ReceptiveField, str] = {}
    for node in graph.nodes:
        field, inferred = fields[node.name], shapes.layers[node.name]
        # The elements of a flattened map, and what joins such, are at many positions.
        joins = len(node.inputs) > 1 and len(inferred.shape) == 3
        changes = joins or inferred.sees != "one"
        if field is not None and changes and node.name not in graph.training_only:
            distinct.setdefault(field, node.name)
    *inner, last = list(distinct.values()) or [""]
    step = max(1, math.ceil(len(inner) / INNER))
    return [*inner[::-step][::-1], last] if last else []


def _leading_to(graph: Graph, names: Sequence[str]) -> Graph:
    """The layers that these depend on, and these."""
    needed = set(names)
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    nodes = tuple(node for node in graph.nodes if node.name in needed)
    return replace(graph, nodes=nodes, output=nodes[-1].name, auxiliary=())


def _enlarged(graph: Graph, name: str) -> Graph | None:
    """The layers up to one of them on an image that is large enough for its field.

    It grows by whole strides, so that sizes which are whole stay whole. None where the field grows
    with the image, or the work with it too much.
    """
    part = _leading_to(graph, [name])
    field = receptive_fields(part, infer_shapes(part))[name]
    assert field is not None
    channels, *sides = graph.input_shape
    enough = [
        side + stride * max(0, math.ceil((size + stride - side) / stride))
        for side, size, stride in zip(sides, field.size, field.stride, strict=True)
    ]
    larger = part.with_input((channels, *enough))
    shapes = infer_shapes(larger)
    if shapes.missing or shapes.problems or _macs(larger, shapes) > MOST_MACS:
        return None
    return larger if all(_sites(larger, [name])[0].inside) else None


def _macs(graph: Graph, shapes: Shapes) -> int:
    return sum(cost.macs for cost in layer_costs(graph, shapes, 1).values())


def _sites(graph: Graph, names: Sequence[str]) -> list[_Site]:
    """A position in the middle of each of the layers that the graph has, inside where it can be."""
    shapes = infer_shapes(graph)
    fields = receptive_fields(graph, shapes)
    found = []
    for name in names:
        field = fields.get(name)
        if field is None:
            continue
        shape = shapes.of(name)
        rows, columns = shape[1:] or (1, 1)
        down = _place(field, 0, rows, graph.input_shape[1])
        across = _place(field, 1, columns, graph.input_shape[2])
        position = (down[0], across[0]) if len(shape) > 1 else ()
        found.append(_Site(name, position, (down[1], across[1]), (down[2], across[2])))
    return found


def _place(field: ReceptiveField, axis: int, positions: int, size: int) -> tuple[int, Pair, bool]:
    """A position along an axis, the pixels of the image that it sees, and whether that is all."""
    extent, stride, offset = field.size[axis], field.stride[axis], field.offset[axis]
    first = max(0, -(offset // stride))
    last = min(positions - 1, (size - extent - offset) // stride)
    position = (first + last) // 2 if first <= last else positions // 2
    begin = offset + position * stride
    end = begin + extent - 1
    return position, (max(begin, 0), min(end, size - 1)), begin >= 0 and end < size


def _seen(
    graph: Graph, sites: Sequence[_Site], backend: ComparableBackend
) -> dict[str, Field | None]:
    """What the positions see, by layer."""
    import numpy as np

    macs = _macs(graph, infer_shapes(graph))
    count = max(1, min(MOST_IMAGES, BATCH_MACS // max(macs, 1)))
    numbers = np.random.default_rng(0)
    model = backend.build_for_verification(graph, "float64")
    positions = {site.layer: site.position for site in sites}
    masks: dict[str, Mask] = {}
    seen: dict[str, Field | None] = {}
    for draw in range(DRAWS):
        backend.load_weights(graph, model, _weights(graph, draw))
        images = numbers.standard_normal((count, *graph.input_shape))
        found = backend.support(graph, model, images, positions)
        masks = {name: masks.get(name, False) | mask for name, mask in found.items()}
        seen = {name: _extent(mask) for name, mask in masks.items()}
        found_all = [
            site.exceeded(seen[site.layer])
            or (seen[site.layer] is not None and site.agrees(seen[site.layer]))
            for site in sites
        ]
        if all(found_all):
            break
    return seen


def _weights(graph: Graph, seed: int) -> Weights:
    """Weights that hand on signals of about the size they get, whatever the spec begins with."""
    from archspec.backends.initial import DRAW, generator

    shapes = infer_shapes(graph)
    weights = {}
    for node in graph.nodes:
        for weight in node.layer.weights(shapes.inputs(node)):
            name = f"{node.name}.{weight.name}"
            numbers = generator(seed, name)
            if len(weight.shape) > 1:
                scale = math.sqrt(2 / weight.fan_in)
                weights[name] = scale * numbers.standard_normal(weight.shape)
            elif weight.buffer:
                function, arguments = weight.drawing
                weights[name] = DRAW[function](seed, name, weight.shape, **arguments)
            else:
                weights[name] = numbers.uniform(0.5, 1.5, weight.shape)
    return weights


def _extent(mask: Mask) -> Field | None:
    """The first and the last row, and column, in which there is a pixel."""
    import numpy as np

    sides = [np.flatnonzero(mask.any(axis=1 - axis)) for axis in (0, 1)]
    if not len(sides[0]):
        return None
    rows, columns = ((int(side[0]), int(side[-1])) for side in sides)
    return rows, columns
