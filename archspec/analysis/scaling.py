"""Training on several devices: what they send one another, and what that costs.

Data parallelism: every device has all weights and a batch of its own. The gradients are added up
over the devices by a ring all-reduce: with n devices each sends 2 (n - 1)/n times the gradients'
bytes (Patarasuk and Yuan, 2009).

Splitting the dense layers (Krizhevsky, "One weird trick for parallelizing convolutional neural
networks", 2014): convolutions stay data parallel, and each dense layer's units are divided among
the devices, each of which sees the images of all. Their gradients need not be sent. Instead a
device sends the rows of a dense layer's input that it has to the n - 1 others, and of the input's
gradient their parts back; where something else than a dense layer reads the output, each device
sends (n - 1)/n of the outputs it has for its batch's worth of images, and the gradients return.

The time of a step is that of the roofline model and of the link, in two bounds:

- nothing overlapped: passes and messages one after the other;
- overlapped: a layer's gradients are sent as soon as they are known, in the order of the backward
  pass (the weights' gradient of a layer before its input's), while the layers before it compute.
  Messages wait for the link. What a split layer reads arrives while the layer computes, piece by
  piece, so the longer of the two counts.

The link carries its bandwidth in both directions at once; latency, switches and stragglers are
left out, so both are lower bounds of what a real machine takes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from archspec.analysis import Analysis
from archspec.analysis.numbers import short_bytes, short_count, short_seconds
from archspec.analysis.roofline import LayerTime, Place, Roofline, layer_time, places
from archspec.analysis.section import Column, Section
from archspec.graph import Graph
from archspec.layers.dense import Dense


@dataclass(frozen=True, slots=True)
class Exchange:
    """What one device sends for one layer in a step, in bytes.

    `gradients` for the all-reduce of its weights; `forward` and `backward` for the inputs and
    outputs of a split layer and their gradients.
    """

    gradients: int = 0
    forward: int = 0
    backward: int = 0

    @property
    def bytes(self) -> int:
        """All of it."""
        return self.gradients + self.forward + self.backward


@dataclass(frozen=True, slots=True)
class Plan:
    """A way to divide the work, and the time of a step with it.

    `sent` is in bytes a device and step. `computing` is the time of the passes, `sending` that of
    the link, `serial` their sum, `overlapped` the step's time when they overlap as well as the
    order of the layers allows; seconds.
    """

    sent: int
    computing: float
    sending: float
    overlapped: float

    @property
    def serial(self) -> float:
        """The step's time when nothing overlaps."""
        return self.computing + self.sending


@dataclass(frozen=True, slots=True)
class DenseLayer:
    """A dense layer's messages: gradients when it is copied, activations when it is split.

    Bytes that a device sends in a step.
    """

    name: str
    copied: int
    split: int


@dataclass(frozen=True, slots=True)
class Scaling:
    """Data-parallel training on `devices` devices, each with the batch of the roofline."""

    key: ClassVar[str] = "scaling"

    roofline: Roofline
    devices: int
    bandwidth: int
    gradient_bytes: int
    copied: Plan
    split: Plan | None
    dense: tuple[DenseLayer, ...]

    def efficiency(self, seconds: float) -> float:
        """Images a second over those of as many devices that need no messages: 1 is perfect."""
        return self.roofline.step.seconds / seconds if seconds else 1.0

    def images_per_second(self, seconds: float) -> float | None:
        """Of all devices together, None where there is nothing to compute."""
        return self.devices * self.roofline.batch / seconds if seconds else None

    def to_json(self) -> dict[str, Any]:
        """The report as in ``analyze --format json``."""
        roofline = self.roofline
        return {
            "devices": self.devices,
            "device": roofline.device.name,
            "dtype": roofline.dtype,
            "batch_per_device": roofline.batch,
            "link_bytes_per_second": self.bandwidth,
            "gradient_bytes": self.gradient_bytes,
            "one_device": {
                "step_seconds": roofline.step.seconds,
                "images_per_second": roofline.images_per_second(roofline.step),
            },
            "data_parallel": self._plan_json(self.copied),
            "dense_layers_split": self._plan_json(self.split) if self.split else None,
            "dense_layers": [
                {
                    "name": layer.name,
                    "gradient_bytes_sent": layer.copied,
                    "activation_bytes_sent": layer.split,
                }
                for layer in self.dense
            ],
        }

    def _plan_json(self, plan: Plan) -> dict[str, Any]:
        return {
            "bytes_sent": plan.sent,
            "compute_seconds": plan.computing,
            "communication_seconds": plan.sending,
            **{
                name: {
                    "step_seconds": seconds,
                    "images_per_second": self.images_per_second(seconds),
                    "efficiency": self.efficiency(seconds),
                }
                for name, seconds in (("serial", plan.serial), ("overlapped", plan.overlapped))
            },
        }

    def sections(self) -> tuple[Section, ...]:
        """The plans side by side, the dense layers, and what the figures rest on."""
        device = self.roofline.device.title
        link = f"{short_count(self.bandwidth)}B/s"
        title = f"scaling: {self.devices} x {device}, {self.roofline.dtype}, {link} each"
        columns = (
            Column("a step", folds=True),
            Column("sent", "right"),
            Column("link", "right"),
            Column("serial", "right"),
            Column("efficiency", "right"),
            Column("overlapped", "right"),
            Column("efficiency", "right"),
        )
        alone = short_seconds(self.roofline.step.seconds)
        rows: list[tuple[str, ...]] = [("one device", "", "", alone, "", alone, "")]
        rows.append(self._row("data parallel", self.copied))
        if self.split:
            rows.append(self._row("dense layers split", self.split))
            rows.append(self._saved(self.split))
        whole = Section(title, columns, tuple(rows), self._notes())
        return (whole, self._dense()) if self.split else (whole,)

    def _row(self, what: str, plan: Plan) -> tuple[str, ...]:
        return (
            what,
            short_bytes(plan.sent),
            short_seconds(plan.sending),
            short_seconds(plan.serial),
            f"{self.efficiency(plan.serial):.1%}",
            short_seconds(plan.overlapped),
            f"{self.efficiency(plan.overlapped):.1%}",
        )

    def _saved(self, split: Plan) -> tuple[str, ...]:
        copied = self.copied
        return (
            "saved by splitting",
            _signed(copied.sent - split.sent, short_bytes),
            _signed(copied.sending - split.sending, short_seconds),
            _signed(copied.serial - split.serial, short_seconds),
            "",
            _signed(copied.overlapped - split.overlapped, short_seconds),
            "",
        )

    def _dense(self) -> Section:
        columns = (
            Column("dense layer", folds=True),
            Column("copied: gradients", "right"),
            Column("split: activations", "right"),
            Column("sends less"),
        )
        rows = tuple(
            (
                layer.name,
                short_bytes(layer.copied),
                short_bytes(layer.split),
                "split" if layer.split < layer.copied else "copied",
            )
            for layer in self.dense
        )
        note = "Bytes that each device sends in a step, forward and backward."
        return Section("dense layers, copied or split", columns, rows, (note,))

    def _notes(self) -> tuple[str, ...]:
        roofline = self.roofline
        whole = self.devices * roofline.batch
        notes = [
            f"A batch of {roofline.batch:,} on each device, {whole:,} together; the link "
            f"carries {short_count(self.bandwidth)}B/s each way, without latency.",
            f"Gradients: {short_bytes(self.gradient_bytes)}. A ring all-reduce sends "
            f"2 x {self.devices - 1}/{self.devices} of them from each device.",
            f"Passes: lower bounds of the roofline of {roofline.device.title}, "
            f"{roofline.dtype}, the update included.",
            "Serial: nothing overlaps. Overlapped: gradients leave in the order of the backward "
            "pass while the layers before compute.",
            "Efficiency: images/s over those of as many devices that send nothing.",
        ]
        if self.split:
            notes.append(
                "Split (Krizhevsky, 2014): a device has a part of each dense layer's units and "
                "sends its inputs to the others instead of gradients. It updates its part alone, "
                "where copies are all updated: that can be faster than no messages at all."
            )
        return tuple(notes)


def _signed(value: float, show: Any) -> str:
    return f"-{show(-value)}" if value < 0 else str(show(value))


def scaling(analysis: Analysis, roofline: Roofline, devices: int, bandwidth: int) -> Scaling:
    """A step on `devices` devices with links of `bandwidth` bytes a second in each direction.

    `roofline` is that of the analysis: its device, precision and batch are those of every device.
    """
    ring = _Ring(devices, roofline)
    copied: dict[str, Exchange] = {}
    for layer in analysis.layers:
        params = layer.costs.trainable_params
        copied[layer.name] = Exchange(gradients=ring.all_reduce(params))
    dense = [layer.name for layer in analysis.layers if isinstance(layer.node.layer, Dense)]
    split_exchange, split_times = _split(analysis, roofline, ring, dense)
    times = {layer.name: layer for layer in roofline.layers}
    return Scaling(
        roofline,
        devices,
        bandwidth,
        analysis.totals.trainable_params * roofline.machine.size,
        _plan(times, copied, bandwidth),
        _plan({**times, **split_times}, {**copied, **split_exchange}, bandwidth) if dense else None,
        tuple(DenseLayer(name, copied[name].bytes, split_exchange[name].bytes) for name in dense),
    )


@dataclass(frozen=True, slots=True)
class _Ring:
    """How many bytes each of the devices sends; a part of a byte counts as one."""

    devices: int
    roofline: Roofline

    def all_reduce(self, elements: int) -> int:
        """Sums of so many elements, known to every device afterwards."""
        return self._share(2 * elements)

    def all_gather(self, elements: int) -> int:
        """What each device has of them (its images' rows, its units' columns) goes to all others.

        So many elements belong to one device's batch; as many bytes are sent where the parts of a
        sum are added up and each device keeps its own.
        """
        return (self.devices - 1) * elements * self.roofline.machine.size

    def all_to_all(self, elements: int) -> int:
        """Columns of all images become all columns of a device's own images."""
        return self._share(elements)

    def _share(self, elements: int) -> int:
        sent = elements * self.roofline.machine.size * (self.devices - 1)
        return -(-sent // self.devices)


def _split(
    analysis: Analysis, roofline: Roofline, ring: _Ring, dense: Sequence[str]
) -> tuple[dict[str, Exchange], dict[str, LayerTime]]:
    """Messages and passes of the dense layers when their units are divided among the devices."""
    standing = places(analysis)
    inside = _stays_divided(analysis)
    exchanges, times = {}, {}
    for name in dense:
        place, layer = standing[name], analysis.graph.by_name[name].layer
        assert isinstance(layer, Dense)
        read = ring.all_gather(roofline.batch * math.prod(place.inputs[0]))
        handed = 0 if inside[name] else ring.all_to_all(roofline.batch * layer.units)
        trained = any(place.trained) or analysis.by_name[name].costs.trainable_params > 0
        exchanges[name] = Exchange(
            forward=read + handed,
            backward=(read if any(place.trained) else 0) + (handed if trained else 0),
        )
        # The device with the most units is the one that the others wait for.
        units = -(-layer.units // ring.devices)
        part = layer.model_copy(update={"units": units})
        where: Place = replace(place, output=(units,))
        batch = ring.devices * roofline.batch
        times[name] = layer_time(part, where, batch, roofline.machine, roofline.optimizer)
    return exchanges, times


def _stays_divided(analysis: Analysis) -> Mapping[str, bool]:
    """For each layer, whether nothing but dense layers reads it, elementwise layers between."""
    graph: Graph = analysis.graph
    found: dict[str, bool] = {}
    for layer in reversed(analysis.layers):
        readers = [graph.by_name[name] for name in graph.consumers[layer.name]]
        found[layer.name] = bool(readers) and layer.name not in graph.outputs
        for node in readers:
            inferred = analysis.shapes.layers.get(node.name)
            elementwise = (
                inferred is not None
                and len(node.inputs) == 1
                and inferred.sees == "one"
                and inferred.shape == layer.output_shape
            )
            if not isinstance(node.layer, Dense) and not (elementwise and found[node.name]):
                found[layer.name] = False
    return found


def _plan(
    times: Mapping[str, LayerTime], exchanges: Mapping[str, Exchange], bandwidth: int
) -> Plan:
    """The time of a step in which the layers run and send in this order."""
    sent = sum(exchange.bytes for exchange in exchanges.values())
    computing = math.fsum(layer.step_seconds for layer in times.values())
    clock = link = 0.0

    def send(amount: int) -> float:
        """When a message that can leave now has arrived: the link is busy until then."""
        nonlocal link
        if amount:
            link = max(clock, link) + amount / bandwidth
            return link
        return clock

    for name, layer in times.items():
        arrived = send(exchanges[name].forward)
        clock = max(clock + layer.training_forward.seconds, arrived)
    for name, layer in reversed([*times.items()]):
        clock += layer.gradient_sum.seconds + layer.weight_gradient.seconds
        own = layer.input_gradient.seconds
        if exchanges[name].gradients and not layer.weight_gradient.limit:
            # One pass gives all gradients of the layer.
            clock, own = clock + own, 0.0
        send(exchanges[name].gradients)
        arrived = send(exchanges[name].backward)
        clock = max(clock + own, arrived)
    update = math.fsum(layer.update.seconds for layer in times.values())
    return Plan(sent, computing, sent / bandwidth, max(clock, link) + update)
