"""Which operation differs first in each backend, by how much, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from archspec.analysis.shapes import infer_shapes
from archspec.graph import Graph
from archspec.spec.fields import INPUT
from archspec.verification.errors import Bounded, GradientError, OutputError, layer_of
from archspec.verification.steps import DROP, Training, WeightError

# A layer whose gradients are so small beside the largest one's is left with their rounding.
SMALL = 1e-6
# Where the judge's loss is not finite.
DIVERGES = (
    " Training itself diverges, in the judge too, and there is nothing left to compare; let the "
    "recipe have a lower learning rate."
)
# So many names are written out in a sentence.
NAMED = 4


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where a backend leaves its bound.

    `about` is what differs there: "outputs", "gradients" or "training"; `layer` and `type` are the
    first layer's that does (in gradients the one nearest to the output; None where it is the loss),
    `step` is that of training. `message` says it in words, with the reason as far as it is known.
    """

    backend: str
    about: str
    layer: str | None
    type: str | None
    step: int | None
    absolute: float
    relative: float
    bound: float
    message: str


def differences(
    graph: Graph,
    outputs: Sequence[OutputError],
    gradients: Sequence[GradientError],
    training: Training | None,
) -> tuple[Difference, ...]:
    """The first difference of each backend in outputs, in gradients and in training."""
    found: list[Difference] = []
    for backend in dict.fromkeys(e.backend for e in outputs):
        wrong = [e for e in outputs if e.backend == backend and not e.within]
        if wrong:
            found += _outputs(graph, backend, wrong)
        steep = [e for e in gradients if e.backend == backend]
        if not all(e.within for e in steep):
            found.append(_gradients(graph, backend, steep, bool(wrong)))
        if training is not None:
            agreed = not wrong and all(e.within for e in steep)
            found += _training(graph, backend, training, agreed)
    return tuple(found)


def _outputs(graph: Graph, backend: str, wrong: Sequence[OutputError]) -> list[Difference]:
    """The first layer, and every other one that is wrong by itself."""
    found = []
    culprits = [e for e in wrong if _by_itself(e)]
    for error in dict.fromkeys((wrong[0], *culprits)):
        layer = graph.by_name[error.layer].layer
        what = f"{error.layer} ({layer.type})"
        if error is wrong[0]:
            text = f"{backend}: {what} is the first layer whose output differs{_by(error)}."
        else:
            text = f"{backend}: the output of {what} differs too{_by(error)}."
        if error.reason is not None:
            text += f" It {error.reason}."
        elif error.own is None or error.own_bound is None:
            text += " Its inputs have other shapes already."
        elif _by_itself(error):
            text += (
                f" The operation itself differs: from the same inputs the reference computes "
                f"something {error.own:.1e} away (bound {error.own_bound:.1e})."
            )
        else:
            text += (
                f" The operation itself is right (from the same inputs the reference computes what "
                f"is {error.own:.1e} away): it magnifies what rounding left of its inputs."
            )
        others = [e.layer for e in wrong if e not in culprits and e is not wrong[0]]
        if error is wrong[0] and others:
            text += f" {_named(others)} only pass on what they are given."
        found.append(
            Difference(
                backend,
                "outputs",
                error.layer,
                layer.type,
                None,
                error.absolute,
                error.relative,
                error.bound,
                text,
            )
        )
    return found


def _by_itself(error: OutputError) -> bool:
    """Whether the layer adds more than its own rounding to what it is given."""
    if error.own is None or error.own_bound is None:
        return math.isinf(error.absolute)
    return error.own > error.own_bound


def _gradients(
    graph: Graph, backend: str, errors: Sequence[GradientError], outputs_differ: bool
) -> Difference:
    """The wrong gradient that is nearest to the output: gradients are computed from there."""
    place = {node.name: index for index, node in enumerate(graph.nodes, start=1)} | {INPUT: 0}
    wrong = [e for e in errors if not e.within]
    last = max(place[layer_of(e.parameter)] for e in wrong)
    here = [e for e in wrong if place[layer_of(e.parameter)] == last]
    error = max(here, key=lambda e: e.relative)
    name = layer_of(error.parameter)
    kind = None if name == INPUT else graph.by_name[name].layer.type
    what = "the images" if name == INPUT else f"{error.parameter} ({kind})"
    text = f"{backend}: the gradient of {what} differs from that in {error.against}{_by(error)}."
    if math.isinf(error.absolute):
        text += " One of the two has no such gradient, or one that is not finite."
    elif _scale(error) < SMALL * max(_scale(e) for e in errors):
        text += (
            f" It is the rest of what almost cancels: the layer's largest gradient is "
            f"{_scale(error):.1e}, and {max(_scale(e) for e in errors):.1e} elsewhere. Batch "
            "normalisation over two or three numbers leaves nothing but rounding; try a larger "
            "--batch or --input."
        )
    if outputs_differ:
        text += " So do outputs, from which gradients follow."
    else:
        text += " Outputs agree."
        agreeing = {layer_of(e.parameter) for e in errors} - {layer_of(e.parameter) for e in wrong}
        between = _between(graph, name, agreeing)
        whole = len(here) == len([e for e in errors if layer_of(e.parameter) == name])
        if not whole:
            right = [e.parameter for e in errors if e.within and layer_of(e.parameter) == name]
            text += f" {_named(right)} of the same layer agrees, so it is how this one is derived"
            moody = _other_in_training(graph, name)
            if moody:
                text += (
                    f", or what the layer reads in training, where {_named(moody)} before it "
                    f"{'computes' if len(moody) == 1 else 'compute'} otherwise than at inference"
                )
            text += "."
        elif between:
            text += (
                f" Gradients are computed from the output backwards, and behind it they agree: it "
                f"is the derivative of {name if name != INPUT else 'the first layer'} or of "
                f"{_named(between)}, which {'has' if len(between) == 1 else 'have'} no parameters."
            )
        else:
            text += " Gradients are computed from the output backwards, and behind it they agree."
    others = [e.parameter for e in wrong if e not in here]
    if others:
        text += f" {len(others)} more differ, of layers before it."
    return Difference(
        backend,
        "gradients",
        name,
        kind,
        None,
        error.absolute,
        error.relative,
        error.bound,
        text,
    )


def _scale(error: GradientError) -> float:
    """The largest gradient of its layer, as far as an error tells."""
    if error.relative == 0.0 or math.isinf(error.relative):
        return 0.0
    return error.absolute / error.relative


def _between(graph: Graph, name: str, agreeing: set[str]) -> list[str]:
    """The layers behind `name` as far as the next ones with gradients that agree."""
    found: dict[str, None] = {}
    waiting = [name]
    while waiting:
        for reader in graph.consumers[waiting.pop()]:
            if reader not in agreeing and reader not in found:
                found[reader] = None
                waiting.append(reader)
    return [node.name for node in graph.nodes if node.name in found]


def _other_in_training(graph: Graph, name: str) -> list[str]:
    """The layers before `name` that compute otherwise in training than at inference."""
    shapes = infer_shapes(graph)
    needed = {name}
    found = []
    for node in reversed(graph.nodes):
        if node.name not in needed:
            continue
        needed.update(node.inputs)
        weights = node.layer.weights(shapes.inputs(node))
        if node.name != name and (node.layer.noise_off or any(w.buffer for w in weights)):
            found.append(node.name)
    return found[::-1]


def _training(graph: Graph, backend: str, training: Training, agreed: bool) -> list[Difference]:
    """The first step after which something differs; weights are compared after the loss."""
    losses = [e for e in training.losses if e.backend == backend and not e.within]
    tensors = [e for e in training.tensors if e.backend == backend and not e.within]
    steps = [*(e.step for e in losses), *(e.step for e in tensors)]
    if not steps:
        return []
    step = min(steps)
    wrong = [e for e in tensors if e.step == step]
    if losses and losses[0].step == step:
        loss = losses[0]
        text = (
            f"{backend}: the loss of step {step} is {loss.loss:.6g} and differs from that in "
            f"{training.judge}{_by(loss)}."
        )
        if not math.isfinite(training.expected[step - 1]):
            text += DIVERGES
        elif not math.isfinite(loss.loss):
            text += (
                f" That is {training.expected[step - 1]:.6g}: only here numbers overflow, as those "
                "of float32 do from 3.4e38 on. A lower learning rate in the recipe avoids it."
            )
        elif step == 1 and agreed:
            text += (
                " It is computed before anything is updated, and outputs and gradients agree: the "
                "losses are put together in another way, or the network computes otherwise in "
                "training."
            )
        numbers = loss.absolute, loss.relative, loss.bound
        return [Difference(backend, "training", None, None, step, *numbers, text)]
    first = max(wrong, key=lambda e: e.relative)
    name = layer_of(first.tensor)
    text = (
        f"{backend}: after step {step} {first.tensor} differs from that in "
        f"{training.judge}{_by(first)}."
    )
    every = {e.tensor for e in training.tensors}
    if len(wrong) > 1:
        text += f" So do {len(wrong) - 1} of the other {len(every) - 1} tensors."
    if math.isinf(first.absolute):
        text += " It is not finite."
        text += "" if all(map(math.isfinite, training.expected)) else DIVERGES
    else:
        text += _why(step, wrong, training, agreed)
    numbers = first.absolute, first.relative, first.bound
    kind = graph.by_name[name].layer.type
    return [Difference(backend, "training", name, kind, step, *numbers, text)]


def _why(step: int, wrong: Sequence[WeightError], training: Training, agreed: bool) -> str:
    """What the first step that differs has that those before it had not."""
    kinds = {e.tensor.rpartition(".")[2] for e in wrong}
    text = ""
    if kinds <= {"running_mean", "running_var"}:
        return f" Only running statistics differ ({_named(sorted(kinds))}): how they are updated."
    if len(kinds) == 1 and len(wrong) > 1:
        text = f" All that differ are called {next(iter(kinds))}."
    recipe = training.recipe
    if step == 1 and agreed:
        clipping = ", or how gradients are clipped" if recipe.gradient_clipping is not None else ""
        return text + (
            " Gradients agree, so it is the update: the learning rate, the weight decay, or their "
            f"multipliers{clipping}."
        )
    if step == 2 and recipe.optimizer.state:
        adds = "momentum is" if recipe.optimizer.state == ("velocity",) else "the moments are"
        return text + f" The first step agrees: {adds} what the second one adds."
    if step == training.dropped:
        return text + (
            f" Before this step the learning rate was divided by {DROP}, and until then everything "
            "agreed: it is how the optimizer goes on when the rate changes."
        )
    return text + f" The {step - 1} steps before it agree: the difference grows from step to step."


def _by(error: Bounded) -> str:
    if math.isinf(error.relative):
        return ""
    return f" by {error.relative:.1e} (bound {error.bound:.1e})"


def _named(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    if len(names) > NAMED:
        names = [*names[: NAMED - 1], f"{len(names) - NAMED + 1} more"]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
