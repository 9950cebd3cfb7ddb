"""From a document to a graph: variables, layers of every size, edges, and order."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from networks import SOON
from texts import HEAD, graph, problems

import archspec


def test_a_layer_reads_the_one_before_it() -> None:
    net = graph("layers: [{name: a, type: relu}, {name: b, type: relu}]\n")
    assert [(node.name, node.inputs) for node in net.nodes] == [("a", ("input",)), ("b", ("a",))]
    assert net.output == "b"


def test_inputs_may_come_later_in_the_file() -> None:
    net = graph(
        "layers:\n"
        + "  - {name: c, type: relu, inputs: [b]}\n"
        + "  - {name: a, type: relu, inputs: [input]}\n"
        + "  - {name: b, type: relu, inputs: [a]}\n"
        + "  - {name: d, type: add, inputs: [c, a]}\n"
    )
    assert [node.name for node in net.nodes] == ["a", "b", "c", "d"]
    assert net.by_name["c"].line == 5


def test_one_layer_may_be_read_twice() -> None:
    net = graph("layers: [{name: a, type: relu}, {name: b, type: add, inputs: [a, a, input]}]\n")
    assert net.by_name["b"].inputs == ("a", "a", "input")


VARIABLES = (
    "variables: {n: 4, rate: 0.5, init: zeros, flag: false, text: a b}\n"
    "title: $text\n"
    "layers:\n"
    "  - {name: a, type: conv2d, filters: $n, kernel_size: [$n, 1], bias: $flag,\n"
    "     weight_init: $init}\n"
    "  - {name: b, type: dropout, rate: $rate}\n"
)


def test_variables_stand_for_scalars_anywhere() -> None:
    net = graph(VARIABLES, n=2)
    layer = net.by_name["a"].layer.model_dump()
    assert (layer["filters"], layer["kernel_size"], layer["bias"]) == (2, (2, 1), False)
    assert layer["weight_init"] == {"type": "zeros"}
    assert net.title == "a b"
    assert net.variables == {"n": 2, "rate": 0.5, "init": "zeros", "flag": False, "text": "a b"}


def test_overrides_are_checked() -> None:
    assert problems(VARIABLES, m=1) == [("unknown-variable", "the spec has no variable `m` to set")]
    assert problems(VARIABLES, n="$rate")[0][0] == "wrong-type"  # a text, not the other's value
    assert problems(VARIABLES, n=0.5)[0][0] == "wrong-type"
    assert problems(VARIABLES, rate=float("nan"))[0][0] == "wrong-value"
    assert problems(VARIABLES, n=[1])[0][0] == "wrong-type"
    assert problems(VARIABLES, n=[1, None])[0][0] == "wrong-type"
    assert problems(VARIABLES, n=None)[0][0] == "wrong-type"  # type: ignore[arg-type]


def test_defaults_reach_the_layers_that_do_not_say_otherwise() -> None:
    net = graph(
        "defaults: {weight_init: ones, rounding: floor}\n"
        + "layers:\n"
        + "  - {name: a, type: conv2d, filters: 1, kernel_size: 1, rounding: ceil}\n"
        + "  - {name: b, type: conv2d, filters: 1, kernel_size: 1, weight_init: zeros}\n"
    )
    a, b = (net.by_name[name].layer.model_dump() for name in "ab")
    assert (a["weight_init"], a["rounding"]) == ({"type": "ones"}, "ceil")
    assert (b["weight_init"], b["rounding"]) == ({"type": "zeros"}, "floor")


def test_names_of_python_are_names_of_layers() -> None:
    names = ["self", "forward", "print", "_", "torch", "Model", "_x", "match"]
    net = graph("layers:\n" + "".join(f"  - {{name: {n}, type: relu}}\n" for n in names))
    assert [node.name for node in net.nodes] == names


def layers(count: int, fields: str) -> str:
    return "layers:\n" + "".join(f"  - {{name: l{i}, {fields}}}\n" for i in range(count))


def test_ten_thousand_layers_are_ordinary(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(HEAD + layers(10_000, "type: scale"))
    start = time.process_time()
    net = archspec.load(path)
    assert time.process_time() - start < SOON
    assert len(net.nodes) == 10_000
    assert not archspec.analyze(net).diagnostics


@pytest.mark.parametrize(
    "text",
    [
        layers(10_000, "type: rellu"),
        layers(10_000, "type: relu, inputs: [nothing]"),
        layers(10_000, "type: relu, paddding: 1"),
        layers(10_000, "type: relu").replace("name: l", "name: -l"),
        layers(10_000, "type: dropout, rate: $nothing"),
        "layers: [{name: a, type: relu, " + ", ".join(f"k{i}: 1" for i in range(9999)) + "}]",
    ],
    ids=["types", "inputs", "keys", "names", "variables", "many keys"],
)
def test_ten_thousand_mistakes_end_soon(text: str) -> None:
    start = time.process_time()
    found = problems(text)
    assert time.process_time() - start < SOON
    assert len(found) == 101
    assert found[-1][0] == "limit-exceeded"


def test_a_circle_of_ten_thousand_layers_has_a_short_message() -> None:
    text = layers(10_000, "type: relu").replace("name: l0,", "name: l0, inputs: [l9999],")
    ((rule, message),) = problems(text)
    assert rule == "cycle"
    assert message.endswith("l0 -> l1 -> l2 -> l3 -> l4 -> l5 -> ... -> l9999 -> l0")


def test_circles_that_share_layers_are_reported_and_end() -> None:
    text = "layers:\n" + "".join(
        f"  - {{name: l{i}, type: add, inputs: [l{(i + 1) % 50}, l{(i + 7) % 50}]}}\n"
        for i in range(50)
    )
    assert [rule for rule, _ in problems(text)] == ["cycle"]


def test_extending_null_is_extending_nothing() -> None:
    found = problems("extends: null\n")
    assert found == [("missing-key", "the spec needs the key `layers`")]
