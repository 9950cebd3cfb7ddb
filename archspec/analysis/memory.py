"""The memory of one network and a batch: what is held, and what is alive when.

Exact for float32 and counted from shapes: parameters, buffers, gradients, the optimiser's state,
every output, and what PyTorch's eager mode keeps of the forward pass for the backward pass
(`Layer.saved`). A tensor that several layers keep, under whatever shape, is counted once.

What is alive at which moment follows from a rule (`archspec.analysis.lifetimes`), so the peaks
and the largest batch are estimates: weights, gradients and the optimiser's state are there all
the time, and the largest moment comes on top. What depends on a device is left out: workspaces
of the kernels and temporaries within a layer or an optimiser's step, the allocator's rounding and
fragments, the framework itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

from archspec.analysis.costs import BYTES_PER_ELEMENT, LayerCosts, Totals
from archspec.analysis.lifetimes import Forward, Moment, Training
from archspec.analysis.numbers import counted, short_bytes
from archspec.analysis.section import Column, Section
from archspec.analysis.shapes import Shapes
from archspec.graph import Graph
from archspec.layers.base import Shape
from archspec.spec.recipe import Adam, AdamW, Sgd
from archspec.spec.recipe import Optimizer as Update

Optimizer = Literal["sgd", "momentum", "adam", "adamw"]
# What may be asked about without a recipe; of the recipe's numbers none counts here.
OPTIMIZERS: Mapping[Optimizer, Update] = {
    "sgd": Sgd(type="sgd", learning_rate=1.0),
    "momentum": Sgd(type="sgd", learning_rate=1.0, momentum=0.9),
    "adam": Adam(type="adam", learning_rate=1.0),
    "adamw": AdamW(type="adamw", learning_rate=1.0, weight_decay=0.01),
}
STEP_BYTES = 4  # PyTorch's Adam counts the steps of each tensor in a float32

# How many layers the report names.
LARGEST = 10


@dataclass(frozen=True, slots=True)
class LayerMemory:
    """What one layer adds: its output, and what is kept for backward that nothing before it keeps.

    `output_bytes` is 0 where the output lies in the memory of another one.
    """

    name: str
    output_bytes: int
    saved_bytes: int


@dataclass(frozen=True)
class Memory:
    """The memory of a network in float32, in bytes, for `batch` images.

    `optimizer_state` is nothing for SGD, a number for each trainable parameter with momentum, and
    for Adam two, and one float32 for the steps of each tensor. `activations` are all outputs at
    inference; `saved` is what is kept for backward. `budget` is the memory that was asked about,
    and `largest_batch` the largest number of images whose training peak fits in it, 0 where one
    does not.
    """

    key: ClassVar[str] = "memory"

    batch: int
    optimizer: Optimizer
    parameters: int
    buffers: int
    gradients: int
    optimizer_state: int
    activations: int
    lives: Training = field(repr=False, compare=False)
    budget: int | None = None
    largest_batch: int | None = None

    @cached_property
    def layers(self) -> tuple[LayerMemory, ...]:
        """What each layer adds."""
        return tuple(
            LayerMemory(name, self.lives.new[name] * self.batch, fixed + each * self.batch)
            for name, (fixed, each) in self.lives.saved.items()
        )

    @cached_property
    def saved(self) -> int:
        """What is kept for the backward pass."""
        amounts = self.lives.saved.values()
        return sum([fixed + each * self.batch for fixed, each in amounts])

    @cached_property
    def timeline(self) -> tuple[Moment, ...]:
        """A training step: each layer forward, the loss, each layer with a gradient backward."""
        return self.lives.steps.moments(self.batch)

    @cached_property
    def peak_at(self) -> Moment:
        """The moment of a training step at which most is alive."""
        return self.lives.steps.peak(self.batch)

    @property
    def training_peak(self) -> int:
        """What is held all the time and the largest moment of a training step."""
        return self.resident + self.peak_at.bytes

    @cached_property
    def inference_timeline(self) -> tuple[Moment, ...]:
        """A forward pass at inference: each layer, and the output alone."""
        forward = Forward(self.lives.graph, self.lives.shapes, training=False)
        return forward.steps.moments(self.batch)

    @cached_property
    def inference_peak(self) -> int:
        """Parameters, buffers and the largest moment at inference."""
        return self.parameters + self.buffers + max(m.bytes for m in self.inference_timeline)

    @property
    def resident(self) -> int:
        """What training holds all the time."""
        return self.parameters + self.buffers + self.gradients + self.optimizer_state

    def to_json(self) -> dict[str, Any]:
        """The object `memory` of ``analyze --format json``."""
        return {
            "batch": self.batch,
            "optimizer": self.optimizer,
            "parameter_bytes": self.parameters,
            "buffer_bytes": self.buffers,
            "gradient_bytes": self.gradients,
            "optimizer_bytes": self.optimizer_state,
            "activation_bytes": self.activations,
            "saved_bytes": self.saved,
            "training_peak_bytes": self.training_peak,
            "training_peak_at": {"name": self.peak_at.name, "phase": self.peak_at.phase},
            "inference_peak_bytes": self.inference_peak,
            "budget_bytes": self.budget,
            "largest_batch": self.largest_batch,
        }

    def sections(self) -> tuple[Section, ...]:
        """The parts with the largest batch, and the layers that keep most."""
        return (_parts(self), *([_largest(self)] if self.saved else []))


# How many numbers an optimiser remembers, in words.
_NUMBERS = ("none", "one number", "two numbers")


def _state(rule: Update) -> str:
    if not rule.state:
        return f"none: {rule.title} remembers nothing"
    steps = ", and steps" if rule.counts_steps else ""
    return f"{_NUMBERS[len(rule.state)]} a trainable parameter{steps}"


def _parts(found: Memory) -> Section:
    """What a training step holds, and what fits."""
    images = counted(found.batch, "image")
    rule = OPTIMIZERS[found.optimizer]
    at = f"{found.peak_at.name}, {found.peak_at.phase}"
    rows = [
        ("parameters", short_bytes(found.parameters), "float32"),
        ("buffers", short_bytes(found.buffers), "running statistics"),
        ("gradients", short_bytes(found.gradients), "of the trainable parameters"),
        ("optimizer", short_bytes(found.optimizer_state), _state(rule)),
        ("activations", short_bytes(found.activations), f"every output, {images}"),
        ("kept for backward", short_bytes(found.saved), "by PyTorch, each tensor once"),
        ("largest moment", short_bytes(found.peak_at.bytes), f"{at}: what is alive then"),
        ("training peak", short_bytes(found.training_peak), "all but activations: an estimate"),
        ("inference peak", short_bytes(found.inference_peak), "nothing kept: an estimate"),
    ]
    if not found.buffers:
        del rows[1]
    notes = [
        "An estimate knows when a tensor is made and last used. It does not know the device: "
        "workspaces, temporaries, fragments and the framework itself come on top."
    ]
    if found.budget is not None and found.largest_batch is not None:
        largest = found.largest_batch
        needs = short_bytes(found.resident + found.lives.steps.peak(max(largest, 1)).bytes)
        said = f"fits in {_shown(found.budget)}, with a training peak of {needs}"
        if not largest:
            said = f"one image has a training peak of {needs}, above {_shown(found.budget)}"
        rows.append(("largest batch", f"{largest:,}", said))
    columns = (Column(""), Column("", "right"), Column("what", folds=True))
    title = f"Memory: training with {rule.title}, {images}"
    return Section(title, columns, tuple(rows), tuple(notes))


def _shown(budget: int) -> str:
    """16 GiB, or the number of bytes where that is not round."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20)):
        if budget % size == 0:
            return f"{budget // size:,} {unit}"
    return counted(budget, "byte")


def _largest(found: Memory) -> Section:
    """The layers that keep most for backward."""
    keeping = sorted(found.layers, key=lambda layer: -layer.saved_bytes)
    rows = tuple(
        (
            layer.name,
            short_bytes(layer.output_bytes) if layer.output_bytes else "",
            short_bytes(layer.saved_bytes),
            f"{layer.saved_bytes / found.saved:.1%}",
        )
        for layer in keeping[:LARGEST]
        if layer.saved_bytes
    )
    columns = (
        Column("layer", folds=True),
        Column("output", "right"),
        Column("kept", "right"),
        Column("of all", "right"),
    )
    notes = (
        "A layer keeps what its backward pass reads: inputs, outputs, indices, masks. What a layer "
        "before it keeps already is counted there. No output: it writes over its input, or shows "
        "it in another shape.",
    )
    return Section("Kept for backward: the largest layers", columns, rows, notes)


def memory(
    graph: Graph,
    shapes: Shapes,
    costs: Mapping[str, LayerCosts],
    sums: Totals,
    batch: int,
    optimizer: Optimizer | None = None,
    budget: int | None = None,
) -> Memory:
    """The memory of the layers that have a shape.

    The optimiser is the recipe's where it is left out, and SGD with momentum where there is no
    recipe. With a `budget` in bytes, the largest batch for it is looked up too.
    """
    optimizer = optimizer or optimizer_of(graph)
    parameters = sums.params * BYTES_PER_ELEMENT
    trainable = sums.trainable_params * BYTES_PER_ELEMENT
    state = len(OPTIMIZERS[optimizer].state) * trainable
    if OPTIMIZERS[optimizer].counts_steps:
        state += STEP_BYTES * _trainable_tensors(graph, shapes)
    lives = Training(graph, shapes, costs)
    found = Memory(
        batch,
        optimizer,
        parameters,
        sums.weight_bytes - parameters,
        trainable,
        state,
        sums.activation_bytes,
        lives,
    )
    if budget is None:
        return found
    fits = lives.steps.largest_batch(budget - found.resident)
    return replace(found, budget=budget, largest_batch=fits)


def optimizer_of(graph: Graph) -> Optimizer:
    """The optimiser of the recipe, and SGD with momentum where there is no recipe."""
    recipe = graph.spec.training
    if recipe is None:
        return "momentum"
    rule = recipe.optimizer
    return next(
        name
        for name, known in OPTIMIZERS.items()
        if (type(known), known.state) == (type(rule), rule.state)
    )


def _trainable_tensors(graph: Graph, shapes: Shapes) -> int:
    known: dict[tuple[int, tuple[Shape, ...]], int] = {}
    count = 0
    for node in graph.nodes:
        if node.name in shapes.layers:
            inputs = shapes.inputs(node)
            key = (id(node.pattern or node), inputs)
            if key not in known:
                known[key] = sum(weight.trainable for weight in node.layer.weights(inputs))
            count += known[key]
    return count
