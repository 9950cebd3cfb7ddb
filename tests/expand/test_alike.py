"""Layers that differ in nothing but their name and inputs are read once, and checked each."""

from __future__ import annotations

from dataclasses import replace

import pytest

import archspec
from archspec import expand, source
from archspec.diagnostics import ProblemsFound
from archspec.graph import Graph

HEAD = "archspec: 1\nname: net\ninput: {channels: 4, height: 8, width: 8}\nlayers:\n"
CONV = "type: conv2d, filters: 4, kernel_size: 3, padding: 1"


def _graph(*layers: str) -> Graph:
    text = HEAD + "".join(f"  - {{{layer}}}\n" for layer in layers)
    return expand.expand(source.parse(text, "net.yaml"))


def _problems(*layers: str) -> list[tuple[str, str, int]]:
    with pytest.raises(ProblemsFound) as found:
        _graph(*layers)
    return [(p.rule, p.message, p.span.column if p.span else 0) for p in found.value.problems]


def test_equal_layers_of_a_list_have_one_pattern() -> None:
    names = [f"name: {name}, {CONV}" for name in ("a", "b")]
    graph = _graph(*names, f"name: c, {CONV}, inputs: [a]", "name: d, type: add, inputs: [b, c]")
    a, b, c, _ = graph.nodes
    assert a.pattern is b.pattern
    assert c.pattern is not a.pattern  # it says what it reads
    assert [(node.layer.name, node.inputs) for node in (a, b, c)] == [
        ("a", ("input",)),
        ("b", ("a",)),
        ("c", ("a",)),
    ]
    assert [node.line for node in (a, b, c)] == [5, 6, 7]


def test_the_types_of_values_are_told_apart() -> None:
    first, second = f"name: a, {CONV}, bias: true", f"name: b, {CONV}, bias: 1"
    assert _problems(first, second) == [
        ("wrong-type", "`bias` of layer `b` must be `true` or `false`, not `1`", 75)
    ]
    for one, other in (("3", "[3, 3]"), ("[3, 1]", "[1, 3]")):
        a, b = _graph(
            f"name: a, type: conv2d, filters: 4, padding: same, kernel_size: {one}",
            f"name: b, type: conv2d, filters: 4, padding: same, kernel_size: {other}",
        ).nodes
        assert a.pattern is not b.pattern


@pytest.mark.parametrize(
    "wrong",
    ["name: 2b", "name: b b", "name: class", "name: [b]", "name: ''", "nome: b"]
    + [f"name: b, inputs: {inputs}" for inputs in ("a", "[3]", "[[a]]", "[a b]", "{}", "[2a]")],
)
def test_a_wrong_name_is_told_of_the_second_as_of_the_first(wrong: str) -> None:
    reads = "name: a, inputs: [input]" if "inputs" in wrong else "name: a"
    alone = _problems(f"{wrong}, {CONV}")
    assert _problems(f"{reads}, {CONV}", f"{wrong}, {CONV}") == [
        (rule, message.replace("layer 1", "layer 2"), column) for rule, message, column in alone
    ]


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "googlenet-aux", "mobilenet-v3-small"])
def test_what_layers_share_does_not_show_in_the_hash(name: str) -> None:
    graph = archspec.load(name)
    apart = replace(graph, nodes=tuple(replace(node, pattern=None) for node in graph.nodes))
    assert graph.hash == apart.hash
    assert archspec.analyze(graph).layers[-1].costs == archspec.analyze(apart).layers[-1].costs
