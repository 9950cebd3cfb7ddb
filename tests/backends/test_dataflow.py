"""Variables of the emitted source: every layer reads the value that it should."""

from __future__ import annotations

import random

import pytest
from networks import heads, layer, network

from archspec import verification
from archspec.backends.source import contexts, dataflow, paragraphs
from archspec.graph import Graph

RESERVED = {"x", "image", "block", "relu"}
PARTS = ("a", "b", "add", "relu", "a_b", "class_")


def variables(graph: Graph) -> dict[str, str]:
    return dataflow(graph, paragraphs(graph, contexts(graph)), RESERVED, "x")


def check(graph: Graph) -> None:
    """Run the assignments, in training and at inference, with names for values."""
    names = variables(graph)
    for training in (True, False):
        values = {names["input"]: "input"}
        for node in graph.nodes:
            if training or node.name not in graph.training_only:
                assert [values[names[name]] for name in node.inputs] == list(node.inputs)
                values[names[node.name]] = node.name
        for name in graph.outputs if training else graph.outputs[:1]:
            assert values[names[name]] == name


def some_network(numbers: random.Random) -> Graph:
    """Sums of one to three earlier values, in blocks three deep; what nothing reads is a head."""
    names: list[str] = []
    while len(names) < numbers.randint(2, 60):
        name = ".".join(numbers.choices(PARTS, k=numbers.randint(1, 4)))
        if name not in names:
            names.append(name)
    layers, read = [], set()
    for index, name in enumerate(names):
        near = ["input", *names[:index]][-numbers.choice((2, 4, 60)) :]
        inputs = [numbers.choice(near) for _ in range(numbers.randint(2, 3))]
        layers.append(layer(name, "add", *inputs))
        read.update(inputs)
    outputs = [name for name in names[:-1] if name not in read or numbers.random() < 0.05]
    return network(layers, (1, 1, 1), auxiliary=[{"layer": name} for name in outputs])


@pytest.mark.parametrize("seed", range(100))
def test_no_value_is_overwritten_before_it_is_read(seed: int) -> None:
    check(some_network(random.Random(seed)))


@pytest.mark.parametrize("seed", range(10))
def test_the_emitted_source_computes_it(seed: int) -> None:
    found = verification.verify(some_network(random.Random(seed)), backends=("torch",))
    assert found.equal, found.outputs


def test_values_that_stay_near_have_their_names_in_the_block() -> None:
    graph = heads()
    names = variables(graph)
    check(graph)
    assert {names[f"body.block{i}.add"] for i in (1, 2, 3)} == {"add"}
    assert names["stem.relu"] == "stem_relu"  # `relu` is reserved here
    assert names["body.block4.add"] == names["body.block1.first.conv"] == names["fc"] == "x"
    assert (names["aux1.fc"], names["aux2.fc"], names["early"]) == ("aux1_fc", "aux2_fc", "early")


def test_values_that_are_read_far_away_have_their_whole_names() -> None:
    layers = [layer("stem", "relu")]
    for name in ("down1", "down2", "down3"):
        layers += [layer(f"{name}.relu", "relu"), layer(f"{name}.pool", "tanh")]
    for name in ("down2", "down1"):
        layers.append(layer(f"up_{name}.join", "add", layers[-1]["name"], f"{name}.relu"))
    names = variables(network(layers))
    assert names["down1.relu"] == "down1_relu"
    assert names["down2.relu"] == "down2_relu"
