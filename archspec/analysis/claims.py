"""Claims against computed facts, and the likeliest reason where they differ."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from archspec.analysis.costs import LayerCosts, Totals
from archspec.analysis.shapes import Shapes, infer_shapes
from archspec.diagnostics import Problem, did_you_mean
from archspec.graph import Graph
from archspec.layers.base import Shape, show
from archspec.spec.claims import Claim
from archspec.spec.fields import INPUT

Figure = int | Shape


@dataclass(frozen=True, slots=True)
class Verdict:
    """One claim, what the network really has, and why they differ where they do."""

    about: str
    quantity: str
    claimed: Figure
    computed: Figure
    verdict: Literal["holds", "contradicted"]
    source: str | None
    explanation: str
    index: int


def check_claims(
    graph: Graph, shapes: Shapes, costs: Mapping[str, LayerCosts], sums: Totals
) -> tuple[tuple[Verdict, ...], tuple[Problem, ...]]:
    """A verdict for every claim whose layer has a shape, and problems with the claims."""
    verdicts: list[Verdict] = []
    problems: list[Problem] = []
    for index, claim in enumerate(graph.spec.claims):
        about = claim.about
        if about not in (INPUT, "network") and about not in graph.by_name:
            known = [INPUT, "network", *graph.by_name]
            span = graph.document.root.locate(("claims", index, "about"))
            problems.append(
                Problem(
                    "unknown-input",
                    f"a claim is about `{about}`, which is no layer",
                    did_you_mean(about, known) or "use a layer's name, `input` or `network`",
                    span=span,
                )
            )
            continue
        computed = _computed(claim, graph, shapes, costs, sums)
        if computed is None:
            continue
        holds = _holds(claim, computed)
        explanation = "" if holds else _explain(claim, computed, graph, shapes, costs)
        verdict = Verdict(
            about,
            claim.quantity,
            claim.claimed,
            computed,
            "holds" if holds else "contradicted",
            claim.source,
            explanation,
            index,
        )
        verdicts.append(verdict)
        # What only follows from a rounded size is told in the table and not as a problem again.
        follows = about in shapes.uncertain or (about == "network" and shapes.uncertain)
        if not holds and not follows:
            problems.append(_problem(verdict, graph))
    return tuple(verdicts), tuple(problems)


def figure(value: Figure) -> str:
    """253,440, or 3 x 224 x 224."""
    return f"{value:,}" if isinstance(value, int) else show(value)


def _computed(
    claim: Claim, graph: Graph, shapes: Shapes, costs: Mapping[str, LayerCosts], sums: Totals
) -> Figure | None:
    quantity = claim.quantity
    if claim.about == "network":
        if quantity == "shape":
            return shapes.of(graph.output) if graph.output in shapes.layers else None
        whole = len(costs) == len(graph.nodes)
        value: int = getattr(sums, quantity)
        return value if whole else None
    if claim.about == INPUT:
        if quantity == "shape":
            return graph.input_shape
        return math.prod(graph.input_shape) if quantity == "neurons" else 0
    if claim.about not in shapes.layers:
        return None
    if quantity == "shape":
        return shapes.of(claim.about)
    of_layer: int = getattr(costs[claim.about], quantity)
    return of_layer


def _holds(claim: Claim, computed: Figure) -> bool:
    if isinstance(computed, tuple) or isinstance(claim.claimed, tuple):
        return computed == claim.claimed
    return abs(claim.claimed - computed) <= claim.tolerance * abs(claim.claimed)


def _problem(verdict: Verdict, graph: Graph) -> Problem:
    source = f" ({verdict.source})" if verdict.source else ""
    message = (
        f"{verdict.about} is claimed to have {verdict.quantity} {figure(verdict.claimed)}{source}, "
        f"but it has {figure(verdict.computed)}"
    )
    if verdict.explanation:
        message += f": {verdict.explanation}"
    span = graph.document.root.locate(("claims", verdict.index, verdict.quantity))
    rule = "claim-contradicted"
    layer = verdict.about if verdict.about in graph.by_name else None
    return Problem(rule, message, span=span, layer=layer)


def _explain(
    claim: Claim,
    computed: Figure,
    graph: Graph,
    shapes: Shapes,
    costs: Mapping[str, LayerCosts],
) -> str:
    claimed = claim.claimed
    if claim.about == INPUT:
        return _explain_input(claim, graph)
    if isinstance(claimed, tuple) or isinstance(computed, tuple) or claim.about == "network":
        return ""
    cost = costs[claim.about]
    shape = shapes.of(claim.about)
    node = graph.by_name[claim.about]
    positions = " x ".join(map(str, (*shape[1:], shape[0])))
    if claim.quantity == "params":
        if claimed == cost.connections:
            per_neuron = cost.connections // cost.neurons
            return (
                f"that counts connections, {cost.neurons:,} neurons x {per_neuron:,} "
                f"(weights and bias of one neuron); the weights are shared between positions, "
                f"so the parameters are {cost.params_formula}"
            )
        if claimed == cost.neurons:
            return f"that counts neurons, {positions}; the parameters are {cost.params_formula}"
        weights = node.layer.weights(shapes.inputs(node))
        without_bias = sum(w.size for w in weights if w.name == "weight")
        if claimed == without_bias:
            return f"the biases are left out; with them it is {cost.params_formula}"
    if claim.quantity == "neurons" and len(shape) == 3:
        return _explain_neurons(claimed, shape)
    if claim.quantity == "flops" and claimed == cost.macs:
        return "that counts multiply-accumulates; one of them is two floating-point operations"
    return ""


def _explain_neurons(claimed: int, shape: Shape) -> str:
    channels, height, width = shape
    computed = f"{channels} x {height} x {width} = {math.prod(shape):,}"
    if claimed % channels:
        return f"{claimed:,} is no multiple of the {channels} channels; {computed}"
    area = claimed // channels
    if math.isqrt(area) ** 2 != area and height == width:
        return (
            f"{claimed:,} = {channels} x {area:,}, and {area:,} is no square, so no square map "
            f"has that many; {computed}"
        )
    return computed


def _explain_input(claim: Claim, graph: Graph) -> str:
    """What the claimed input would do to the network: the first layer that is not whole."""
    shape = claim.claimed if isinstance(claim.claimed, tuple) else None
    if isinstance(claim.claimed, int) and claim.quantity == "neurons":
        channels = graph.input_shape[0]
        side = math.isqrt(claim.claimed // channels)
        if channels * side * side != claim.claimed:
            return ""
        shape = (channels, side, side)
    if shape is None or len(shape) != 3:
        return ""
    prefix = "" if claim.quantity == "shape" else f"{claim.claimed:,} = {show(shape)}; "
    claimed = infer_shapes(graph.with_input(shape))
    for problem in claimed.problems:
        if problem.severity is None:
            inferred = claimed.layers.get(problem.layer or "")
            if inferred is not None and inferred.window is not None:
                return (
                    f"{prefix}with {shape[1]} x {shape[2]}, {problem.layer} would give "
                    f"{inferred.window.formula}, not a whole number; with "
                    f"{graph.input_shape[1]} x {graph.input_shape[2]} it is "
                    f"{_window_formula(graph, problem.layer or '')}"
                )
            return f"{prefix}with it, {problem.message}"
    return prefix.removesuffix("; ")


def _window_formula(graph: Graph, name: str) -> str:
    return infer_shapes(graph).layers[name].formula
