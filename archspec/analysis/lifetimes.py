"""When memory is alive in a training step and at inference: made, last read, given back.

The outputs and what is kept for backward follow from the layers (`Layer.shares`, `Layer.saved`)
as PyTorch's eager mode has it. A tensor is alive from the layer that makes it until the last
layer that reads it, or where it is kept, until the backward step of the first layer that keeps
it. The gradient of an output is alive from the backward step of its last reader until its own; a
view and a sum pass theirs on without a copy. The batch stays from the beginning to the end. The
loss is the cross-entropy of each output: the logarithms of the probabilities, and the labels
(int64). Layers are numbered in order, the loss behind them; the backward pass counts down.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Literal

from archspec.analysis.costs import BYTES_PER_ELEMENT, LayerCosts
from archspec.analysis.shapes import Shapes
from archspec.graph import Graph, Node
from archspec.layers.base import Shape
from archspec.layers.joins import Add
from archspec.layers.saved import CHANNELS_LAST, IN_ORDER, Axes, Layout, Saved
from archspec.spec.fields import INPUT

Phase = Literal["forward", "backward"]

# What the steps are called that are no layer's.
LOSS = "loss"
OUTPUT = "output"
LABEL_BYTES = 8  # int64

# Channels, height, width, image after image: how nearly all outputs lie.
_USUAL = Layout()

# What is alive from one step to another, both included, and its size.
Life = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Moment:
    """What is alive while one layer computes, or its backward step, in bytes.

    Weights, gradients of weights and the optimiser's state are not in it: they are always there.
    """

    name: str
    phase: Phase
    bytes: int


@dataclass(frozen=True, slots=True)
class Steps:
    """What is alive in each step for a batch of any size: `fixed` bytes, and `each` image's.

    The first `forward` steps are those of the forward pass.
    """

    names: list[str]
    forward: int
    fixed: list[int]
    each: list[int]

    def moment(self, step: int, batch: int) -> Moment:
        """One step for `batch` images."""
        phase: Phase = "forward" if step < self.forward else "backward"
        return Moment(self.names[step], phase, self.fixed[step] + self.each[step] * batch)

    def moments(self, batch: int) -> tuple[Moment, ...]:
        """All steps for `batch` images."""
        return tuple([self.moment(step, batch) for step in range(len(self.names))])

    def peak(self, batch: int) -> Moment:
        """The step with the most bytes, the first of those."""
        alive = [a + b * batch for a, b in zip(self.fixed, self.each, strict=True)]
        return self.moment(alive.index(max(alive)), batch)

    def largest_batch(self, room: int) -> int:
        """The most images with which no step needs more than `room` bytes."""
        fits = [(room - a) // b for a, b in zip(self.fixed, self.each, strict=True)]
        return max(min(fits), 0)


@dataclass(slots=True)
class _Storage:
    """A piece of memory in which one or several outputs lie. Layers are numbered in order.

    `last` is the last layer that reads it in the forward pass, `keeper` the first one that keeps
    it for the backward pass.
    """

    size: int
    born: int
    last: int
    keeper: int | None = None


class Forward:
    """The memory in which every output lies, and how long the forward pass needs it."""

    def __init__(self, graph: Graph, shapes: Shapes, *, training: bool) -> None:
        apart = frozenset[str]() if training else graph.training_only
        outputs = graph.outputs if training else (graph.output,)
        self.graph, self.shapes = graph, shapes
        self.nodes = [n for n in graph.nodes if n.name in shapes.layers and n.name not in apart]
        self.results = [name for name in outputs if name in shapes.layers]
        end = len(self.nodes)
        image = _Storage(_bytes(graph.input_shape), 0, end)
        self.storages = [image]
        self.of = {INPUT: image}
        self.layouts = {INPUT: _USUAL}
        self.views: set[str] = set()
        self.new: dict[str, int] = {}
        for number, node in enumerate(self.nodes):
            for name in node.inputs:
                self.of[name].last = max(self.of[name].last, number)
            self._place(number, node, training)
        for name in self.results:
            self.of[name].last = end

    def _place(self, number: int, node: Node, training: bool) -> None:
        """Find the memory of an output, its input's or new one, and its layout there."""
        name, layer, source = node.name, node.layer, node.inputs[0]
        shape, read = self.shapes.of(name), self.shapes.of(source)
        before = self.layouts[source]
        sharing = layer.shares((read,), training)
        scattered = before.axes != IN_ORDER or before.gaps == "within images"
        if sharing == "in order" and scattered and shape != read:
            sharing, before = "no", _USUAL  # the elements are put in order
        if sharing == "no":
            if self.graph.overwrites(node):
                self.of[name] = self.of[source]
                self.new[name] = 0
            else:
                self.new[name] = size = _bytes(shape)
                self.of[name] = storage = _Storage(size, number, number)
                self.storages.append(storage)
            axes = self._arranged(node, before.axes)
            layout = _USUAL if axes == IN_ORDER else Layout(axes)
        else:
            self.views.add(name)
            self.of[name] = self.of[source]
            self.new[name] = 0
            layout = layer.view(before, read)
        self.layouts[name] = layout if layout is _USUAL else _plainest(layout, shape)

    def _arranged(self, node: Node, before: Axes) -> Axes:
        """The order of the axes of an output that lies in memory of its own."""
        arranges = node.layer.arranges
        if arranges == "channels last":
            return CHANNELS_LAST
        if arranges == "in order":
            return IN_ORDER
        if len(node.inputs) > 1:
            # Of several, the first one that is no factor of whole channels.
            read = [(self.shapes.of(name), self.layouts[name].axes) for name in node.inputs]
            axes = [axes for shape, axes in read if shape[1:] == self.shapes.of(node.name)[1:]]
            before = axes[0] if arranges == "alike" or len(set(axes)) == 1 else IN_ORDER
        return before if arranges == "alike" or before == CHANNELS_LAST else IN_ORDER

    @cached_property
    def steps(self) -> Steps:
        """What is alive while each layer computes, where nothing is kept."""
        steps = len(self.nodes) + 1
        each = _sums(steps, [(s.born, s.last, s.size) for s in self.storages])
        return Steps([*(node.name for node in self.nodes), OUTPUT], steps, [0] * steps, each)


class Training(Forward):
    """What is kept for the backward pass besides, and the gradients of outputs.

    `saved` has for each layer what it keeps and nothing before it: bytes of the batch and bytes
    of each image.
    """

    def __init__(self, graph: Graph, shapes: Shapes, costs: Mapping[str, LayerCosts]) -> None:
        super().__init__(graph, shapes, training=True)
        self.gradients = {INPUT: False}
        self.saved: dict[str, tuple[int, int]] = {}
        # Tensors that are kept and are no outputs, with the layer that keeps them.
        self.fixed: list[Life] = []
        self.extra: list[Life] = []
        known: dict[tuple[int, tuple[Shape, ...], tuple[bool, ...]], Saved] = {}
        for number, node in enumerate(self.nodes):
            needed = tuple([self.gradients[name] for name in node.inputs])
            wanted = True in needed or costs[node.name].trainable_params > 0
            self.gradients[node.name] = wanted
            if not wanted:
                self.saved[node.name] = (0, 0)
                continue
            inputs, inferred = shapes.inputs(node), shapes.layers[node.name]
            if node.pattern is None:
                saved = node.layer.saved(inputs, inferred, needed)
            else:
                key = (id(node.pattern), inputs, needed)
                if key not in known:
                    known[key] = node.layer.saved(inputs, inferred, needed)
                saved = known[key]
            self._keep(number, node, inputs, saved)

    def _keep(self, number: int, node: Node, inputs: tuple[Shape, ...], saved: Saved) -> None:
        fixed = each = 0
        for extra in saved.extra:
            if extra.per == "batch":
                fixed += extra.elements * extra.bytes
            else:
                each += extra.elements * extra.bytes
        kept = [self.of[node.name]] if saved.output else []
        for index in saved.inputs:
            source = node.inputs[index]
            if saved.in_one_piece and not self.layouts[source].in_one_piece:
                each += _bytes(inputs[index])
            else:
                kept.append(self.of[source])
        end = len(self.nodes)
        if fixed:
            self.fixed.append((number, end, fixed))
        if each:
            self.extra.append((number, end, each))
        for storage in kept:
            if storage.keeper is None:
                storage.keeper = number
                each += storage.size
        self.saved[node.name] = (fixed, each)

    @cached_property
    def steps(self) -> Steps:
        """What is alive in each forward step, at the loss, and in each backward step."""
        end = len(self.nodes)
        probabilities = sum([_bytes(self.shapes.of(name)) for name in self.results])
        forward = [*self.extra, (end, end, probabilities + LABEL_BYTES)]
        backward = [*self.extra, *self._gradients()]
        for storage in self.storages:
            kept = storage.keeper is not None
            forward.append((storage.born, end if kept else storage.last, storage.size))
            if storage is self.storages[0]:  # the batch
                backward.append((0, end, storage.size))
            elif storage.keeper is not None:
                backward.append((storage.keeper, end, storage.size))
        names = [node.name for node in self.nodes]
        # The backward pass counts down.
        down = [i for i in reversed(range(end)) if self.gradients[names[i]]]
        fixed, there = _sums(end + 1, self.fixed), _sums(end + 1, forward)
        back = _sums(end + 1, backward)
        return Steps(
            [*names, LOSS, *(names[i] for i in down)],
            end + 1,
            [*fixed, *(fixed[i] for i in down)],
            [*there, *(back[i] for i in down)],
        )

    def _gradients(self) -> list[Life]:
        """The life of each output's gradient, in the numbers of backward steps."""
        numbers = {node.name: number for number, node in enumerate(self.nodes)}
        # In the order of the backward pass; a gradient that is passed on lives longer.
        root: dict[str, str] = {}
        lives: dict[str, Life] = {}
        for number, node in reversed(list(enumerate(self.nodes))):
            name = node.name
            if not self.gradients[name]:
                continue
            readers = [reader for reader in self.graph.consumers[name] if reader in numbers]
            result = name in self.results
            if len(readers) == 1 and not result and self._passes_on(readers[0]):
                root[name] = root[readers[0]]
                _, born, size = lives[root[name]]
            else:
                root[name] = name
                last = max([numbers[reader] for reader in readers], default=number)
                born, size = len(self.nodes) if result else last, _bytes(self.shapes.of(name))
            lives[root[name]] = (number, born, size)
        return list(lives.values())

    def _passes_on(self, name: str) -> bool:
        """Whether a layer's gradient is that of its input, or of each of them."""
        node = self.graph.by_name[name]
        if name not in self.views:
            return isinstance(node.layer, Add)
        return math.prod(self.shapes.of(name)) == math.prod(self.shapes.of(node.inputs[0]))


def _plainest(layout: Layout, shape: Shape) -> Layout:
    """The layout, in order where axes of one position alone make the difference."""
    if len(shape) == 1:
        return Layout(IN_ORDER, layout.gaps)
    axes = [axis for axis in layout.axes if shape[axis] > 1]
    return Layout(IN_ORDER, layout.gaps) if axes == sorted(axes) else layout


def _sums(steps: int, lives: Sequence[Life]) -> list[int]:
    """How much is alive in each step."""
    changes = [0] * (steps + 2)
    for first, last, size in lives:
        changes[first] += size
        changes[last + 1] -= size
    return list(accumulate(changes))[:steps]


def _bytes(shape: Shape) -> int:
    return BYTES_PER_ELEMENT * math.prod(shape)
