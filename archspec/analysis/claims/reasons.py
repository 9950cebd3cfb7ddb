"""Why a claimed figure is not what the network has: the common confusions, tried one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from archspec.analysis.claims.facts import Facts
from archspec.analysis.claims.figures import Figure, exact, figure, is_number
from archspec.analysis.shapes import infer_shapes
from archspec.diagnostics import Fix
from archspec.graph import Node
from archspec.layers.base import Shape, show
from archspec.layers.batch_norm import BatchNorm
from archspec.layers.conv2d import Conv2d
from archspec.layers.local_response_norm import LocalResponseNorm
from archspec.spec.claims import NETWORK, TRAINING, Stated
from archspec.spec.fields import INPUT

CONTRADICTED = "claim-contradicted"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a claim fails: its rule, the words, and what would put the claim right.

    A fix names the quantity that the stated figure is of, and never changes the figure: it is
    the source's. The places in its `changes` are keys of the claim.
    """

    rule: str = CONTRADICTED
    text: str = ""
    fixes: tuple[Fix, ...] = ()


@dataclass(frozen=True, slots=True)
class Reasons:
    """What may lie behind a figure that a network does not have."""

    facts: Facts
    other_inputs: dict[Shape, str] = field(default_factory=dict)

    def of(self, about: str, stated: Stated, computed: Figure) -> Reason:
        """What the claimed figure counts instead, or what it would do; no words if unknown."""
        claimed = stated.figure
        if stated.place[0] == "settings":
            return self._of_setting(about, stated.key, claimed, computed)
        if stated.place[0] == "layers":
            return self._of_layers(about, stated.key, computed)
        if about == INPUT:
            return self._of_input(stated.key, claimed)
        if stated.key == "shape":
            return self._of_shape(about, claimed)
        if stated.key == "weight_shape":
            return self._of_kernels(about, claimed, computed)
        if stated.key == "params":
            return self._of_params(about, claimed)
        single = about in self.facts.graph.by_name
        if stated.key == "neurons" and single and len(self.facts.shapes.of(about)) == 3:
            return _of_neurons(claimed, self.facts.shapes.of(about))
        if stated.key in ("macs", "flops"):
            return self._of_operations(about, stated.key, claimed)
        return Reason()

    def _of_operations(self, about: str, quantity: str, claimed: int) -> Reason:
        macs, flops = self.facts.count(about, "macs"), self.facts.count(about, "flops")
        apart = self._training_only(quantity) if about == NETWORK else 0
        if apart and claimed == self.facts.count(about, quantity) + apart:
            return Reason(
                text=f"that counts the {apart:,} of the layers used in training alone too"
            )
        rule = "macs-and-flops-confused"
        if quantity == "flops" and claimed == macs:
            text = "that counts multiply-accumulates; one of them is two floating-point operations"
            return Reason(rule, text, (_other_quantity(quantity, "macs", claimed),))
        if quantity == "macs" and claimed in (2 * macs, flops):
            text = "that counts floating-point operations; a multiply-accumulate is two of them"
            fixes = (_other_quantity(quantity, "flops", claimed),) if claimed == flops else ()
            return Reason(rule, text, fixes)
        return Reason()

    def _of_params(self, about: str, claimed: int) -> Reason:
        facts = self.facts
        nodes = facts.nodes(about)
        weights = [weight for node in nodes for weight in facts.weights(node)]
        params = facts.count(about, "params")
        buffers = sum(weight.size for weight in weights if weight.buffer)
        if buffers and claimed == params + buffers:
            text = f"that counts the {buffers:,} running statistics too, which are no parameters"
            return Reason("buffers-as-params", text)
        apart = self._training_only("params") if about == NETWORK else 0
        if apart and claimed == params - apart:
            return Reason(text=f"the {apart:,} of the layers used in training alone are left out")
        biases = sum(weight.size for weight in weights if weight.name == "bias")
        if biases and claimed == params - biases:
            text = f"the {biases:,} biases are left out" + self._formula(about, "; with them it is")
            return Reason("biases-left-out", text)
        return self._of_shared_weights(about, claimed)

    def _of_shared_weights(self, about: str, claimed: int) -> Reason:
        """Figures that forget that the weights are shared between positions, or what they see."""
        facts = self.facts
        neurons, connections = facts.count(about, "neurons"), facts.count(about, "connections")
        single = facts.graph.by_name.get(about)
        if claimed == connections:
            text = "that counts connections; weights are shared between positions"
            if single is not None:
                text = (
                    f"that counts connections, {neurons:,} neurons x {connections // neurons:,} "
                    "(weights and bias of one neuron); the weights are shared between positions"
                    + self._formula(about, ", so the parameters are")
                )
            fix = _other_quantity("params", "connections", claimed)
            return Reason("connections-as-params", text, (fix,))
        if claimed == neurons:
            text = "that counts neurons" + self._formula(about, "; the parameters are")
            fix = _other_quantity("params", "neurons", claimed)
            return Reason("neurons-as-params", text, (fix,))
        if single is not None and isinstance(single.layer, Conv2d):
            channels = facts.shapes.inputs(single)[0][0]
            text = _of_channels(claimed, single.layer, channels)
            if text:
                return Reason("kernels-over-other-channels", text)
        return Reason()

    def _training_only(self, quantity: str) -> int:
        """The sum over the layers that are used in training alone."""
        graph, costs = self.facts.graph, self.facts.costs
        return sum(getattr(costs[name], quantity) for name in graph.training_only)

    def _formula(self, about: str, words: str) -> str:
        single = about in self.facts.graph.by_name
        formula = self.facts.costs[about].params_formula if single else ""
        return f"{words} {formula}" if formula else ""

    def _of_shape(self, about: str, claimed: Shape) -> Reason:
        """Documents write a layer's kernel where they mean its input."""
        graph = self.facts.graph
        for name in graph.consumers.get(self.facts.output(about), ()):
            for weight in self.facts.weights(graph.by_name[name]):
                if weight.shape[1:] == claimed:
                    text = f"that is one kernel of {name} (channels x height x width)"
                    changes = {"about": name, "shape": None, "weight_shape": [*weight.shape]}
                    effect = f"{name} has {weight.shape[0]} kernels of {show(claimed)}"
                    fix = Fix(f"claim the weight_shape of {name}", effect, changes)
                    return Reason("kernel-as-shape", text, (fix,))
        return Reason()

    def _of_kernels(self, about: str, claimed: Shape, computed: Any) -> Reason:
        """Kernels that see another share of the channels: other groups than the spec has."""
        node = self.facts.graph.by_name[about]
        if not isinstance(node.layer, Conv2d) or len(claimed) != 4:
            return Reason()
        channels = self.facts.shapes.inputs(node)[0][0]
        if claimed[::2] != computed[::2] or claimed[3] != computed[3]:
            return Reason()
        groups = f"{about} reads {channels} channels in {_groups(node.layer.groups)}"
        text = f"{groups}, so that each kernel sees {computed[1]}"
        if channels % claimed[1] == 0:
            text += f"; {claimed[1]} would be those of {_groups(channels // claimed[1])}"
        return Reason("kernels-over-other-channels", text)

    def _of_input(self, quantity: str, claimed: Any) -> Reason:
        if quantity == "shape":
            text = self._with_input(claimed) if len(claimed) == 3 else ""
            return Reason("impossible-input" if text else CONTRADICTED, text)
        channels = self.facts.graph.input_shape[0]
        if quantity != "neurons":
            return Reason()
        side = math.isqrt(claimed // channels)
        if not side or channels * side * side != claimed:
            return Reason()
        shape = (channels, side, side)
        consequence = self._with_input(shape)
        text = f"{claimed:,} = {show(shape)}" + (f"; {consequence}" if consequence else "")
        return Reason("impossible-input" if consequence else CONTRADICTED, text)

    def _with_input(self, shape: Shape) -> str:
        """What the claimed input would do to the network: the first layer that is not whole."""
        if shape not in self.other_inputs:
            self.other_inputs[shape] = self._try_input(shape)
        return self.other_inputs[shape]

    def _try_input(self, shape: Shape) -> str:
        shapes = self.facts.shapes
        changed = infer_shapes(self.facts.graph.with_input(shape), until_rounded=True)
        problem = next((p for p in changed.problems if p.severity is None), None)
        if problem is None:
            return ""
        name = problem.layer or ""
        with_claimed, with_given = changed.layers.get(name), shapes.layers.get(name)
        if with_claimed is None or with_given is None:
            return f"with it, {problem.message}"
        return (
            f"with {show(shape[1:])}, {name} would give {with_claimed.formula}, not a whole "
            f"number; with {show(shapes.input[1:])} it is {with_given.formula}"
        )

    def _of_layers(self, about: str, type_: str, computed: Figure) -> Reason:
        """Which layers there are in the place of those that are missing."""
        others = [] if computed else [*self._in_place_of(about, type_)]
        text = ""
        if others:
            count = f"{len(others)} {others[0].layer.type} layer{'s' if len(others) > 1 else ''}"
            text = f"in their place it has {count}, another operation, with parameters"
        return Reason("layer-count-differs", text)

    def _in_place_of(self, about: str, type_: str) -> Iterator[Node]:
        if type_ == "local_response_norm":
            for node in self.facts.nodes(about):
                if isinstance(node.layer, BatchNorm):
                    yield node

    def _of_setting(self, about: str, key: str, claimed: Any, computed: Figure) -> Reason:
        text = ""
        if about == TRAINING:
            text = self._of_decay(key, claimed, computed)
        else:
            layer = self.facts.graph.by_name[about].layer
            is_size = isinstance(layer, LocalResponseNorm) and key == "size"
            if is_size and computed == 2 * claimed + 1:
                text = (
                    f"a radius of {claimed} is a window of {computed} channels; a window of "
                    f"{claimed} is a radius of {claimed // 2}"
                )
        return Reason("setting-differs", text)

    def _of_decay(self, key: str, claimed: Any, computed: Figure) -> str:
        recipe = self.facts.graph.spec.training
        decays = key in ("weight_decay", "optimizer.weight_decay") and is_number(claimed)
        if not decays or recipe is None or not claimed:
            return ""
        if not computed:
            return "the recipe has no weight decay"
        rate = exact(recipe.optimizer.learning_rate)
        if is_number(computed) and exact(computed) == exact(claimed) * rate:
            return (
                f"that is {figure(claimed)} x {figure(recipe.optimizer.learning_rate)}, the "
                "learning rate, which the optimiser multiplies with once more"
            )
        return ""


def _groups(count: int) -> str:
    return "one group" if count == 1 else f"{count} groups"


def _other_quantity(stated: str, meant: str, claimed: int) -> Fix:
    """The same figure for the quantity that it counts."""
    effect = f"{meant}: {claimed:,}, which it has"
    return Fix(f"claim {meant}", effect, {stated: None, meant: claimed})


def _of_neurons(claimed: int, shape: Shape) -> Reason:
    channels, height, width = shape
    computed = f"{show(shape)} = {math.prod(shape):,}"
    if claimed % channels:
        text = f"{claimed:,} is no multiple of the {channels} channels; {computed}"
        return Reason("impossible-map", text)
    area = claimed // channels
    if height == width and math.isqrt(area) ** 2 != area:
        text = (
            f"{claimed:,} = {channels} x {area:,}, and {area:,} is no square, so no square map "
            f"has that many; {computed}"
        )
        return Reason("impossible-map", text)
    if height == width:
        side = math.isqrt(area)
        computed = f"{claimed:,} = {show((channels, side, side))}; it has {computed}"
    return Reason(text=computed)


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
