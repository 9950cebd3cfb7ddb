"""`repeat` and `for_each`: names, values, and what reads what."""

from __future__ import annotations

from texts import HEAD, chain, edges, graph, problems, values

from archspec import expand, source
from archspec.layers.base import Shape


def test_repeat() -> None:
    net = graph("layers: [{name: a, type: relu, repeat: 3}, {name: b, type: relu}]")
    assert chain(net) == ["a1", "a2", "a3", "b"]
    net = graph(
        "layers: [{name: a, type: relu, repeat: 3}, {name: b, type: add, inputs: [a, a2, input]}]"
    )
    assert edges(net)["b"] == ("a3", "a2", "input")


def test_once_and_never() -> None:
    text = (
        "variables: {n: 1}\n"
        "layers:\n"
        "  - {name: s, type: tanh}\n"
        "  - {name: a, type: relu, repeat: $n}\n"
        "  - {name: b, type: add, inputs: [a, s]}\n"
    )
    assert edges(graph(text))["b"] == ("a1", "s")
    assert edges(graph(text, n=0)) == {"s": ("input",), "b": ("s", "s")}


def test_never_with_inputs() -> None:
    net = graph(
        "layers:\n"
        "  - {name: s, type: tanh}\n"
        "  - {name: t, type: tanh}\n"
        "  - {name: a, type: relu, repeat: 0, inputs: [s]}\n"
        "  - {name: b, type: add, inputs: [a, t]}\n"
    )
    assert edges(net)["b"] == ("s", "t")


def test_index() -> None:
    net = graph(
        "layers:\n"
        "  - {name: a, type: conv2d, filters: $index, kernel_size: 1, repeat: 2}\n"
        "  - name: g\n"
        "    repeat: 2\n"
        "    layers:\n"
        "      - {name: x, type: conv2d, filters: $(10 * index), kernel_size: 1}\n"
        "      - {name: y, type: conv2d, filters: $(100 * index), kernel_size: 1, repeat: 2}\n"
        "      - {name: z, type: conv2d, filters: $(10 * index + 1), kernel_size: 1}\n"
    )
    assert {n.name: n.layer.filters for n in net.nodes} == {  # type: ignore[attr-defined]
        "a1": 1,
        "a2": 2,
        "g1.x": 10,
        "g1.y1": 100,
        "g1.y2": 200,
        "g1.z": 11,
        "g2.x": 20,
        "g2.y1": 100,
        "g2.y2": 200,
        "g2.z": 21,
    }


def test_a_block_does_not_see_the_index() -> None:
    block = "blocks: {b: {layers: [{name: c, type: conv2d, filters: $index, kernel_size: 1}]}}\n"
    found = problems(block + "layers: [{name: a, block: b, repeat: 2}]")
    assert found == [("unknown-variable", "`$index` names no variable")]
    block = block.replace("{layers", "{parameters: {index}, layers")
    net = graph(block + "layers: [{name: a, block: b, repeat: 2, index: $(index * 5)}]")
    assert values(net, "filters") == [5, 10]


def test_inputs_are_those_of_the_first_round() -> None:
    net = graph(
        "layers:\n"
        "  - {name: s, type: tanh}\n"
        "  - {name: t, type: tanh}\n"
        "  - {name: a, type: add, inputs: [s, t, input], repeat: 3}\n"
    )
    assert edges(net)["a1"] == ("s", "t", "input")
    assert edges(net)["a2"] == ("a1", "t", "input")
    assert edges(net)["a3"] == ("a2", "t", "input")


def test_for_each() -> None:
    net = graph(
        "variables: {rows: [[4, 1], [6, 2]]}\n"
        "layers:\n"
        "  - {name: a, for_each: [n, s], in: $rows, type: conv2d, filters: $n, kernel_size: 1,\n"
        "     stride: $s, rounding: floor}\n"
        "  - {name: b, for_each: n, in: [1, $(1 + 1)], type: conv2d, filters: $n, kernel_size: 1}\n"
        '  - {name: c, for_each: n, in: "$(range(1, 3))", type: conv2d, filters: $(n * index),\n'
        "     kernel_size: 1}\n"
    )
    assert chain(net) == ["a1", "a2", "b1", "b2", "c1", "c2"]
    assert values(net, "filters") == [4, 6, 1, 2, 1, 4]
    assert values(net, "stride")[:2] == [(1, 1), (2, 2)]


def test_rows_of_lists() -> None:
    net = graph(
        "layers:\n"
        "  - {name: a, for_each: [n, k], in: [[2, [1, 3]]], type: conv2d, filters: $n,\n"
        "     kernel_size: $k, padding: same}\n"
        "  - {name: b, for_each: row, in: [[2, 5]], type: conv2d, kernel_size: 1,\n"
        '     filters: "$(row[1])"}\n'
    )
    assert values(net, "kernel_size")[0] == (1, 3)
    assert values(net, "filters") == [2, 5]


STAGES = """\
variables: {stages: [[1, 4, 1, 1], [2, 6, 3, 2]], width: 1.0}
blocks:
  unit:
    parameters: {expansion, filters, stride}
    layers:
      - {name: expand, type: conv2d, filters: $(channels(input) * expansion), kernel_size: 1,
         when: $(expansion > 1)}
      - {name: conv, type: conv2d, filters: $filters, kernel_size: 1, stride: $stride,
         rounding: floor}
layers:
  - name: stage
    for_each: [expansion, filters, repeats, stride]
    in: $stages
    layers:
      - {name: block, block: unit, repeat: $repeats, expansion: $expansion,
         filters: $(filters * (2 if width > 1 else 1)), stride: $(stride if index == 1 else 1)}
  - {name: end, type: add, inputs: [stage, stage2.block1, stage2.block3.conv]}
"""


def test_stages() -> None:
    net = graph(STAGES)
    assert list(edges(net)) == [
        "stage1.block1.conv",
        "stage2.block1.expand",
        "stage2.block1.conv",
        "stage2.block2.expand",
        "stage2.block2.conv",
        "stage2.block3.expand",
        "stage2.block3.conv",
        "end",
    ]
    assert values(net, "filters") == [4, 8, 6, 12, 6, 12, 6]
    assert values(net, "stride") == [(1, 1), None, (2, 2), None, (1, 1), None, (1, 1)]
    one = STAGES[: STAGES.index("  - {name: end")]
    net = graph(one, stages=[[1, 5, 2, 1]], width=2)
    assert chain(net) == ["stage1.block1.conv", "stage1.block2.conv"]
    assert values(net, "filters") == [10, 10]


def test_the_name_without_number_is_the_last_repetition() -> None:
    assert edges(graph(STAGES))["end"] == (
        "stage2.block3.conv",
        "stage2.block1.conv",
        "stage2.block3.conv",
    )


def test_when_in_a_repetition() -> None:
    net = graph(
        "layers:\n"
        "  - {name: a, type: relu, repeat: 4, when: $(index % 2 == 0)}\n"
        "  - {name: b, type: add, inputs: [a, a1, a2, a3]}\n"
    )
    assert edges(net) == {"a2": ("input",), "a4": ("a2",), "b": ("a4", "input", "a2", "a2")}


def test_channels_of_the_round_before() -> None:
    net = graph(
        "layers: [{name: a, type: conv2d, filters: $(channels(input) + index), kernel_size: 1,\n"
        "  repeat: 3}]"
    )
    assert values(net, "filters") == [4, 5, 6]  # `input` is the image
    net = graph(
        "blocks: {b: {layers: [{name: c, type: conv2d, filters: $(channels(input) * 2),\n"
        "  kernel_size: 1}]}}\n"
        "layers: [{name: a, block: b, repeat: 3}]"
    )
    assert values(net, "filters") == [6, 12, 24]


def test_the_input_decides_what_channels_are() -> None:
    text = "layers: [{name: a, type: conv2d, filters: $(channels(input) * 2), kernel_size: 1}]\n"
    shape: Shape = (5, 4, 4)
    net = expand.expand(source.parse(HEAD + text, "spec.yaml"), input_shape=shape)
    assert values(net, "filters") == [10]
    assert net.input_shape == shape
