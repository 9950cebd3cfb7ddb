"""Parameters, operations and bytes, layer by layer. All are exact integers for one image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from archspec.analysis.shapes import Shapes
from archspec.graph import Graph
from archspec.spec.fields import INPUT

BYTES_PER_ELEMENT = 4  # float32

# Layers whose outputs are neurons of their own; other layers only reshape or rescale those.
NEURON_LAYERS = ("conv2d", "dense")


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
    trained_before: dict[str, bool] = {INPUT: False}
    for node in graph.nodes:
        if node.name not in shapes.layers:
            continue
        inputs, output = shapes.inputs(node), shapes.of(node.name)
        weights = node.layer.weights(inputs)
        cost = node.layer.cost(inputs, output)
        trainable = sum(weight.size for weight in weights if weight.trainable)
        total = sum(weight.size for weight in weights)
        params = sum(w.size for w in weights if not w.name.startswith("running_"))
        needs_input_gradient = any(trained_before[name] for name in node.inputs)
        trained_before[node.name] = needs_input_gradient or trainable > 0
        params_formula = node.layer.params_formula(inputs)
        costs[node.name] = LayerCosts(
            params=params,
            trainable_params=trainable,
            non_trainable_params=total - trainable,
            params_formula=f"{params_formula} = {params}" if params_formula else "",
            macs=cost.macs,
            macs_formula=f"{cost.macs_formula} = {cost.macs}" if cost.macs_formula else "",
            flops=2 * cost.macs + cost.other_flops,
            backward_flops=2 * cost.macs * ((trainable > 0) + needs_input_gradient),
            neurons=math.prod(output),
            connections=cost.connections,
            activation_bytes=math.prod(output) * BYTES_PER_ELEMENT * batch,
            weight_bytes=total * BYTES_PER_ELEMENT,
        )
    return costs


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the network. `neurons` counts convolution and dense layers only."""

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
    """The sums. `training_step_matmul_flops` is forward and backward, 2 FLOPs a MAC."""

    def total(values: Iterable[int]) -> int:
        return sum(values)

    every = costs.values()
    macs = total(c.macs for c in every)
    backward = total(c.backward_flops for c in every)
    return Totals(
        params=total(c.params for c in every),
        trainable_params=total(c.trainable_params for c in every),
        non_trainable_params=total(c.non_trainable_params for c in every),
        macs=macs,
        flops=total(c.flops for c in every),
        backward_flops=backward,
        training_step_matmul_flops=2 * macs + backward,
        neurons=total(
            costs[node.name].neurons
            for node in graph.nodes
            if node.name in costs and node.layer.type in NEURON_LAYERS
        ),
        connections=total(c.connections for c in every),
        weight_bytes=total(c.weight_bytes for c in every),
        activation_bytes=total(c.activation_bytes for c in every),
    )
