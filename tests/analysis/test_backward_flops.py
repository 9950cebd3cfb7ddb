"""Forward and backward FLOPs against PyTorch's own counter, on the models that archspec builds.

The counter knows one thing wrong: in the gradient of a weight it takes every convolution, and
every transposed one, for one without groups. What that adds follows from the spec, so its numbers
are still met to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from networks import (
    EXAMPLES,
    branching,
    example_network,
    family_heads,
    heads,
    layer,
    network,
    sgd_network,
)
from torch.utils.flop_counter import FlopCounterMode

import archspec
from archspec.analysis import Analysis
from archspec.graph import Graph
from archspec.layers.base import Example

BATCH = 2
HEADS = [name for name in family_heads() if not archspec.analyze(name).has_errors]


def counted(graph: Graph, batch: int = BATCH) -> tuple[int, int]:
    """What the counter says of a forward pass at inference, and of a step of training."""
    # PyTorch's meta device has shapes alone: full-size networks cost nothing.
    with torch.device("meta"):
        model = archspec.build(graph, backend="torch")
        images = torch.rand(batch, *graph.input_shape)
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        model.eval()(images)
    with FlopCounterMode(display=False) as step:
        found = model.train()(images)
        outputs = found if isinstance(found, tuple) else (found,)
        total = sum(output.sum() for output in outputs)
        if total.requires_grad:
            total.backward()
    return forward.get_total_flops(), step.get_total_flops()


def groups_ignored(analysis: Analysis) -> int:
    """What the counter adds for one image: a weight gradient with groups, as if it had none.

    That is `groups` times 2 x MACs instead of once.
    """
    return sum(
        2 * x.costs.macs * (x.node.layer.groups - 1)  # type: ignore[attr-defined]
        for x in analysis.layers
        if x.node.layer.type in ("conv2d", "conv2d_transpose") and x.costs.trainable_params
    )


def _agrees(graph: Graph) -> int:
    found = archspec.analyze(graph)
    forward, step = counted(graph)
    fault = groups_ignored(found)
    assert forward == BATCH * 2 * found.totals.macs
    assert step == BATCH * (found.totals.training_step_matmul_flops + fault)
    return fault


def test_alexnet_and_the_counter_s_fault(known: Callable[[str], Any]) -> None:
    row = known("alexnet")
    right = row["training_step_matmul_flops"]["value"]
    assert right == 4135610496
    assert (
        "reads 4957309056 instead of 4135610496"
        in row["conventions_for_one_network"]["known_wrong"]
    )
    graph = archspec.load("alexnet")
    found = archspec.analyze(graph)
    assert found.totals.training_step_matmul_flops == right
    assert counted(graph, 1)[1] == 4957309056
    # conv2, conv4 and conv5 have two groups.
    twice = sum(found.by_name[name].costs.macs for name in ("conv2", "conv4", "conv5"))
    assert groups_ignored(found) == 2 * twice == 4957309056 - right


def test_one_tower_has_no_groups_and_no_fault() -> None:
    assert _agrees(archspec.load("alexnet-one-tower")) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS)
def test_one_of_each_family(name: str) -> None:
    _agrees(archspec.load(name))


@pytest.mark.parametrize("make", [branching, heads, sgd_network])
def test_branches_auxiliary_outputs_and_frozen_layers(make: Callable[[], Graph]) -> None:
    _agrees(make())


WITH_WEIGHTS = [x for x in EXAMPLES if x[1] in ("conv2d", "conv2d_transpose", "dense")]


@pytest.mark.parametrize(
    ("kind", "example"), [x[1:] for x in WITH_WEIGHTS], ids=[x[0] for x in WITH_WEIGHTS]
)
@pytest.mark.parametrize("trainable", [True, False])
def test_every_example_with_macs(kind: str, example: Example, trainable: bool) -> None:
    """Grouped, depthwise, dilated, padded, strided, transposed, with all of it frozen or not."""
    fields = {**example.fields, "trainable": trainable}
    _agrees(example_network(kind, Example(fields, example.inputs)))


CONV = {"filters": 6, "kernel_size": 3, "padding": 1}


@pytest.mark.parametrize("kind", ["conv2d", "conv2d_transpose"])
@pytest.mark.parametrize("groups", [1, 2, 3, 6])
@pytest.mark.parametrize("frozen", [(), ("a",), ("b",), ("a", "b"), ("a", "b", "c")])
def test_the_fault_is_that_of_trained_weights_with_groups(
    kind: str, groups: int, frozen: tuple[str, ...]
) -> None:
    """Three in a row: the counter multiplies each weight gradient by the groups, and no other."""
    layers = [
        layer(name, kind, groups=groups, trainable=name not in frozen, **CONV) for name in "abc"
    ]
    graph = network(layers, (6, 5, 7))
    fault = _agrees(graph)
    macs = 5 * 7 * 6 * 9 * 6 // groups
    assert fault == (3 - len(frozen)) * (groups - 1) * 2 * macs
    costs = {x.name: x.costs.backward_flops // (2 * macs) for x in archspec.analyze(graph).layers}
    before = {"a": False, "b": "a" not in frozen, "c": not {"a", "b"} <= set(frozen)}
    assert costs == {name: (name not in frozen) + before[name] for name in "abc"}
