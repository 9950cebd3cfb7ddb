"""Whether every backend trains the same network: losses and weights, step by step.

The reference and the backends take the same steps side by side, from equal weights on equal
batches, with the recipe of the spec: its optimiser, weight decay, multipliers, label smoothing,
gradient clipping, the losses of auxiliary outputs, batch normalisation with the statistics of the
batch. The steps are spread over the whole run, so that a warm-up or a schedule is gone through. In
the middle the learning rate is also divided by ten, because that is where optimisers that agree so
far come apart. Layers that are random in training are off.

What errors may be in float64 is promised (`rounding.PROMISE`). In float32, two things move a
weight away: each step adds its gradient's error times how far the step goes, so that the path which
the weights have gone counts, and every step passes on the errors of those before it. How much it
makes of them is measured: the reference is trained a second time from weights that are moved by
their rounding. So, relative to the largest weight of the layer,

    weight bound = gradient bound x path + lambda sqrt(steps) u + lambda x distance of the two,

and the bound of the loss is that of the network's output plus lambda times the distance of the two
losses.

Adam divides the gradient by its size, so that a weight whose gradient is smaller than the
gradient's error goes anywhere within a step: a bias in front of batch normalisation, whose gradient
is 0 and crumbs of rounding. A step is one of lr m / (r + epsilon) with r the root of the mean
square of the weight's gradients, so the bounds of weights, in float64 too, grow with each step by

    lr min(2, 2 gradient bound x largest r of the layer / (smallest r of the tensor + epsilon)),

and those of the statistics behind them by what this adds to a sum over the weight's inputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from archspec.analysis.shapes import infer_shapes
from archspec.backends.optimizing import COUNT, SECOND_MOMENT, part
from archspec.backends.outputs import ending_in_logits
from archspec.backends.source import contexts
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.layers.base import Shape, show
from archspec.loading import has_trained_weights
from archspec.spec.fields import INPUT
from archspec.spec.preprocessing import Preprocessing
from archspec.spec.recipe import DEFAULT_RECIPE, Adam, AdamW, Recipe
from archspec.verification.errors import Bounded, error, finite, layer_of, layer_scales, over
from archspec.verification.rounding import LAMBDA, PROMISE, UNIT, Roundings, bound

if TYPE_CHECKING:
    import numpy as np

    from archspec.backends.base import Array, Labels, Trainer, Weights

# What the learning rate is divided by in the middle.
DROP = 10


@dataclass(frozen=True, slots=True)
class LossError(Bounded):
    """How far the loss of one step is from that in `against`, relative to the latter.

    `step` counts from 1; the loss is that of its batch, before its update.
    """

    step: int
    backend: str
    against: str
    loss: float
    absolute: float
    relative: float
    bound: float


@dataclass(frozen=True, slots=True)
class WeightError(Bounded):
    """How far one tensor is after a step from that in `against`.

    `relative` is the largest absolute error over the largest weight of its layer, or of the tensor
    itself where it is not trained but counted along, as running statistics are.
    """

    step: int
    tensor: str
    backend: str
    against: str
    absolute: float
    relative: float
    bound: float


@dataclass(frozen=True)
class Training:
    """The errors of so many steps.

    `rates` and `losses` (the judge's) are those of each step, `dropped` is the step before which
    the learning rate fell, None where there were too few. `weights` has one error for each step
    and backend, that of the tensor that is the furthest out of its bound or the nearest to it;
    `tensors` one for each tensor and backend: where it first left its bound, or came nearest to it.
    """

    recipe: Recipe
    default: bool
    judge: str
    rates: tuple[float, ...]
    dropped: int | None
    expected: tuple[float, ...]
    losses: tuple[LossError, ...]
    weights: tuple[WeightError, ...]
    tensors: tuple[WeightError, ...]

    @property
    def scheduled(self) -> bool:
        """Whether the recipe changes the learning rate, besides what is done here."""
        rates = tuple(_rates(self.recipe, len(self.rates)))
        return len(set(rates)) > 1

    @property
    def equal(self) -> bool:
        """Whether every loss and every tensor is within its bound after every step."""
        return all(e.within for e in (*self.losses, *self.weights))

    def to_json(self) -> dict[str, Any]:
        """The steps as in ``verify --format json``."""
        return {
            "steps": len(self.rates),
            "recipe": self.recipe.optimizer.model_dump(mode="json"),
            "label_smoothing": self.recipe.label_smoothing,
            "gradient_clipping": self.recipe.gradient_clipping,
            "default_recipe": self.default,
            "judge": self.judge,
            "learning_rates": list(self.rates),
            "dropped_at": self.dropped,
            "expected_losses": [value if math.isfinite(value) else None for value in self.expected],
            "losses": [finite(asdict(e)) for e in self.losses],
            "weights": [finite(asdict(e)) for e in self.weights],
            "tensors": [finite(asdict(e)) for e in self.tensors],
            "equal": self.equal,
        }


@dataclass(frozen=True)
class Racer:
    """A trainer with its name and its precision."""

    name: str
    trainer: Trainer
    dtype: str


@dataclass(frozen=True)
class Entrants:
    """Who trains: the judge, those that are compared with it, and the judge's twin.

    The twin begins with weights moved by their rounding in float32. There is none where nobody
    computes in that, nor beside a judge that rounds as coarsely as the others.
    """

    judge: Racer
    racers: tuple[Racer, ...]
    twin: Racer | None


def trained_network(graph: Graph) -> tuple[Graph, int]:
    """The network as it is trained, ending in logits, and its number of classes.

    Raises ArchspecError where no weight learns, and where cross-entropy is not defined for what it
    puts out.
    """
    network = ending_in_logits(graph)
    if not has_trained_weights(network):
        raise ArchspecError(
            "--steps compares what training makes of the weights, and none of this network learns; "
            "leave --steps out"
        )
    shapes = infer_shapes(network)
    sizes = {name: shapes.of(name) for name in network.outputs}
    first = sizes[network.output]
    wrong = next((n for n, s in sizes.items() if len(s) != 1 or s != first or n == INPUT), None)
    if wrong is not None:
        raise ArchspecError(
            f"--steps trains with the cross-entropy of one number a class, and the output {wrong} "
            f"is {show(sizes[wrong])}; leave --steps out, or end the network with `flatten` or a "
            "global pool and a dense layer"
        )
    return network, first[0]


def recipe_of(graph: Graph) -> Recipe:
    """The recipe of the spec, or the one that `archspec train` takes where it has none."""
    return graph.spec.training or DEFAULT_RECIPE


def compare(
    graph: Graph,
    classes: int,
    entrants: Entrants,
    steps: int,
    batch: int,
    seed: int,
) -> Training:
    """Take so many steps in all of them, and compare each with the judge after each.

    `graph` and `classes` are `trained_network`'s.
    """
    import numpy as np

    recipe = recipe_of(graph)
    numbers = np.random.default_rng((seed, 1))
    dropped = steps // 2 + 1 if steps >= 2 else None
    rates = tuple(
        rate / DROP if dropped is not None and step >= dropped else rate
        for step, rate in enumerate(_rates(recipe, steps), start=1)
    )
    judge = entrants.judge
    bounds = _Bounds(graph, recipe, batch, entrants)
    expected: list[float] = []
    losses: list[LossError] = []
    weights: list[WeightError] = []
    tensors: dict[tuple[str, str], WeightError] = {}
    for step, rate in enumerate(rates, start=1):
        images = _images(numbers, batch, graph.input_shape, recipe.preprocessing)
        labels = numbers.integers(0, classes, batch)
        loss = _step(judge, images, labels, rate)
        expected.append(loss)
        after = judge.trainer.weights()
        bounds.observe(after, loss, images, labels, rate)
        for racer in entrants.racers:
            found = _step(racer, images, labels, rate)
            absolute = abs(found - loss) if math.isfinite(found - loss) else math.inf
            losses.append(
                LossError(
                    step,
                    racer.name,
                    judge.name,
                    found,
                    absolute,
                    over(absolute, abs(loss)),
                    bounds.loss(racer.dtype),
                )
            )
            worst: WeightError | None = None
            own = racer.trainer.weights()
            for name in after:
                pair = error(own.get(name), after.get(name), bounds.scales.get(name))
                one = WeightError(
                    step, name, racer.name, judge.name, *pair, bounds.weight(name, racer.dtype)
                )
                worst = _worse(worst, one)
                before = tensors.get((name, racer.name))
                if before is None or before.within:
                    tensors[name, racer.name] = _worse(before, one)
            if worst is not None:
                weights.append(worst)
    return Training(
        recipe,
        graph.spec.training is None,
        judge.name,
        rates,
        dropped,
        tuple(expected),
        tuple(losses),
        tuple(weights),
        tuple(tensors.values()),
    )


def _rates(recipe: Recipe, steps: int) -> Iterator[float]:
    """The learning rates of the recipe in so many steps spread over its run.

    A plateau, which depends on held-out images, never comes.
    """
    for step in range(steps):
        epoch, part = divmod(step * recipe.epochs / steps, 1)
        yield recipe.optimizer.learning_rate * recipe.share(int(epoch) + 1, part)


def _step(racer: Racer, images: Array, labels: Labels, rate: float) -> float:
    """The loss before an update, which may be infinite."""
    return float(racer.trainer.step(images.astype(racer.dtype), labels, rate))


def _worse(one: WeightError | None, other: WeightError) -> WeightError:
    """The one that fills more of its bound."""
    if one is None or over(other.relative, other.bound) > over(one.relative, one.bound):
        return other
    return one


def _images(
    numbers: np.random.Generator, batch: int, shape: Shape, preprocessing: Preprocessing
) -> Array:
    """Random pixels of 0 to 255 as the recipe has a network read them, N,H,W,C.

    What the recipe measures on the data is here that of the pixels: their mean and deviation.
    They are numbers of float32, so that every precision reads the same.
    """
    import numpy as np

    channels, height, width = shape
    pixels = numbers.uniform(0.0, 255.0, (batch, height, width, channels))
    scale = preprocessing.rescale
    mean, std = preprocessing.mean, preprocessing.std
    middle = np.asarray(255.0 / 2 * scale if mean == "data" else mean)
    spread = np.asarray(255.0 / math.sqrt(12) * scale if std == "data" else std or 1.0)
    images: Array = ((pixels * scale - middle) / spread).astype("float32").astype("float64")
    return images


def _feeding(graph: Graph, layer: str) -> set[str]:
    """The layers nearest before a layer that have weights."""
    shapes = infer_shapes(graph)
    found: set[str] = set()
    waiting = [*graph.by_name[layer].inputs]
    while waiting:
        name = waiting.pop()
        if name != INPUT and name not in found:
            node = graph.by_name[name]
            if node.layer.weights(shapes.inputs(node)):
                found.add(name)
            else:
                waiting += node.inputs
    return found


class _Bounds:
    """What errors may be after the steps so far."""

    def __init__(self, graph: Graph, recipe: Recipe, batch: int, entrants: Entrants) -> None:
        self._recipe, self._judge = recipe, entrants.judge
        self._twin = entrants.twin
        self._rough = any(racer.dtype == "float32" for racer in entrants.racers)
        self._roundings = Roundings(graph, batch)
        self._counted = {
            f"{context.node.name}.{weight.name}"
            for context in contexts(graph)
            for weight in context.weights
            if weight.buffer
        }
        self._before = {name: w.copy() for name, w in entrants.judge.trainer.weights().items()}
        self._steps = 0
        self._path = dict.fromkeys(self._before, 0.0)
        self._apart: dict[str, float] = dict.fromkeys(self._before, 0.0)
        self._losses_apart = 0.0
        # How far what is no more than rounding may have taken a tensor, by precision.
        self._loose = {dtype: dict.fromkeys(self._before, 0.0) for dtype in UNIT}
        self._behind = {name: _feeding(graph, layer_of(name)) for name in self._counted}
        # The scale of each tensor's errors.
        self.scales: dict[str, float] = {}

    def observe(
        self, after: Weights, loss: float, images: Array, labels: Labels, rate: float
    ) -> None:
        """Take note of a step of the judge, and let the twin take it."""
        self._steps += 1
        trained = {name: w for name, w in after.items() if name not in self._counted}
        layers = layer_scales(trained)
        self.scales = {
            name: layers[layer_of(name)] if name in trained else float(abs(weight).max(initial=0.0))
            for name, weight in after.items()
        }
        self._loosen(rate)
        if not self._rough:
            return
        for name, weight in after.items():
            self._path[name] += over(*self._distance(name, weight, self._before[name]))
        self._before = {name: weight.copy() for name, weight in after.items()}
        if self._twin is None:
            return
        other = _step(self._twin, images, labels, rate)
        self._losses_apart = max(self._losses_apart, over(abs(other - loss), abs(loss)))
        for name, weight in self._twin.trainer.weights().items():
            apart = over(*self._distance(name, weight, after[name]))
            self._apart[name] = max(self._apart[name], apart)

    def _loosen(self, rate: float) -> None:
        """Add what the last step may make of gradients that are smaller than their errors."""
        rule = self._recipe.optimizer
        if not isinstance(rule, (Adam, AdamW)):
            return
        state = self._judge.trainer.optimizer_state()
        corrected = 1 - rule.beta2 ** int(state[COUNT])
        moments = part(SECOND_MOMENT, state)
        largest = layer_scales({name: (v / corrected) ** 0.5 for name, v in moments.items()})
        for name, second in moments.items():
            least = math.sqrt(float(second.min()) / corrected) + rule.epsilon
            lr = rate * self._recipe.multipliers(name)[0]
            for dtype, loose in self._loose.items():
                wrong = self._gradient(name, dtype) * largest[layer_of(name)]
                loose[name] += lr * min(2.0, 2 * wrong / least)
        for loose in self._loose.values():
            for name, layers in self._behind.items():
                loose[name] = sum(
                    loose[other] * math.sqrt(v.size / len(v))
                    for other, v in moments.items()
                    # A shift of all values leaves their variance.
                    if layer_of(other) in layers and (v.ndim > 1 or name.endswith("_mean"))
                )

    def _gradient(self, name: str, dtype: str) -> float:
        """What a gradient may be off by, relative to the largest of its layer."""
        roundings = self._roundings.gradient(name, self._before[name].size)
        return bound(roundings) * UNIT[dtype] / UNIT["float32"]

    def _distance(self, name: str, one: Array, other: Array) -> tuple[float, float]:
        return float(abs(one - other).max(initial=0.0)), self.scales[name]

    def loss(self, dtype: str) -> float:
        """What the loss of the last step may be off by."""
        if dtype == "float64":
            return PROMISE.losses
        return bound(self._roundings.last) + LAMBDA * self._losses_apart

    def weight(self, name: str, dtype: str) -> float:
        """What a tensor may be off by after the last step."""
        if name not in self._before:
            return PROMISE.weights
        if dtype == "float64":
            return PROMISE.weights + over(self._loose[dtype][name], self.scales[name])
        gradient = self._gradient(name, dtype)
        stored = LAMBDA * math.sqrt(self._steps) * UNIT["float32"]
        known = gradient * self._path[name] + stored + LAMBDA * self._apart[name]
        return known + over(self._loose[dtype][name], self.scales[name])
