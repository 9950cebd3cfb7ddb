"""How large activations and gradients are before training, from the initialisers alone.

Means and second moments are propagated layer by layer, with the moments of two elements of one
channel in different places (or images): what is common to them is not averaged out, and a pool
finds no maximum of it. Sums of many terms are taken as Gaussian. That is the analysis behind the
initialisers of Glorot and Bengio (2010) and He et al. (2015), with means and biases, which a
network with biases of one needs, and with correlations as in Schoenholz et al. (2017). For
y = sum of n terms w x + b:

    E[y] = n E[w] E[x] + E[b];   Var[y] = n (E[w^2] E[x^2] - E[w]^2 E[x]^2) + Var[b]
    Cov[y, y'] = n (E[w^2] E[x x'] - E[w]^2 E[x]^2) + Var[b]

Backward, an element of x is read by MACs/|x| weights: E[g_x^2] = MACs/|x| E[w^2] E[g_y^2].

Estimates: pixels that are neighbours are not independent, and layers of few units scatter.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from archspec.analysis.shapes import Shapes
from archspec.graph import Graph, Node
from archspec.layers import activations as act
from archspec.layers import joins
from archspec.layers.affine import AffineLayer
from archspec.layers.base import Layer, Weight
from archspec.layers.batch_norm import BatchNorm
from archspec.layers.channel_shuffle import ChannelShuffle
from archspec.layers.conv2d import Conv2d
from archspec.layers.conv2d_transpose import Conv2dTranspose
from archspec.layers.dense import Dense
from archspec.layers.dropout import Dropout
from archspec.layers.flatten import Flatten
from archspec.layers.local_response_norm import LocalResponseNorm
from archspec.layers.mean_pool2d import AdaptiveAvgPool2d, GlobalAvgPool2d
from archspec.layers.pool2d import AvgPool2d, MaxPool2d
from archspec.layers.rearrange import Permute, Reshape
from archspec.layers.scale import Scale
from archspec.layers.stochastic_depth import StochasticDepth
from archspec.layers.upsample2d import Upsample2d
from archspec.layers.zero_pad2d import ZeroPad2d
from archspec.spec import initializers as init
from archspec.spec.fields import INPUT
from archspec.spec.preprocessing import Preprocessing

# Natural images, as fractions of white: the mean and the deviation of the pixels of ImageNet,
# over its three channels (0.485, 0.456, 0.406 and 0.229, 0.224, 0.225, which everyone uses).
PIXEL_MEAN = 0.449
PIXEL_STD = 0.226

_ARRANGED = (
    ChannelShuffle, Flatten, joins.Split, Permute, Reshape, StochasticDepth, Upsample2d,
)  # fmt: skip
_WEIGHTED = (Conv2d, Conv2dTranspose, Dense)


@dataclass(frozen=True, slots=True)
class Gaussian:
    """A Gaussian element: mean, variance, and covariance with its channel's other places."""

    mean: float
    variance: float
    covariance: float

    @property
    def common(self) -> float:
        """The deviation of what all places of a channel share."""
        return math.sqrt(max(min(self.covariance, self.variance), 0.0))

    @property
    def own(self) -> float:
        """The deviation of what each place has for itself."""
        return math.sqrt(max(self.variance - max(self.covariance, 0.0), 0.0))


@dataclass(frozen=True, slots=True)
class Signal:
    """The moments of an element: mean, E[x x], and E[x x'] with x' in another place or image.

    `before` is the Gaussian that it is, or that it was before a ReLU (`rectified`).
    """

    mean: float
    second: float
    cross: float
    before: Gaussian | None = None
    rectified: bool = False

    @property
    def rms(self) -> float:
        """The root of the second moment: how large a value is."""
        return math.sqrt(self.second)

    @property
    def gaussian(self) -> Gaussian:
        """The Gaussian with these moments."""
        variance = max(self.second - self.mean**2, 0.0)
        return Gaussian(self.mean, variance, min(max(self.cross - self.mean**2, 0.0), variance))


@dataclass(frozen=True, slots=True)
class Signals:
    """Activations and gradients at the start, by layer.

    `logits` is the layer that gives the logits: the output, or what a softmax at the end reads,
    which is part of the loss. `forward` has the outputs; `backward` the second moment of the
    gradient of one logit with respect to an element of a layer's output. `kernel` is the product
    of the gradients of one logit, at two images, with respect to all weights that are trained:
    the neural tangent kernel (Jacot et al., 2018), off its diagonal.
    """

    forward: Mapping[str, Signal]
    backward: Mapping[str, float]
    kernel: float
    logits: str


def propagate(graph: Graph, shapes: Shapes, image: Signal) -> Signals | None:
    """Forward and back through the network from `image`; None where a layer is not known here.

    One pass each way, linear in the layers. A network with layers of plug-ins, or without all
    its shapes, is not known.

    Raises OverflowError where a moment is larger than a float can be.
    """
    if shapes.missing:
        return None
    forward: dict[str, Signal] = {INPUT: image}
    for node in graph.nodes:
        signal = _forward(node, shapes, [forward[name] for name in node.inputs])
        if signal is None:
            return None
        forward[node.name] = signal
    backward = dict.fromkeys(forward, 0.0)
    common = dict(backward)
    logits = graph.output
    while logits != INPUT and isinstance(graph.by_name[logits].layer, act.Softmax):
        logits = graph.by_name[logits].inputs[0]
    if logits == INPUT:
        return None
    backward[logits] = common[logits] = 1.0 / math.prod(shapes.of(logits))
    kernel = 0.0
    for node in reversed(graph.nodes):
        if backward[node.name] == 0.0:
            continue
        inputs = [forward[name] for name in node.inputs]
        kernel += _of_weights(node, shapes, inputs[0], common[node.name])
        for place, name in enumerate(node.inputs):
            single, both = _backward(node, shapes, inputs, place)
            backward[name] += backward[node.name] * single
            common[name] += common[node.name] * both
    # Products and sums become infinite where powers raise: one answer for both.
    sizes = (*(m for s in forward.values() for m in (s.second, s.cross)), *backward.values())
    if not all(map(math.isfinite, (*sizes, kernel))):
        raise OverflowError("a moment of an activation or a gradient is larger than a float")
    return Signals(forward, backward, kernel, logits)


def pixels(preprocessing: Preprocessing) -> Signal:
    """A pixel of a natural image, 0 to 255, after the recipe's preprocessing.

    Raises OverflowError where that is larger than a float can be.
    """
    rescale = 255.0 * preprocessing.rescale
    mean, std = PIXEL_MEAN * rescale, PIXEL_STD * rescale
    if preprocessing.mean == "data":
        mean = 0.0
    else:
        mean -= sum(preprocessing.mean) / max(len(preprocessing.mean), 1)
    divisor = preprocessing.std
    if divisor == "data":
        mean, std = mean / std, 1.0
    elif divisor:
        by = sum(divisor) / len(divisor)
        mean, std = mean / by, std / by
    return _normal(mean, std**2, 0.0)


def moments(weight: Weight) -> tuple[float, float]:
    """The mean and the variance of a weight that its initialiser draws."""
    rule = weight.initializer
    match rule:
        case init.Zeros():
            return 0.0, 0.0
        case init.Ones():
            return 1.0, 0.0
        case init.Constant():
            return rule.value, 0.0
        case init.Normal():
            return rule.mean, rule.std**2
        case init.TruncatedNormal():
            return rule.mean, (CUT * rule.std) ** 2
        case init.Uniform():
            return (rule.low + rule.high) / 2, (rule.high - rule.low) ** 2 / 12
        case _:
            return 0.0, rule.std(weight.fan_in, weight.fan_out) ** 2


# The deviation of a Gaussian that is cut at two of its own: 0.880.
CUT = math.sqrt(1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2)))


def _normal(mean: float, variance: float, covariance: float) -> Signal:
    second, cross = mean**2 + variance, mean**2 + covariance
    return Signal(mean, second, cross, Gaussian(mean, variance, covariance))


def _named(node: Node, shapes: Shapes) -> dict[str, tuple[float, float]]:
    """The mean and the variance of the layer's weights by name."""
    return {weight.name: moments(weight) for weight in node.layer.weights(shapes.inputs(node))}


def _forward(node: Node, shapes: Shapes, inputs: list[Signal]) -> Signal | None:
    """The signal behind a layer; None for a layer that is not known here."""
    layer, first = node.layer, inputs[0]
    if isinstance(layer, _WEIGHTED):
        return _weighted(node, shapes, first)
    if isinstance(layer, _ARRANGED):
        return first
    if isinstance(layer, Dropout):
        kept = 1.0 - layer.rate
        if layer.scaling == "inverted":
            return Signal(first.mean, first.second / kept, first.cross)
        return Signal(first.mean * kept, first.second * kept, first.cross * kept**2)
    if isinstance(layer, act.Relu):
        return _rectified(first.gaussian)
    if isinstance(layer, act.Softmax):
        each = 1.0 / shapes.of(node.name)[0]
        return Signal(each, each**2, each**2)
    if isinstance(layer, act.Activation):
        function = _function(layer)
        return _bent(first.gaussian, function) if function else None
    if isinstance(layer, (AffineLayer, Scale)):
        return _scaled(node, shapes, first)
    if isinstance(layer, LocalResponseNorm):
        return _times(first, _response(layer, first))
    if isinstance(layer, MaxPool2d):
        return _pooled(first, math.prod(layer.kernel_size))
    if isinstance(layer, (AvgPool2d, GlobalAvgPool2d, AdaptiveAvgPool2d)):
        found = first.gaussian
        own = (found.variance - found.covariance) / _averaged(node, shapes)
        return _normal(found.mean, found.covariance + own, found.covariance)
    if isinstance(layer, ZeroPad2d):
        share = math.prod(shapes.inputs(node)[0]) / math.prod(shapes.of(node.name))
        return Signal(share * first.mean, share * first.second, share * first.cross)
    return _joined(node, shapes, inputs)


def _joined(node: Node, shapes: Shapes, inputs: list[Signal]) -> Signal | None:
    if isinstance(node.layer, joins.Add):
        parts = [signal.gaussian for signal in inputs]
        return _normal(
            sum(part.mean for part in parts),
            sum(part.variance for part in parts),
            sum(part.covariance for part in parts),
        )
    if isinstance(node.layer, joins.Multiply):
        return Signal(
            math.prod(s.mean for s in inputs),
            math.prod(s.second for s in inputs),
            math.prod(s.cross for s in inputs),
        )
    if isinstance(node.layer, joins.Concat):
        sizes = [shape[0] for shape in shapes.inputs(node)]
        shares = [size / sum(sizes) for size in sizes]
        return Signal(
            sum(share * s.mean for share, s in zip(shares, inputs, strict=True)),
            sum(share * s.second for share, s in zip(shares, inputs, strict=True)),
            sum(share * s.cross for share, s in zip(shares, inputs, strict=True)),
        )
    return None


def _weighted(node: Node, shapes: Shapes, signal: Signal) -> Signal:
    terms = _macs(node, shapes) / math.prod(shapes.of(node.name))
    weights = _named(node, shapes)
    mean_w, var_w = weights["weight"]
    mean_b, var_b = weights.get("bias", (0.0, 0.0))
    square, apart = mean_w**2 + var_w, (mean_w * signal.mean) ** 2
    return _normal(
        terms * mean_w * signal.mean + mean_b,
        terms * (square * signal.second - apart) + var_b,
        terms * (square * signal.cross - apart) + var_b,
    )


def _scaled(node: Node, shapes: Shapes, signal: Signal) -> Signal:
    weights = _named(node, shapes)
    found = signal.gaussian
    if isinstance(node.layer, AffineLayer):
        divisor = _divisor(node.layer, signal)
        left = found.own**2 if isinstance(node.layer, BatchNorm) else found.variance
        covariance = 0.0 if isinstance(node.layer, BatchNorm) else found.covariance
        found = Gaussian(0.0, left / divisor, covariance / divisor)
    mean_w, var_w = weights.get("weight", (1.0, 0.0))
    mean_b, var_b = weights.get("bias", (0.0, 0.0))
    square, added = mean_w**2 + var_w, var_w * found.mean**2 + var_b
    return _normal(
        mean_w * found.mean + mean_b,
        square * found.variance + added,
        square * found.covariance + added,
    )


def _divisor(layer: AffineLayer, signal: Signal) -> float:
    """The variance that a normalisation divides by: batch normalisation's is of each channel."""
    found = signal.gaussian
    return layer.eps + (found.own**2 if isinstance(layer, BatchNorm) else found.variance)


@lru_cache(maxsize=1024)
def _rectified(found: Gaussian) -> Signal:
    """max(x, 0) of a Gaussian."""
    mean, std = found.mean, math.sqrt(found.variance)
    first = _mean_above(mean, std)
    second = (mean**2 + std**2) * _above(mean, std) + mean * std * _density(mean, std)
    common, own = found.common, found.own
    cross = sum(p * _mean_above(mean + common * x, own) ** 2 for p, x in _GRID)
    return Signal(first, max(second, 0.0), cross, found, rectified=True)


def _mean_above(mean: float, std: float) -> float:
    """The mean of max(x, 0) of a Gaussian."""
    return mean * _above(mean, std) + std * _density(mean, std)


def _above(mean: float, std: float) -> float:
    """The share of a Gaussian above zero."""
    if std == 0.0:
        return float(mean > 0)
    return 0.5 * (1 + math.erf(mean / (std * math.sqrt(2))))


def _density(mean: float, std: float) -> float:
    if std == 0.0:
        return 0.0
    return math.exp(-0.5 * min((mean / std) ** 2, 1000.0)) / math.sqrt(2 * math.pi)


def _times(signal: Signal, factor: float) -> Signal:
    before = signal.before
    if before is not None:
        square = factor**2
        before = Gaussian(
            before.mean * factor, before.variance * square, before.covariance * square
        )
    return Signal(
        signal.mean * factor,
        signal.second * factor**2,
        signal.cross * factor**2,
        before,
        signal.rectified,
    )


def _response(layer: LocalResponseNorm, signal: Signal) -> float:
    return float((layer.k + layer.scale * layer.size * signal.second) ** -layer.beta)


def _pooled(signal: Signal, values: int) -> Signal:
    """The largest of several values, whose own parts are taken as independent."""
    found = _largest_of(signal.before or signal.gaussian, values)
    if signal.rectified:
        return _rectified(found)
    return _normal(found.mean, found.variance, found.covariance)


def _largest_of(before: Gaussian, values: int) -> Gaussian:
    shift, spread = _largest(values)
    covariance = before.common**2
    mean, variance = before.mean + shift * before.own, covariance + (spread * before.own) ** 2
    return Gaussian(mean, variance, covariance)


@lru_cache
def _largest(values: int) -> tuple[float, float]:
    """Mean and deviation of the largest of several standard Gaussian numbers."""
    step = 1 / 128
    edges = [step * i - 8 for i in range(round(16 / step) + 1)]
    below = [_above(edge, 1.0) ** values for edge in edges]
    shares = [after - before for before, after in itertools.pairwise(below)]
    mean = sum((x + step / 2) * share for x, share in zip(edges, shares, strict=False))
    second = sum((x + step / 2) ** 2 * share for x, share in zip(edges, shares, strict=False))
    return mean, math.sqrt(second - mean**2)


def _averaged(node: Node, shapes: Shapes) -> float:
    """How many values an average is of."""
    if isinstance(node.layer, AvgPool2d):
        return math.prod(node.layer.kernel_size)
    return max(math.prod(shapes.inputs(node)[0]) / math.prod(shapes.of(node.name)), 1.0)


# Shares and places for integrals over a standard Gaussian.
_GRID = tuple(
    (0.25 * math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi), x)
    for x in (0.25 * i for i in range(-20, 21))
)
Function = Callable[[float], float]


def _bent(found: Gaussian, function: Function) -> Signal:
    """The signal behind a function of each element."""
    std = math.sqrt(found.variance)
    values = [(p, function(found.mean + std * x)) for p, x in _GRID]
    cross = _of_both(found, function)
    return Signal(sum(p * y for p, y in values), sum(p * y * y for p, y in values), cross)


def _of_both(found: Gaussian, function: Function) -> float:
    """The mean product of a function at two places: of its mean, given what they share."""
    common, own = found.common, found.own
    total = 0.0
    for share, place in _GRID:
        shared = found.mean + common * place
        total += share * sum(p * function(shared + own * x) for p, x in _GRID) ** 2
    return total


def _function(layer: Layer) -> Function | None:
    """An activation as a function of one number."""
    known = _FUNCTIONS.get(type(layer))
    return None if known is None else lambda x: known(layer, x)


def _derivative(function: Function, width: float) -> Function:
    return lambda x: (function(x + width) - function(x - width)) / (2 * width)


def _sigmoid(x: float) -> float:
    return 0.5 * (1 + math.tanh(x / 2))


def _hard(x: float) -> float:
    return min(max(x + 3.0, 0.0), 6.0) / 6.0


_FUNCTIONS: dict[type[Layer], Callable[[Any, float], float]] = {
    act.Relu6: lambda _, x: min(max(x, 0.0), 6.0),
    act.LeakyRelu: lambda layer, x: x if x > 0 else layer.negative_slope * x,
    act.Sigmoid: lambda _, x: _sigmoid(x),
    act.HardSigmoid: lambda _, x: _hard(x),
    act.HardSwish: lambda _, x: x * _hard(x),
    act.Silu: lambda _, x: x * _sigmoid(x),
    act.Gelu: lambda _, x: 0.5 * x * (1 + math.erf(x / math.sqrt(2))),
    act.Tanh: lambda _, x: math.tanh(x),
}


def _macs(node: Node, shapes: Shapes) -> int:
    return node.layer.cost(shapes.inputs(node), shapes.of(node.name)).macs


def _backward(node: Node, shapes: Shapes, inputs: list[Signal], place: int) -> tuple[float, float]:
    """By what a gradient's second moment is multiplied on its way to one of the inputs.

    That of one image, and that of two images (of a window as a whole: what the places of a
    window have in common adds up).
    """
    layer, signal = node.layer, inputs[place]
    read, written = math.prod(shapes.inputs(node)[place]), math.prod(shapes.of(node.name))
    if isinstance(layer, Dropout):
        kept = 1.0 - layer.rate
        return (1.0 / kept, 1.0) if layer.scaling == "inverted" else (kept, kept**2)
    if isinstance(layer, act.Relu):
        return _passed(signal.gaussian)
    if isinstance(layer, act.Activation):
        found, function = signal.gaussian, _function(layer)
        assert function is not None  # the way forward would have ended there
        slope = _derivative(function, 1e-4 * (math.sqrt(found.variance) or 1.0))
        return _bent(found, slope).second, _of_both(found, slope)
    if isinstance(layer, (AvgPool2d, GlobalAvgPool2d, AdaptiveAvgPool2d)):
        return written / read / _averaged(node, shapes), written / read
    if isinstance(layer, joins.Multiply):
        others = [s for i, s in enumerate(inputs) if i != place]
        return math.prod(s.second for s in others), math.prod(s.cross for s in others)
    factor = _linear_factor(node, shapes, signal, written / read)
    if isinstance(layer, MaxPool2d) and signal.before is not None and signal.rectified:
        # The largest of several is above zero more often than the ReLU's own share says.
        largest = _largest_of(signal.before, math.prod(layer.kernel_size))
        share = _above(signal.before.mean, math.sqrt(signal.before.variance))
        factor *= _above(largest.mean, math.sqrt(largest.variance)) / share if share else 0.0
    return factor, factor


@lru_cache(maxsize=1024)
def _passed(found: Gaussian) -> tuple[float, float]:
    """How often a ReLU passes a gradient, and how often at two places at once."""
    common, own = found.common, found.own
    both = sum(p * _above(found.mean + common * x, own) ** 2 for p, x in _GRID)
    return _above(found.mean, math.sqrt(found.variance)), both


def _linear_factor(node: Node, shapes: Shapes, signal: Signal, ratio: float) -> float:
    """The same for layers that are linear, or nearly so; `ratio` is |y|/|x|."""
    layer = node.layer
    if isinstance(layer, _WEIGHTED):
        mean, variance = _named(node, shapes)["weight"]
        terms = _macs(node, shapes) / math.prod(shapes.inputs(node)[0])
        return terms * (mean**2 + variance)
    if isinstance(layer, (AffineLayer, Scale)):
        mean, variance = _named(node, shapes).get("weight", (1.0, 0.0))
        divisor = _divisor(layer, signal) if isinstance(layer, AffineLayer) else 1.0
        return (mean**2 + variance) / divisor
    if isinstance(layer, LocalResponseNorm):
        return _response(layer, signal) ** 2
    if isinstance(layer, act.Softmax):
        return 1.0 / math.prod(shapes.of(node.name)) ** 2  # p (1 - p), nearly
    if isinstance(layer, (joins.Add, joins.Concat, ZeroPad2d)):
        return 1.0
    return ratio


def _of_weights(node: Node, shapes: Shapes, signal: Signal, gradient: float) -> float:
    """The product of the gradients, at two images, with respect to a layer's own weights."""
    weights = [w for w in node.layer.weights(shapes.inputs(node)) if w.trainable]
    outputs = math.prod(shapes.of(node.name))
    found = 0.0
    for weight in weights:
        if weight.name == "bias":
            found += outputs * gradient
        elif isinstance(node.layer, _WEIGHTED):
            found += _macs(node, shapes) * signal.cross * gradient
        elif not isinstance(node.layer, BatchNorm):  # whose mean product is zero
            found += outputs * signal.cross * gradient
    return found
