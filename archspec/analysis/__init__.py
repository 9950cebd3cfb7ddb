"""Facts about a network, computed from its spec alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from archspec.analysis.claims import Verdict, check_claims
from archspec.analysis.costs import LayerCosts, Totals, layer_costs, totals
from archspec.analysis.memory import Memory, Optimizer, memory
from archspec.analysis.receptive_field import ReceptiveField, receptive_fields
from archspec.analysis.section import Report
from archspec.analysis.shapes import Shapes, infer_shapes
from archspec.diagnostics import Diagnostic, Problem, Silenced
from archspec.graph import Graph, Node
from archspec.layers.base import Shape, Weight

if TYPE_CHECKING:
    from archspec.analysis.signal import Signals

SCHEMA_VERSION = 1

# The costs of a layer that are in the JSON document.
_COSTS = tuple(field.name for field in fields(LayerCosts) if field.name != "weight_bytes")


@dataclass(frozen=True, slots=True)
class LayerAnalysis:
    """One row of the table: a layer with its shape, the arithmetic and the costs."""

    node: Node
    output_shape: Shape
    formula: str
    costs: LayerCosts
    receptive_field: ReceptiveField | None
    training_only: bool = False

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.node.name

    def to_json(self) -> dict[str, Any]:
        """The layer as in ``analyze --format json``."""
        field = self.receptive_field
        source = self.node.source.span.source
        return {
            "name": self.node.name,
            "type": self.node.layer.type,
            "inputs": list(self.node.inputs),
            "output_shape": list(self.output_shape),
            "formula": self.formula,
            **{key: getattr(self.costs, key) for key in _COSTS},
            "receptive_field": (
                {
                    "size": list(field.size),
                    "stride": list(field.stride),
                    "offset": list(field.offset),
                }
                if field
                else None
            ),
            "training_only": self.training_only,
            "file": source.name if source else None,
            "line": self.node.line,
        }


@dataclass(frozen=True)
class Analysis:
    """Everything known about a network. `diagnostics` are in the order of the file.

    `silenced` are those that the spec calls meant, with its reasons. `reports` are those that were
    asked for.
    """

    graph: Graph
    shapes: Shapes
    batch: int
    layers: tuple[LayerAnalysis, ...]
    totals: Totals
    claims: tuple[Verdict, ...]
    problems: tuple[Problem, ...]
    diagnostics: tuple[Diagnostic, ...] = ()
    silenced: tuple[Silenced, ...] = ()
    reports: tuple[Report, ...] = ()

    @cached_property
    def by_name(self) -> Mapping[str, LayerAnalysis]:
        """The layers by name."""
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def memory(self) -> Memory:
        """What the network holds in training: the report asked for, else for its recipe."""
        asked = (report for report in self.reports if isinstance(report, Memory))
        return next(asked, None) or self.memory_with()

    def memory_with(self, optimizer: Optimizer | None = None, budget: int | None = None) -> Memory:
        """The same with another optimiser, and the largest batch for a budget in bytes."""
        costs = {layer.name: layer.costs for layer in self.layers}
        return memory(self.graph, self.shapes, costs, self.totals, self.batch, optimizer, budget)

    @cached_property
    def parameters(self) -> tuple[tuple[str, Weight], ...]:
        """The parameters by canonical name, frozen ones too, and no running statistics."""
        return tuple(
            (f"{layer.name}.{weight.name}", weight)
            for layer in self.layers
            for weight in layer.node.layer.weights(self.shapes.inputs(layer.node))
            if not weight.buffer
        )

    @cached_property
    def signals(self) -> Signals | None:
        """How large activations and gradients are when the run begins, for natural images.

        None without a recipe, and where that cannot be told: where a layer is not known, or the
        spec's numbers are so extreme that a float does not hold what becomes of them.
        """
        recipe = self.graph.spec.training
        if recipe is None:
            return None
        from archspec.analysis.signal import pixels, propagate  # here: most specs have no recipe

        try:
            return propagate(self.graph, self.shapes, pixels(recipe.preprocessing))
        except OverflowError:
            return None

    @property
    def has_errors(self) -> bool:
        """Whether the network cannot be built as the spec says it."""
        return any(diagnostic.severity == "error" for diagnostic in self.diagnostics)

    @cached_property
    def broken(self) -> frozenset[str]:
        """The layers that an error is about."""
        return frozenset(d.layer for d in self.diagnostics if d.severity == "error" and d.layer)

    def with_reports(self, *reports: Report) -> Analysis:
        """The analysis with these reports behind those that it has."""
        return replace(self, reports=(*self.reports, *reports))

    def to_json(self) -> dict[str, Any]:
        """The document of ``analyze --format json``, schema version 1."""
        saved = {layer.name: layer.saved_bytes for layer in self.memory.layers}
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.graph.name,
            "title": self.graph.title,
            "hash": self.graph.hash,
            "input": list(self.graph.input_shape),
            "batch": self.batch,
            "layers": [x.to_json() | {"saved_bytes": saved[x.name]} for x in self.layers],
            "auxiliary": [a.model_dump() for a in self.graph.auxiliary],
            "totals": asdict(self.totals),
            "memory": self.memory.to_json(),
            "claims": [verdict.to_json() for verdict in self.claims],
            "diagnostics": [diagnostic.to_json() for diagnostic in self.diagnostics],
            "silenced": [silenced.to_json() for silenced in self.silenced],
            **{report.key: report.to_json() for report in self.reports},
        }


def compute(graph: Graph, batch: int = 1) -> Analysis:
    """Shapes, costs, receptive fields and claims of a graph, with the problems found."""
    shapes = infer_shapes(graph)
    costs = layer_costs(graph, shapes, batch)
    fields = receptive_fields(graph, shapes)
    sums = totals(graph, costs)
    verdicts, problems = check_claims(graph, shapes, costs, fields, sums, batch)
    layers = tuple(
        [
            LayerAnalysis(
                node,
                shapes.layers[node.name].shape,
                shapes.layers[node.name].formula,
                costs[node.name],
                fields[node.name],
                node.name in graph.training_only,
            )
            for node in graph.nodes
            if node.name in shapes.layers
        ]
    )
    return Analysis(graph, shapes, batch, layers, sums, verdicts, (*shapes.problems, *problems))
