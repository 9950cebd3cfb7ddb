"""The roofline model (Williams, Waterman and Patterson, 2009): how fast a network can be at best.

A pass through a layer does so many operations and moves so many bytes between the memory and the
units that compute. It takes at least the time of the operations at the peak rate, and at least
that of the bytes at the memory's bandwidth: the longer of the two is its lower bound.

The model: each layer runs on its own, nothing is fused, and each pass moves each of its tensors
through memory once.

- Forward: the inputs and the weights are read, the output is written. What shares the memory of
  its input (`flatten`, or `dropout` at inference) moves nothing.
- Weight gradient: the inputs and the output's gradient are read, the weights' gradients written.
- Input gradient: the output's gradient and the weights are read, the inputs' gradients written.
- A layer without matrix products has one backward pass: it reads the output's gradient, of its
  inputs and its output what PyTorch keeps for that pass (`Layer.saved`), and its weights, and
  writes the gradients. `add`, `concat` and views hand theirs on where it lies.
- Where several layers read one output, their gradients are read and the sum is written.
- Update: plain SGD reads weights and gradients and writes weights; momentum also reads and writes
  the velocities, Adam two numbers a weight.

Operations: 2 a MAC of convolutions and dense layers, whose biases start the sums; the FLOPs of
the other layers, which have no backward count and are limited by memory. The loss, launches,
workspaces and the images' way to the device are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, ClassVar, Literal

from archspec.analysis import Analysis
from archspec.analysis.devices import BYTES_PER_ELEMENT, Device, DType
from archspec.analysis.memory import OPTIMIZERS, Optimizer, optimizer_of
from archspec.analysis.numbers import short_bytes, short_count, short_seconds
from archspec.analysis.section import Column, Section
from archspec.layers.base import Layer, Shape
from archspec.layers.joins import Add, Concat, Split
from archspec.spec.fields import INPUT

Limit = Literal["compute", "memory"]


def moved(optimizer: Optimizer) -> int:
    """How many numbers an update moves for each trained weight."""
    return 3 + 2 * len(OPTIMIZERS[optimizer].state)


def _update(optimizer: Optimizer) -> str:
    """What these numbers are."""
    rule = OPTIMIZERS[optimizer]
    if not rule.state:
        return f"{rule.title}: weights and gradients read, weights written"
    some = "velocities" if len(rule.state) == 1 else "moments"
    count = "" if len(rule.state) == 1 else "two "
    return f"{rule.title}: weights, gradients and {count}{some} read, weights and {some} written"


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass through one layer for the whole batch, with its lower bound of time.

    `limit` says what that time is made of, None where there is nothing to do.
    """

    flops: int
    bytes: int
    seconds: float
    limit: Limit | None

    @property
    def intensity(self) -> Fraction | None:
        """Arithmetic intensity in FLOPs a byte, None where nothing moves."""
        return Fraction(self.flops, self.bytes) if self.bytes else None

    def to_json(self) -> dict[str, Any]:
        """The pass as in the JSON document; the intensity as a float."""
        return {
            "flops": self.flops,
            "bytes": self.bytes,
            "intensity": self.flops / self.bytes if self.bytes else None,
            "seconds": self.seconds,
            "limit": self.limit,
        }


# What hands the gradient of its output on as it lies, whole or in parts.
_PASSING = (Add, Concat)

NOTHING = Pass(0, 0, 0.0, None)


@dataclass(frozen=True, slots=True)
class Machine:
    """A device at one precision.

    `peak` is in FLOPs and `bandwidth` in bytes a second, `size` in bytes an element.
    """

    peak: int
    bandwidth: int
    size: int

    def run(self, flops: int, elements: int) -> Pass:
        """The pass of so many operations that moves so many elements."""
        moved = elements * self.size
        if not flops and not moved:
            return NOTHING
        # Both sides of flops/peak >= bytes/bandwidth as integers.
        limit: Limit = "compute" if flops * self.bandwidth >= moved * self.peak else "memory"
        seconds = flops / self.peak if limit == "compute" else moved / self.bandwidth
        return Pass(flops, moved, seconds, limit)

    def total(self, passes: Iterable[Pass]) -> Pass:
        """Passes one after the other: operations, bytes, and the sum of the times.

        The time is exact but for two roundings; the limit is that of the larger share.
        """
        flops = moved = computing = moving = 0
        for each in passes:
            flops += each.flops
            moved += each.bytes
            computing += each.flops if each.limit == "compute" else 0
            moving += each.bytes if each.limit == "memory" else 0
        if not flops and not moved:
            return NOTHING
        compute, memory = computing / self.peak, moving / self.bandwidth
        return Pass(flops, moved, compute + memory, "compute" if compute >= memory else "memory")


@dataclass(frozen=True, slots=True)
class LayerTime:
    """The passes of one layer, each for the whole batch.

    `forward` is at inference, nothing for a layer of training alone; the others make up a training
    step. `weight_gradient` is empty where there is no matrix product: then `input_gradient` is the
    whole backward pass of the layer. `gradient_sum` adds the gradients of several readers.
    """

    name: str
    type: str
    forward: Pass
    training_forward: Pass
    weight_gradient: Pass
    input_gradient: Pass
    gradient_sum: Pass
    update: Pass

    @property
    def backward(self) -> tuple[Pass, ...]:
        """The passes behind the loss, in their order."""
        return (self.gradient_sum, self.weight_gradient, self.input_gradient)

    @property
    def step(self) -> tuple[Pass, ...]:
        """All passes of a training step."""
        return (self.training_forward, *self.backward, self.update)

    @property
    def step_seconds(self) -> float:
        """Lower bound of the layer's time in a training step, its update included."""
        return math.fsum(each.seconds for each in self.step)

    def to_json(self) -> dict[str, Any]:
        """The layer as in the JSON document."""
        return {
            "name": self.name,
            "type": self.type,
            "forward": self.forward.to_json(),
            "training": {
                "forward": self.training_forward.to_json(),
                "weight_gradient": self.weight_gradient.to_json(),
                "input_gradient": self.input_gradient.to_json(),
                "gradient_sum": self.gradient_sum.to_json(),
                "update": self.update.to_json(),
            },
            "step_seconds": self.step_seconds,
        }


@dataclass(frozen=True, slots=True)
class Roofline:
    """Lower bounds of time on a device. All passes are for `batch` images.

    `training_peak` is what a training step holds at most, in bytes, by the rule of
    `archspec.analysis.memory`, which knows four bytes an element alone; else it is None.
    """

    key: ClassVar[str] = "roofline"

    device: Device
    dtype: DType
    batch: int
    machine: Machine
    optimizer: Optimizer
    layers: tuple[LayerTime, ...]
    forward: Pass
    training_forward: Pass
    backward: Pass
    update: Pass
    step: Pass
    training_peak: int | None

    @property
    def ridge(self) -> Fraction:
        """The intensity (FLOPs a byte) from which on the peak is the limit, not the memory."""
        return Fraction(self.machine.peak, self.machine.bandwidth)

    def images_per_second(self, work: Pass) -> float | None:
        """The upper bound of the rate at which `work` is done for images, None for nothing."""
        return self.batch / work.seconds if work.seconds else None

    def to_json(self) -> dict[str, Any]:
        """The report as in ``analyze --format json``."""
        return {
            "device": {
                "name": self.device.name,
                "title": self.device.title,
                "peak_flops_per_second": self.machine.peak,
                "bytes_per_second": self.machine.bandwidth,
                "memory_bytes": self.device.memory,
                "source": self.device.source,
                "note": self.device.note,
            },
            "dtype": self.dtype,
            "batch": self.batch,
            "optimizer": self.optimizer,
            "ridge": float(self.ridge),
            "forward": {
                **self.forward.to_json(),
                "images_per_second": self.images_per_second(self.forward),
            },
            "training_step": {
                **self.step.to_json(),
                "images_per_second": self.images_per_second(self.step),
                "forward_seconds": self.training_forward.seconds,
                "backward_seconds": self.backward.seconds,
                "update_seconds": self.update.seconds,
            },
            "training_peak_bytes": self.training_peak,
            "layers": [layer.to_json() for layer in self.layers],
        }

    def sections(self) -> tuple[Section, ...]:
        """The layers, their sums, and what the figures rest on."""
        title = f"roofline: {self.device.title}, {self.dtype}, batch {self.batch}"
        columns = (
            Column("layer", folds=True),
            Column("FLOPs", "right"),
            Column("bytes", "right"),
            Column("FLOP/byte", "right"),
            Column("forward", "right"),
            Column("limit"),
            Column("in a step", "right"),
        )
        rows = tuple(_row(layer) for layer in self.layers)
        return (Section(title, columns, rows), self._sums())

    def _sums(self) -> Section:
        columns = (
            Column("at best"),
            Column("FLOPs", "right"),
            Column("bytes", "right"),
            Column("time", "right"),
            Column("images/s", "right"),
            Column("of the peak", "right"),
        )
        rows = (
            self._sum("inference", self.forward, rate=True),
            self._sum("training: forward", self.training_forward),
            self._sum("backward", self.backward),
            self._sum("update", self.update),
            self._sum("training step", self.step, rate=True),
        )
        return Section("lower bounds of time", columns, rows, self._notes())

    def _sum(self, what: str, work: Pass, *, rate: bool = False) -> tuple[str, ...]:
        images = self.images_per_second(work) if rate else None
        share = work.flops / self.machine.peak / work.seconds if work.seconds else 0
        return (
            what,
            short_count(work.flops) if work.flops else "",
            short_bytes(work.bytes),
            short_seconds(work.seconds),
            f"{images:,.0f}" if images is not None else "",
            f"{share:.0%}" if work.flops else "",
        )

    def _notes(self) -> tuple[str, ...]:
        machine, device = self.machine, self.device
        figures = f"{device.source}. {device.note}" if device.note else f"{device.source}."
        return (
            *self._room(),
            f"Ridge point: {short_count(machine.peak)}FLOP/s / {short_count(machine.bandwidth)}B/s "
            f"= {float(self.ridge):.3g} FLOP/byte; below it memory is the limit.",
            "Each layer runs on its own, nothing is fused, each pass moves each of its tensors "
            f"once, {machine.size} bytes an element.",
            "2 FLOPs a MAC in convolutions and dense layers; the other layers' own FLOPs; their "
            "backward passes by their bytes alone.",
            f"Update: {_update(self.optimizer)}.",
            "Left out: loss, launches, workspaces, caches, the images' way to the device.",
            f"Figures: {figures}",
        )

    def _room(self) -> tuple[str, ...]:
        """Whether a training step fits into the device's memory, where that is known."""
        if self.training_peak is None or self.device.memory is None:
            return ()
        room, held = short_bytes(self.device.memory), short_bytes(self.training_peak)
        if self.training_peak > self.device.memory:
            return (f"A training step does not fit: it holds about {held}, the device has {room}.",)
        return (f"A training step holds about {held} of the device's {room}.",)


def roofline(
    analysis: Analysis,
    device: Device,
    dtype: DType = "float32",
    optimizer: Optimizer | None = None,
) -> Roofline:
    """Lower bounds of time of every layer on `device`, for the batch of the analysis.

    The optimiser is the recipe's where it is left out, and SGD with momentum where there is no
    recipe. Layers without a shape are left out. Raises ArchspecError where the device has no
    figure for `dtype`.
    """
    machine = Machine(device.peak_of(dtype), device.bandwidth, BYTES_PER_ELEMENT[dtype])
    optimizer = optimizer or optimizer_of(analysis.graph)
    layers = tuple(_layers(analysis, machine, optimizer))
    forward = machine.total(layer.training_forward for layer in layers)
    backward = machine.total(each for layer in layers for each in layer.backward)
    update = machine.total(layer.update for layer in layers)
    return Roofline(
        device,
        dtype,
        analysis.batch,
        machine,
        optimizer,
        layers,
        machine.total(layer.forward for layer in layers),
        forward,
        backward,
        update,
        machine.total(each for layer in layers for each in layer.step),
        analysis.memory_with(optimizer).training_peak if machine.size == 4 else None,
    )


@dataclass(frozen=True, slots=True)
class Place:
    """What a layer's passes depend on besides the layer: where it stands.

    `trained` says for each input whether something before it is trained, so that its gradient is
    needed; `gradients` counts those that are summed to the gradient of the output.
    """

    inputs: tuple[Shape, ...]
    output: Shape
    trained: tuple[bool, ...]
    gradients: int = 1
    training_only: bool = False


def places(analysis: Analysis) -> dict[str, Place]:
    """Where the layers that have a shape stand."""
    graph, shapes = analysis.graph, analysis.shapes
    trained = {INPUT: False}
    gradients: dict[str, int] = {}
    for layer in analysis.layers:
        before = [trained[name] for name in layer.node.inputs]
        trained[layer.name] = any(before) or layer.costs.trainable_params > 0
        for name in layer.node.inputs:
            # The gradient of a part of an output is put in its place and not added.
            part = isinstance(layer.node.layer, Split)
            gradients[name] = gradients.get(name, 0) + (not part)
    return {
        layer.name: Place(
            shapes.inputs(layer.node),
            layer.output_shape,
            tuple([trained[name] for name in layer.node.inputs]),
            gradients.get(layer.name, 0) + (layer.name in graph.outputs),
            layer.training_only,
        )
        for layer in analysis.layers
    }


def _layers(analysis: Analysis, machine: Machine, optimizer: Optimizer) -> Iterable[LayerTime]:
    known: dict[tuple[int, Place], LayerTime] = {}
    standing = places(analysis)
    for layer in analysis.layers:
        node, place = layer.node, standing[layer.name]
        # Layers that differ in nothing but their name take the same time.
        key = (id(node.pattern), place)
        found = known.get(key) if node.pattern is not None else None
        if found is None:
            found = known[key] = layer_time(node.layer, place, analysis.batch, machine, optimizer)
        yield replace(found, name=node.name)


def layer_time(
    layer: Layer, place: Place, batch: int, machine: Machine, optimizer: Optimizer
) -> LayerTime:
    """The passes of a layer for `batch` images. The module's docstring has the model."""
    cost = layer.cost(place.inputs, place.output)
    weights = layer.weights(place.inputs)
    stored = sum(weight.size for weight in weights)
    params = sum(weight.size for weight in weights if not weight.buffer)
    trainable = sum(weight.size for weight in weights if weight.trainable)
    sizes = [batch * math.prod(shape) for shape in place.inputs]
    read, written = sum(sizes), batch * math.prod(place.output)
    matmul, flops = 2 * cost.macs * batch, 2 * cost.macs * batch or cost.other_flops * batch
    wanted = sum(size for size, trained in zip(sizes, place.trained, strict=True) if trained)
    moving = machine.run(flops, read + stored + written)
    forward = training = moving
    if place.training_only or layer.shares(place.inputs, False) != "no":
        forward = NOTHING
    if layer.shares(place.inputs, True) != "no":
        training = NOTHING
    weight_gradient = input_gradient = gradient_sum = NOTHING
    if matmul:
        if trainable:
            weight_gradient = machine.run(matmul, read + written + trainable)
        if wanted:
            input_gradient = machine.run(matmul, written + params + wanted)
    elif (wanted or trainable) and training is not NOTHING and not isinstance(layer, _PASSING):
        saved = layer.saved(place.inputs, layer.infer(place.inputs), place.trained)
        again = sum(sizes[number] for number in saved.inputs) + (written if saved.output else 0)
        input_gradient = machine.run(0, written + again + params + wanted + trainable)
    if place.gradients > 1 and (trainable or any(place.trained)):
        gradient_sum = machine.run(0, (place.gradients + 1) * written)
    update = machine.run(0, moved(optimizer) * trainable)
    return LayerTime(
        layer.name,
        layer.type,
        forward,
        training,
        weight_gradient,
        input_gradient,
        gradient_sum,
        update,
    )


def _row(layer: LayerTime) -> tuple[str, ...]:
    work, step = layer.forward, layer.step_seconds
    return (
        layer.name,
        short_count(work.flops) if work.flops else "",
        short_bytes(work.bytes) if work.bytes else "",
        intensity_text(work),
        short_seconds(work.seconds) if work.limit else "",
        work.limit or "",
        short_seconds(step) if step else "",
    )


def intensity_text(work: Pass) -> str:
    """An arithmetic intensity as people read it: 0.25, 12.3, 1,310; empty where nothing moves."""
    if not work.bytes:
        return ""
    value = work.flops / work.bytes
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:,.{digits}f}"
