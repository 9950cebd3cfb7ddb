"""Parameters, operations and bytes, layer by layer. All are exact integers for one image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from archspec.analysis.shapes import Shapes
from archspec.graph import Graph
from archspec.layers.base import Layer, Shape
from archspec.spec.fields import INPUT

BYTES_PER_ELEMENT = 4  # float32


@dataclass(frozen=True, slots=True)
class LayerCosts:
    """What one layer holds and does.

    `params` counts tensors that an optimiser could update, frozen ones included;
    `non_trainable_params` counts frozen ones and buffers (running statistics).
    `backward_flops` is 2 x macs for the weight gradient (none when frozen) and 2 x macs for the
    input gradient (none where nothing before the layer is trained).
    """

    params: int
    trainable_params: int
    non_trainable_params: int
    params_formula: str
    macs: int
    macs_formula: str
    flops: int
    backward_flops: int
    neurons: int
    connections: int
    activation_bytes: int
    weight_bytes: int


def layer_costs(graph: Graph, shapes: Shapes, batch: int) -> Mapping[str, LayerCosts]:
    """The costs of every layer that has a shape; `batch` multiplies activation bytes alone."""
    costs: dict[str, LayerCosts] = {}
    known: dict[tuple[int, tuple[Shape, ...], bool], LayerCosts] = {}
    trained_before: dict[str, bool] = {INPUT: False}
    for node in graph.nodes:
        if node.name not in shapes.layers:
            continue
        inputs = shapes.inputs(node)
        before = any(trained_before[name] for name in node.inputs)
        # Layers that differ in nothing but their name cost the same.
        key = (id(node.pattern), inputs, before)
        found = known.get(key) if node.pattern is not None else None
        if found is None:
            found = known[key] = _costs(node.layer, inputs, shapes.of(node.name), before, batch)
        costs[node.name] = found
        trained_before[node.name] = before or found.trainable_params > 0
    return costs


def _costs(
    layer: Layer, inputs: tuple[Shape, ...], output: Shape, trained_before: bool, batch: int
) -> LayerCosts:
    """The costs of a layer; `trained_before` where the gradient of its input is needed."""
    weights = layer.weights(inputs)
    cost = layer.cost(inputs, output)
    params = trainable = stored = 0
    for weight in weights:
        size = weight.size
        stored += size
        params += 0 if weight.buffer else size
        trainable += size if weight.trainable else 0
    params_formula = layer.params_formula(inputs) if weights else ""
    neurons = math.prod(output)
    return LayerCosts(
        params=params,
        trainable_params=trainable,
        non_trainable_params=stored - trainable,
        params_formula=f"{params_formula} = {params}" if params_formula else "",
        macs=cost.macs,
        macs_formula=f"{cost.macs_formula} = {cost.macs}" if cost.macs_formula else "",
        flops=2 * cost.macs + cost.other_flops,
        backward_flops=2 * cost.macs * ((trainable > 0) + trained_before),
        neurons=neurons,
        connections=cost.connections,
        activation_bytes=neurons * BYTES_PER_ELEMENT * batch,
        weight_bytes=stored * BYTES_PER_ELEMENT,
    )


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the layers that have a shape. `neurons` counts layers of neurons alone.

    Parameters and bytes of weights are those of every layer. Of what one image costs at
    inference (`macs`, `flops`, `neurons`, `connections`, `activation_bytes`), layers that are
    used in training alone have no part; `backward_flops` and `training_step_matmul_flops`
    (forward and backward, 2 FLOPs a MAC and nothing else) are those of training, with them.
    """

    params: int
    trainable_params: int
    non_trainable_params: int
    macs: int
    flops: int
    backward_flops: int
    training_step_matmul_flops: int
    neurons: int
    connections: int
    weight_bytes: int
    activation_bytes: int


def totals(graph: Graph, costs: Mapping[str, LayerCosts]) -> Totals:
    """The sums of the layers' costs."""
    every = costs.values()
    apart = graph.training_only
    used = [cost for name, cost in costs.items() if name not in apart] if apart else every
    backward = sum([c.backward_flops for c in every])
    return Totals(
        params=sum([c.params for c in every]),
        trainable_params=sum([c.trainable_params for c in every]),
        non_trainable_params=sum([c.non_trainable_params for c in every]),
        macs=sum([c.macs for c in used]),
        flops=sum([c.flops for c in used]),
        backward_flops=backward,
        training_step_matmul_flops=2 * sum([c.macs for c in every]) + backward,
        neurons=sum(
            [
                costs[node.name].neurons
                for node in graph.nodes
                if node.name in costs and node.layer.is_neurons and node.name not in apart
            ]
        ),
        connections=sum([c.connections for c in used]),
        weight_bytes=sum([c.weight_bytes for c in every]),
        activation_bytes=sum([c.activation_bytes for c in used]),
    )
