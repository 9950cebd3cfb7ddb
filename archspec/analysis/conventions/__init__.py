"""What other tools say of a network, without running them, and why it is not what archspec says.

The figures are those of each tool run on the model that archspec builds, with one image, in
evaluation mode; the flop counter's `step` is forward and backward, in training. One file here is
one tool, and `TOOLS` lists them. The rules were read off the sources of the tools; the tests run
the tools themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from archspec.analysis import Analysis
from archspec.analysis.conventions import (
    fvcore,
    keras_summary,
    ptflops_aten,
    ptflops_pytorch,
    thop,
    torch_flop_counter,
    torchinfo,
)
from archspec.analysis.conventions.base import MODULES, Network, Own, Quantity, Rules, Tool, Use
from archspec.analysis.section import Column, Section

TOOLS: tuple[Tool, ...] = (
    torchinfo.TOOL,
    fvcore.TOOL,
    ptflops_pytorch.TOOL,
    ptflops_aten.TOOL,
    thop.TOOL,
    torch_flop_counter.TOOL,
    keras_summary.TOOL,
)


TITLE = "other tools"


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a difference: why, by how much, and in how many layers."""

    reason: str
    amount: int
    layers: int
    fault: bool

    def to_json(self) -> dict[str, Any]:
        """The term as in the JSON document."""
        return {
            "reason": self.reason,
            "amount": self.amount,
            "layers": self.layers,
            "fault": self.fault,
        }


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of one tool: `value` is archspec's total `own` and the terms together.

    `value` is None where the tool has none; `impossible` says why. `skips` counts the layers
    behind each name of what the tool leaves out, `asides` what it would add if torch.nn's own
    modules stood in the place of archspec's.
    """

    tool: str
    version: str
    quantity: str
    unit: str
    own: Own
    archspec: int
    value: int | None
    terms: tuple[Term, ...]
    skips: Mapping[str, int]
    asides: tuple[Term, ...]
    impossible: str

    def to_json(self) -> dict[str, Any]:
        """The figure as in the JSON document."""
        return {
            "tool": self.tool,
            "version": self.version,
            "quantity": self.quantity,
            "unit": self.unit,
            "value": self.value,
            "archspec": {self.own: self.archspec},
            "terms": [term.to_json() for term in self.terms],
            "skips": dict(self.skips),
            "asides": [term.to_json() for term in self.asides],
            "impossible": self.impossible or None,
        }


@dataclass(frozen=True, slots=True)
class Conventions:
    """What every tool says of a network."""

    key: ClassVar[str] = "conventions"
    figures: tuple[Figure, ...]

    def figure(self, tool: str, quantity: str) -> Figure:
        """One figure. Raises KeyError for one that there is not."""
        for figure in self.figures:
            if (figure.tool, figure.quantity) == (tool, quantity):
                return figure
        raise KeyError((tool, quantity))

    def to_json(self) -> dict[str, Any]:
        """The report as in ``analyze --format json``."""
        return {"figures": [figure.to_json() for figure in self.figures]}

    def sections(self) -> tuple[Section, ...]:
        """The report for people: the figures, then the terms of every difference."""
        if not self.figures:
            note = "no tool can count the network: with these errors it cannot be built"
            return (Section(TITLE, (), (), (note,)),)
        return _summary(self.figures), _reasons(self.figures)


def compute(analysis: Analysis, modules: Mapping[str, str]) -> Conventions:
    """What each tool says of a network. Of one with errors there is no model, so nothing.

    `modules` has the class that computes each layer in PyTorch, by the layer's name:
    ``nn.Conv2d``.
    """
    if analysis.has_errors:
        return Conventions(())
    parts = [node.name.split(".") for node in analysis.graph.nodes]
    network = Network(
        _uses(analysis, modules),
        frozenset(analysis.graph.by_name),
        frozenset([name for around in parts for name in around]),
        frozenset([around[0] for around in parts]),
    )
    figures = [
        _figure(tool, quantity, analysis, network) for tool in TOOLS for quantity in tool.quantities
    ]
    return Conventions(tuple(figures))


def _uses(analysis: Analysis, modules: Mapping[str, str]) -> tuple[Use, ...]:
    """The layers, equal ones together, in the order in which they first come."""
    counts: dict[tuple[Any, ...], int] = {}
    first: dict[tuple[Any, ...], Any] = {}
    for found in analysis.layers:
        node = found.node
        inputs = analysis.shapes.inputs(node)
        same = id(node.layer if node.pattern is None else node.pattern)
        key = (same, inputs, modules[node.name], found.costs, found.training_only)
        counts[key] = counts.get(key, 0) + 1
        first.setdefault(key, (found, inputs))
    uses = []
    for key, (found, inputs) in first.items():
        layer = found.node.layer
        window = analysis.shapes.layers[found.name].window
        uses.append(
            Use(
                modules[found.name],
                layer,
                inputs,
                found.output_shape,
                window,
                layer.weights(inputs),
                found.costs,
                found.training_only,
                counts[key],
            )
        )
    return tuple(uses)


def _figure(tool: Tool, quantity: Quantity, analysis: Analysis, network: Network) -> Figure:
    covered = network.uses
    if quantity.covers == "inference":
        covered = tuple([use for use in covered if not use.training_only])
    own = getattr(analysis.totals, quantity.own)
    impossible = _unknown(covered) if quantity.by_module else ""
    impossible = impossible or quantity.impossible(network)
    terms: tuple[Term, ...] = ()
    skips: dict[str, int] = {}
    asides: tuple[Term, ...] = ()
    if not impossible:
        terms = _terms(covered, quantity.rules)
        asides = _terms(covered, quantity.asides)
        for use in covered:
            for name in quantity.skips(use):
                skips[name] = skips.get(name, 0) + use.count
    value = None if impossible else own + sum(term.amount for term in terms)
    return Figure(
        tool.name,
        tool.version,
        quantity.name,
        quantity.unit,
        quantity.own,
        own,
        value,
        terms,
        skips,
        asides,
        impossible,
    )


def _unknown(uses: Iterable[Use]) -> str:
    """Why a tool that looks at modules has no figure here: some are those of a plug-in."""
    kinds = {use.layer.type: use.module for use in uses if use.module not in MODULES}
    if not kinds:
        return ""
    types = ", ".join(f"`{kind}` ({module})" for kind, module in kinds.items())
    return f"what it counts for {types} of a plug-in is not known"


def _terms(uses: Iterable[Use], rules: Callable[[Use], Rules]) -> tuple[Term, ...]:
    """What the rules give, rules with the same reason together."""
    amounts: dict[str, int] = {}
    layers: dict[str, int] = {}
    faults: dict[str, bool] = {}
    for use in uses:
        for rule in rules(use):
            amount = rule.amount(use) * use.count
            if amount:
                reason = rule.reason
                amounts[reason] = amounts.get(reason, 0) + amount
                layers[reason] = layers.get(reason, 0) + use.count
                faults[reason] = rule.fault
    return tuple([Term(r, amounts[r], layers[r], faults[r]) for r in amounts])


def _summary(figures: Iterable[Figure]) -> Section:
    rows = []
    notes = []
    for figure in figures:
        value = "none" if figure.value is None else f"{figure.value:,}"
        difference = "" if figure.value is None else _signed(figure.value - figure.archspec)
        unit = "" if figure.unit in (figure.quantity, "params") else f" ({figure.unit})"
        name = f"{figure.quantity}{unit}"
        rows.append((figure.tool, name, value, f"{figure.archspec:,}", difference))
        if figure.impossible:
            notes.append(f"{figure.tool} has no figure for {figure.quantity}: {figure.impossible}")
    columns = (
        Column("tool", folds=True),
        Column("figure", folds=True),
        Column("it says", "right"),
        Column("archspec", "right"),
        Column("difference", "right"),
    )
    return Section(TITLE, columns, tuple(rows), tuple(notes))


def _reasons(figures: Iterable[Figure]) -> Section:
    """For each figure a line with the whole difference, and below it a line a term."""
    rows: list[tuple[str, ...]] = []
    notes: list[str] = []
    for figure in figures:
        if figure.terms:
            whole = sum(term.amount for term in figure.terms)
            rows.append((f"{figure.tool}, {figure.quantity}", "", _signed(whole)))
        for term in figure.terms:
            fault = "fault: " if term.fault else ""
            rows.append((f"- {fault}{term.reason}", str(term.layers), _signed(term.amount)))
        if figure.skips:
            skipped = [f"{name} ({count})" for name, count in sorted(figure.skips.items())]
            notes.append(f"{figure.tool} counts nothing for {', '.join(skipped)}")
        notes += [
            f"{figure.tool} would count {term.amount:,} more if torch.nn's own {term.reason} "
            "stood in the place of archspec's"
            for term in figure.asides
        ]
    columns = (
        Column("why", folds=True),
        Column("layers", "right"),
        Column("difference", "right"),
    )
    return Section("why they differ", columns, tuple(rows), tuple(notes))


def _signed(amount: int) -> str:
    return f"{amount:+,}" if amount else "0"
