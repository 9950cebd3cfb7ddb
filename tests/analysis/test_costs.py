"""Costs that only a whole network has: gradients, frozen layers, buffers, what is left out."""

from __future__ import annotations

import time
from collections.abc import Callable

from networks import SOON

import archspec
from archspec.graph import Graph

Network = Callable[..., Graph]


def _backward(network: Network, *frozen: str) -> dict[str, int]:
    layers = [
        "name: a, type: conv2d, filters: 2, kernel_size: 1",
        "name: b, type: conv2d, filters: 2, kernel_size: 1",
        "name: c, type: conv2d, filters: 2, kernel_size: 1",
    ]
    layers = [x + ", trainable: false" if x[6] in frozen else x for x in layers]
    found = archspec.analyze(network(layers, (2, 1, 1)))
    assert all(layer.costs.macs == 4 for layer in found.layers)
    return {layer.name: layer.costs.backward_flops for layer in found.layers}


def test_the_first_layer_has_no_input_gradient(network: Network) -> None:
    assert _backward(network) == {"a": 8, "b": 16, "c": 16}


def test_frozen_layers_have_no_weight_gradient(network: Network) -> None:
    assert _backward(network, "a") == {"a": 0, "b": 8, "c": 16}
    assert _backward(network, "b") == {"a": 8, "b": 8, "c": 16}
    assert _backward(network, "a", "b", "c") == {"a": 0, "b": 0, "c": 0}


def test_frozen_weights_and_buffers_are_not_trainable(network: Network) -> None:
    layers = [
        "name: conv, type: conv2d, filters: 4, kernel_size: 1, trainable: false",
        "name: norm, type: batch_norm, eps: 1.0e-3, decay: 0.9",
        "name: last, type: conv2d, filters: 1, kernel_size: 1, bias: false",
    ]
    found = archspec.analyze(network(layers, (2, 3, 3)))
    assert (found.totals.params, found.totals.trainable_params) == (12 + 8 + 4, 8 + 4)
    assert found.totals.non_trainable_params == 12 + 8
    assert found.totals.weight_bytes == 4 * (12 + 8 + 8 + 4)
    norm = found.by_name["norm"].costs
    assert (norm.params, norm.trainable_params, norm.non_trainable_params) == (8, 8, 8)
    assert norm.params_formula == "2*4 = 8"


def test_the_batch_scales_activations_alone() -> None:
    one, many = archspec.analyze("alexnet"), archspec.analyze("alexnet", batch=32)
    assert many.totals.activation_bytes == 32 * one.totals.activation_bytes
    assert many.totals.macs == one.totals.macs
    assert many.totals.weight_bytes == one.totals.weight_bytes


HEAD = [
    "name: conv, type: conv2d, filters: 2, kernel_size: 1",
    "name: aux.pool, type: global_avg_pool2d",
    "name: aux.fc, type: dense, units: 3",
    "name: pool, type: global_avg_pool2d, inputs: [conv]",
    "name: fc, type: dense, units: 3",
]
AUXILIARY = "auxiliary: [{layer: aux.fc, loss_weight: 0.3}]"


def test_layers_that_are_used_in_training_alone(network: Network) -> None:
    """Counted by hand: 3 -> 2 channels on 4 x 4 pixels, then 2 -> 3 features twice."""
    found = archspec.analyze(network(HEAD, (3, 4, 4), AUXILIARY))
    apart = {layer.name for layer in found.layers if layer.training_only}
    assert apart == {"aux.pool", "aux.fc"}
    totals = found.totals
    assert (totals.params, totals.weight_bytes) == (8 + 9 + 9, 4 * 26)
    assert totals.macs == 96 + 6
    assert totals.flops == sum(found.by_name[x].costs.flops for x in ("conv", "pool", "fc"))
    assert totals.backward_flops == 2 * 96 + 2 * (6 + 6) + 2 * (6 + 6)
    assert totals.training_step_matmul_flops == 2 * (96 + 6 + 6) + totals.backward_flops
    assert totals.neurons == 32 + 3
    assert totals.connections == 32 * 4 + 9
    assert totals.activation_bytes == 4 * (32 + 2 + 3)


def test_an_auxiliary_output_that_the_output_needs_costs_nothing_more(network: Network) -> None:
    layers = [*HEAD[:1], *HEAD[3:]]
    plain = archspec.analyze(network(layers, (3, 4, 4)))
    found = archspec.analyze(network(layers, (3, 4, 4), "auxiliary: [{layer: pool}]"))
    assert found.totals == plain.totals
    assert found.graph.hash != plain.graph.hash
    assert not any(layer.training_only for layer in found.layers)


def test_claims_are_about_inference(network: Network) -> None:
    claims = [
        "{about: network, params: 26}",
        "{about: network, macs: 102}",
        "{about: network, params: 17}",
        "{about: network, macs: 108}",
    ]
    more = f"{AUXILIARY}\nclaims: [{', '.join(claims)}]"
    found = archspec.analyze(network(HEAD, (3, 4, 4), more)).claims
    assert [claim.verdict for claim in found] == ["holds", "holds", "contradicted", "contradicted"]
    assert found[2].explanation == "the 9 of the layers used in training alone are left out"
    assert found[3].explanation == "that counts the 6 of the layers used in training alone too"


def test_layers_behind_an_impossible_one_are_left_out(network: Network) -> None:
    layers = [
        "name: a, type: conv2d, filters: 2, kernel_size: 3",
        "name: b, type: conv2d, filters: 2, kernel_size: 9",
        "name: c, type: relu",
        "name: d, type: relu, inputs: [a]",
        "name: e, type: concat, inputs: [c, d]",
    ]
    found = archspec.analyze(network(layers, (3, 8, 8)))
    assert [layer.name for layer in found.layers] == ["a", "d"]
    assert found.shapes.missing == ("b", "c", "e")
    assert [d.layer for d in found.diagnostics] == ["b"]
    assert found.totals.params == 56


def _seconds(graph: Graph) -> float:
    begin = time.perf_counter()
    archspec.analyze(graph)
    return time.perf_counter() - begin


def test_ten_thousand_layers_are_ordinary(network: Network) -> None:
    def chain(count: int, last: str) -> Graph:
        conv = "type: conv2d, filters: 4, kernel_size: 3, padding: 1"
        return network([*(f"name: c{i}, {conv}" for i in range(count - 1)), last], (4, 32, 32))

    whole, broken = "name: z, type: relu", "name: z, type: max_pool2d, kernel_size: 3, stride: 2"
    assert _seconds(chain(10_000, whole)) < SOON
    # A problem at the very end, where looking for repairs runs the longest.
    assert _seconds(chain(10_000, broken)) < SOON
