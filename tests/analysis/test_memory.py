"""What training holds: PyTorch's optimisers, the timeline by hand, the largest batch by trying."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Literal

import pytest
import torch
from networks import branching, heads, layer, network, parsed

import archspec
from archspec.analysis import Analysis
from archspec.analysis.memory import Optimizer
from archspec.graph import Graph
from archspec.layers import layer_types
from archspec.layers.base import Layer

OPTIMIZERS: dict[Optimizer, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1),
}


def _size(tensors: object) -> int:
    return sum(t.nbytes for t in tensors if isinstance(t, torch.Tensor))  # type: ignore[attr-defined]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("make", [branching, heads])
def test_what_pytorch_s_optimizers_remember(
    make: Callable[[], Graph], optimizer: Optimizer
) -> None:
    graph = make()
    model = archspec.build(graph, backend="torch").train()
    trained = [p for p in model.parameters() if p.requires_grad]
    assert len(trained) < len(list(model.parameters())) or make is heads
    outputs = model(torch.rand(3, *graph.input_shape))
    sum(out.sum() for out in (outputs if isinstance(outputs, tuple) else [outputs])).backward()
    chosen = OPTIMIZERS[optimizer](trained)
    chosen.step()
    found = archspec.analyze(graph).memory_with(optimizer)
    state = [t for values in chosen.state.values() for t in values.values()]
    assert found.optimizer_state == _size(state)
    assert found.gradients == _size(p.grad for p in model.parameters())
    assert found.parameters == _size(model.parameters())
    counters = 8 * sum("num_batches" in name for name, _ in model.named_buffers())
    assert found.buffers == _size(model.buffers()) - counters
    assert found.resident == found.parameters + found.buffers + found.gradients + _size(state)


CHAIN = [
    layer("conv", "conv2d", filters=2, kernel_size=1, bias=False),
    layer("relu", "relu"),
    layer("pool", "max_pool2d", kernel_size=2),
    layer("flat", "flatten"),
    layer("drop", "dropout", rate=0.5),
    layer("fc", "dense", units=5),
]


def test_the_timeline_of_a_chain_by_hand() -> None:
    """3 images of 3 x 4 x 4: bytes are 4 a number and 8 an index."""
    found = archspec.analyze(network(CHAIN, (3, 4, 4)), batch=3).memory
    image, big, small, places, mask, logits = (
        3 * n for n in (4 * 48, 4 * 32, 4 * 8, 8 * 8, 4 * 8, 4 * 5)
    )
    labels = 3 * 8
    kept = image + big + places  # up to the pool: what the ReLU wrote over its input
    assert [(m.name, m.phase, m.bytes) for m in found.timeline] == [
        ("conv", "forward", image + big),
        ("relu", "forward", image + big),
        ("pool", "forward", kept + small),
        ("flat", "forward", kept + small),
        ("drop", "forward", kept + small + mask + small),
        ("fc", "forward", kept + mask + small + logits),
        ("loss", "forward", kept + mask + small + logits + logits + labels),
        # Each has the gradient of its output and makes that of its input; flat passes it on.
        ("fc", "backward", kept + mask + small + logits + small),
        ("drop", "backward", kept + mask + small + small),
        ("flat", "backward", kept + small),
        ("pool", "backward", kept + small + big),
        ("relu", "backward", image + big + big + big),
        ("conv", "backward", image + big),
    ]
    assert found.saved == kept + mask + small
    assert found.peak_at.name == "relu"
    assert found.training_peak == found.resident + image + 3 * big
    # Dropout is nothing at inference; the pool reads the map that it makes a small one of.
    alive = [(m.name, m.bytes - image) for m in found.inference_timeline]
    assert alive == [
        ("conv", big),
        ("relu", big),
        ("pool", big + small),
        ("flat", small),
        ("drop", small),
        ("fc", small + logits),
        ("output", logits),
    ]
    assert found.inference_peak == found.parameters + image + big + small


def test_branches_are_alive_until_the_last_reader() -> None:
    """A residual block: the gradient of the sum is that of both branches, without a copy."""
    one = 4 * 2 * 9
    layers = [
        layer("stem", "conv2d", filters=2, kernel_size=1, bias=False),
        layer("left", "sigmoid", "stem"),
        layer("right", "tanh", "stem"),
        layer("sum", "add", "left", "right"),
        layer("flat", "flatten"),
    ]
    graph = network(layers, (2, 3, 3))
    found = archspec.analyze(graph).memory
    alive = {(m.name, m.phase): m.bytes for m in found.timeline}
    image = one
    assert alive["stem", "forward"] == image + one
    assert alive["left", "forward"] == image + 2 * one
    assert alive["right", "forward"] == image + 3 * one  # stem is read for the last time
    assert alive["sum", "forward"] == image + 3 * one
    # What left and right kept, and one gradient for the sum and both of them.
    assert alive["flat", "backward"] == alive["sum", "backward"] == image + 3 * one
    assert alive["right", "backward"] == image + 3 * one + one  # with the gradient of the stem
    assert alive["left", "backward"] == image + 2 * one + one
    assert alive["stem", "backward"] == image + one


def test_nothing_is_kept_where_nothing_is_trained() -> None:
    layers = [
        layer("conv", "conv2d", filters=2, kernel_size=1, trainable=False),
        layer("sigmoid", "sigmoid"),
        layer("flat", "flatten"),
    ]
    found = archspec.analyze(network(layers, (2, 3, 3))).memory
    assert (found.saved, found.gradients, found.optimizer_state) == (0, 0, 0)
    assert all(moment.phase == "forward" for moment in found.timeline)
    assert len(found.sections()) == 1


def _peak(found: Analysis, batch: int) -> int:
    return archspec.analyze(found.graph, batch=batch).memory.training_peak


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "googlenet-aux", "convnext-tiny"])
def test_the_largest_batch_is_the_last_that_fits(name: str) -> None:
    found = archspec.analyze(name)
    for budget in (2 * 10**9, 16 * 2**30):
        largest = found.memory_with(budget=budget).largest_batch
        assert largest is not None
        assert _peak(found, largest) <= budget < _peak(found, largest + 1)


def test_a_budget_that_not_even_one_image_fits() -> None:
    found = archspec.analyze("alexnet")
    needs = found.memory.training_peak
    assert found.memory_with(budget=needs).largest_batch == 1
    assert found.memory_with(budget=needs - 1).largest_batch == 0
    assert found.memory_with(budget=1).largest_batch == 0


def test_the_optimizer_of_the_recipe() -> None:
    assert archspec.analyze("alexnet").memory.optimizer == "momentum"
    optimizer = {"type": "sgd", "learning_rate": 0.1}
    recipe = {"epochs": 1, "batch_size": 8, "optimizer": optimizer}
    graph = network(CHAIN, (3, 4, 4), training=recipe)
    assert archspec.analyze(graph).memory.optimizer == "sgd"
    assert archspec.analyze(network(CHAIN, (3, 4, 4))).memory.optimizer == "momentum"
    for rule, name in (
        ({"momentum": 0.9, "nesterov": True}, "momentum"),
        ({"type": "adam"}, "adam"),
        ({"type": "adamw", "weight_decay": 0.1}, "adamw"),
    ):
        other = network(CHAIN, (3, 4, 4), training={**recipe, "optimizer": optimizer | rule})
        found = archspec.analyze(other).memory
        assert found.optimizer == name
        assert found == archspec.analyze(graph).memory_with(name)


def test_the_report_replaces_what_the_document_has_anyway() -> None:
    found = archspec.analyze("alexnet", batch=2)
    plain = found.to_json()["memory"]
    assert (plain["optimizer"], plain["budget_bytes"], plain["largest_batch"]) == (
        "momentum",
        None,
        None,
    )
    asked = found.with_reports(found.memory_with("adam", 10**9))
    document = asked.to_json()["memory"]
    assert document["optimizer"] == "adam"
    assert document["budget_bytes"] == 10**9
    assert list(document) == list(plain)
    assert asked.memory.optimizer == "adam"


def test_an_analysis_with_errors_has_the_memory_of_what_has_a_shape() -> None:
    found = archspec.analyze("alexnet-224")
    assert found.has_errors
    assert found.memory.training_peak > 0
    layers = [layer("conv", "conv2d", filters=2, kernel_size=9)]
    nothing = archspec.analyze(parsed(layers, (3, 4, 4))).memory
    assert (nothing.saved, nothing.layers) == (0, ())
    assert nothing.training_peak == nothing.inference_peak + 8 == 4 * 48 + 8


def test_every_layer_says_what_it_keeps() -> None:
    """A layer that says nothing keeps inputs and output, which is true of none here."""
    for kind, layer_type in layer_types().items():
        says = layer_type.keeps != ("inputs", "output")
        assert says or "saved" in {k for c in layer_type.__mro__[:-1] for k in vars(c)}, kind


def test_a_layer_of_a_plug_in_that_says_nothing_keeps_inputs_and_output() -> None:
    class Silent(Layer):
        type: Literal["silent"]

    layer = Silent(name="x", type="silent", inputs=("a", "b"))
    shapes = ((2, 3, 3), (2, 3, 3))
    saved = layer.saved(shapes, layer.infer(shapes), (True, False))
    assert (saved.inputs, saved.output, saved.extra) == ((0, 1), True, ())
    assert layer.shares(shapes, True) == layer.shares(shapes, False) == "no"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "mobilenet-v2", "squeezenet1-1"])
def test_the_training_peak_is_near_what_the_allocator_gave_out(name: str) -> None:
    """On a CPU; docs/memory.md has more networks. Below, because gradients come one by one."""
    graph = archspec.load(name, input=(3, 64, 64))
    found = archspec.analyze(graph, batch=16).memory
    model = archspec.build(graph, backend="torch").train()
    images, labels = torch.rand(16, 3, 64, 64), torch.zeros(16, dtype=torch.int64)

    def step() -> None:
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        model.zero_grad()

    step()
    with torch.profiler.profile(profile_memory=True) as profiler:
        step()
    events = sorted(profiler.profiler.kineto_results.events(), key=lambda event: event.start_ns())
    alive = list(accumulate(event.nbytes() for event in events if event.name() == "[memory]"))
    estimated = found.gradients + found.peak_at.bytes - images.nbytes
    assert 0.9 * estimated < max(alive) < 1.05 * estimated
