"""Claims against computed facts, and the likeliest reason where they differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from archspec.analysis.costs import LayerCosts, Totals
from archspec.analysis.shapes import Shapes, infer_shapes
from archspec.diagnostics import Problem, did_you_mean, shortened
from archspec.graph import Graph, Node
from archspec.layers.base import Shape, Weight, show
from archspec.layers.conv2d import Conv2d
from archspec.spec.claims import Claim
from archspec.spec.fields import INPUT

Figure = int | Shape
NETWORK = "network"


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
    facts = _Facts(graph, shapes, costs, sums)
    verdicts: list[Verdict] = []
    problems: list[Problem] = []
    for index, claim in enumerate(graph.spec.claims):
        about = claim.about
        if about not in (INPUT, NETWORK, *graph.parts) and about not in graph.by_name:
            problems.append(_unknown(about, index, graph))
            continue
        quantity, claimed = claim.quantity, claim.claimed
        computed = facts.computed(about, quantity)
        if computed is None:
            continue
        holds = _holds(claim, claimed, computed)
        verdict = Verdict(
            about,
            quantity,
            claimed,
            computed,
            "holds" if holds else "contradicted",
            claim.source,
            "" if holds else facts.explanation(about, quantity, claimed),
            index,
        )
        verdicts.append(verdict)
        # What only follows from a rounded size is told in the table and not as a problem again.
        follows = about in shapes.uncertain or (about == NETWORK and shapes.uncertain)
        if not holds and not follows:
            problems.append(_problem(verdict, graph))
    return tuple(verdicts), tuple(problems)


def figure(value: Figure) -> str:
    """253,440, or 3 x 224 x 224."""
    return f"{value:,}" if isinstance(value, int) else show(value)


def _holds(claim: Claim, claimed: Figure, computed: Figure) -> bool:
    if isinstance(computed, tuple) or isinstance(claimed, tuple):
        return computed == claimed
    return abs(claimed - computed) <= claim.tolerance * abs(claimed)


def _unknown(about: str, index: int, graph: Graph) -> Problem:
    return Problem(
        "unknown-input",
        f"a claim is about `{about}`, which is no layer",
        did_you_mean(about, [INPUT, NETWORK, *graph.by_name])
        or "use the name of a layer or a block, `input` or `network`",
        span=graph.document.root.locate(("claims", index, "about")),
    )


def _problem(verdict: Verdict, graph: Graph) -> Problem:
    words = " ".join((verdict.source or "").split())
    source = f" ({shortened(words, 200)})" if words else ""
    message = (
        f"{verdict.about} is claimed to have {verdict.quantity} {figure(verdict.claimed)}{source}, "
        f"but it has {figure(verdict.computed)}"
    )
    if verdict.explanation:
        message += f": {verdict.explanation}"
    span = graph.document.root.locate(("claims", verdict.index, verdict.quantity))
    layer = verdict.about if verdict.about in graph.by_name else None
    return Problem("claim-contradicted", message, span=span, layer=layer)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is known about a network, and what may lie behind a figure that is not in it."""

    graph: Graph
    shapes: Shapes
    costs: Mapping[str, LayerCosts]
    sums: Totals
    other_inputs: dict[Shape, str] = field(default_factory=dict)

    def computed(self, about: str, quantity: str) -> Figure | None:
        """The figure that the network has, None where a layer without a shape leaves it open."""
        if quantity == "shape":
            output = self._output(about)
            known = output == INPUT or output in self.shapes.layers
            return self.shapes.of(output) if known else None
        if about == INPUT:
            return math.prod(self.graph.input_shape) if quantity == "neurons" else 0
        all_known = len(self.costs) == len(self.graph.nodes)
        if not all_known and any(node.name not in self.costs for node in self._nodes(about)):
            return None
        return self._count(about, quantity)

    def _output(self, about: str) -> str:
        if about == NETWORK:
            return self.graph.output
        part = self.graph.parts.get(about)
        return part.output if part else about

    def _nodes(self, about: str) -> Sequence[Node]:
        if about == NETWORK:
            return self.graph.nodes
        part = self.graph.parts.get(about)
        return [self.graph.by_name[name] for name in (part.layers if part else (about,))]

    def _count(self, about: str, quantity: str) -> int:
        """A sum over what is claimed about: a network's, or likewise of a block.

        A network's is without the layers that are used in training alone; those of an auxiliary
        classifier have their own.
        """
        found: int
        if about == NETWORK:
            found = getattr(self.sums, quantity)
        elif about not in self.graph.parts:
            found = getattr(self.costs[about], quantity)
        else:
            found = sum(
                getattr(self.costs[node.name], quantity)
                for node in self._nodes(about)
                if quantity != "neurons" or node.layer.is_neurons
            )
        return found

    def explanation(self, about: str, quantity: str, claimed: Figure) -> str:
        """What the claimed figure counts instead, or what it would do; empty if unknown."""
        if about == INPUT:
            return self._of_input(quantity, claimed)
        if isinstance(claimed, tuple):
            return self._of_shape(about, claimed)
        if quantity == "params":
            return self._of_params(about, claimed)
        single = about in self.graph.by_name
        if quantity == "neurons" and single and len(self.shapes.of(about)) == 3:
            return _of_neurons(claimed, self.shapes.of(about))
        macs, flops = self._count(about, "macs"), self._count(about, "flops")
        if quantity in ("macs", "flops") and about == NETWORK:
            apart = self._training_only(quantity)
            if apart and claimed == self._count(about, quantity) + apart:
                return f"that counts the {apart:,} of the layers used in training alone too"
        if quantity == "flops" and claimed == macs:
            return "that counts multiply-accumulates; one of them is two floating-point operations"
        if quantity == "macs" and claimed in (2 * macs, flops):
            return "that counts floating-point operations; a multiply-accumulate is two of them"
        return ""

    def _of_params(self, about: str, claimed: int) -> str:
        nodes = self._nodes(about)
        weights = [weight for node in nodes for weight in self._weights(node)]
        params = self._count(about, "params")
        neurons, connections = self._count(about, "neurons"), self._count(about, "connections")
        single = about in self.graph.by_name
        buffers = sum(weight.size for weight in weights if weight.buffer)
        if buffers and claimed == params + buffers:
            return f"that counts the {buffers:,} running statistics too, which are no parameters"
        apart = self._training_only("params") if about == NETWORK else 0
        if apart and claimed == params - apart:
            return f"the {apart:,} of the layers used in training alone are left out"
        biases = sum(weight.size for weight in weights if weight.name == "bias")
        if biases and claimed == params - biases:
            return f"the {biases:,} biases are left out" + self._formula(about, "; with them it is")
        if claimed == connections:
            if not single:
                return "that counts connections; weights are shared between positions"
            per_neuron = connections // neurons
            return (
                f"that counts connections, {neurons:,} neurons x {per_neuron:,} "
                "(weights and bias of one neuron); the weights are shared between positions"
                + self._formula(about, ", so the parameters are")
            )
        if claimed == neurons:
            return "that counts neurons" + self._formula(about, "; the parameters are")
        if single and isinstance(layer := nodes[0].layer, Conv2d):
            return _of_channels(claimed, layer, self.shapes.inputs(nodes[0])[0][0])
        return ""

    def _training_only(self, quantity: str) -> int:
        """The sum over the layers that are used in training alone."""
        return sum(getattr(self.costs[name], quantity) for name in self.graph.training_only)

    def _formula(self, about: str, words: str) -> str:
        single = about in self.graph.by_name
        formula = self.costs[about].params_formula if single else ""
        return f"{words} {formula}" if formula else ""

    def _of_shape(self, about: str, claimed: Shape) -> str:
        """Documents write a layer's kernel where they mean its input."""
        readers = self.graph.consumers.get(self._output(about), ())
        for node in (self.graph.by_name[name] for name in readers):
            if any(weight.shape[1:] == claimed for weight in self._weights(node)):
                return f"that is one kernel of {node.name} (channels x height x width)"
        return ""

    def _weights(self, node: Node) -> tuple[Weight, ...]:
        known = node.name in self.shapes.layers
        return node.layer.weights(self.shapes.inputs(node)) if known else ()

    def _of_input(self, quantity: str, claimed: Figure) -> str:
        if isinstance(claimed, tuple):
            return self._with_input(claimed) if len(claimed) == 3 else ""
        channels = self.graph.input_shape[0]
        side = math.isqrt(claimed // channels)
        if quantity != "neurons" or not side or channels * side * side != claimed:
            return ""
        shape = (channels, side, side)
        consequence = self._with_input(shape)
        return f"{claimed:,} = {show(shape)}" + (f"; {consequence}" if consequence else "")

    def _with_input(self, shape: Shape) -> str:
        """What the claimed input would do to the network: the first layer that is not whole."""
        if shape not in self.other_inputs:
            self.other_inputs[shape] = self._try_input(shape)
        return self.other_inputs[shape]

    def _try_input(self, shape: Shape) -> str:
        changed = infer_shapes(self.graph.with_input(shape), until_rounded=True)
        problem = next((p for p in changed.problems if p.severity is None), None)
        if problem is None:
            return ""
        name = problem.layer or ""
        with_claimed, with_given = changed.layers.get(name), self.shapes.layers.get(name)
        if with_claimed is None or with_given is None:
            return f"with it, {problem.message}"
        return (
            f"with {show(shape[1:])}, {name} would give {with_claimed.formula}, not a whole "
            f"number; with {show(self.shapes.input[1:])} it is {with_given.formula}"
        )


def _of_neurons(claimed: int, shape: Shape) -> str:
    channels, height, width = shape
    computed = f"{show(shape)} = {math.prod(shape):,}"
    if claimed % channels:
        return f"{claimed:,} is no multiple of the {channels} channels; {computed}"
    area = claimed // channels
    if height == width and math.isqrt(area) ** 2 != area:
        return (
            f"{claimed:,} = {channels} x {area:,}, and {area:,} is no square, so no square map "
            f"has that many; {computed}"
        )
    if height == width:
        side = math.isqrt(area)
        return f"{claimed:,} = {show((channels, side, side))}; it has {computed}"
    return computed


def _of_channels(claimed: int, layer: Conv2d, channels: int) -> str:
    """Whether the figure is that of kernels over another number of channels."""
    each, rest = divmod(claimed, layer.filters)
    height, width = layer.kernel_size
    seen, odd = divmod(each - layer.bias, height * width)
    if rest or odd or seen < 1:
        return ""
    really = channels // layer.groups
    bias = " + 1" if layer.bias else ""
    return (
        f"({height}*{width}*{seen}{bias})*{layer.filters} = {claimed:,} are kernels over {seen} "
        f"channels, and each one sees {really}"
    )
