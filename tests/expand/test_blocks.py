"""Blocks and groups: parameters, names, what their layers read and what they hand on."""

from __future__ import annotations

from pathlib import Path

import pytest
from texts import HEAD, chain, diagnostics, edges, graph, problems, values, written

import archspec

UNIT = """\
blocks:
  unit:
    parameters: {filters, kernel_size: 1, stride: $step, act: relu}
    layers:
      - {name: conv, type: conv2d, filters: $filters, kernel_size: $kernel_size, stride: $stride,
         rounding: floor}
      - {name: act, type: $act}
variables: {step: 1, width: 4}
"""


def test_a_block_is_its_layers_under_its_name() -> None:
    net = graph(UNIT + "layers: [{name: a, block: unit, filters: 2}, {name: b, type: relu}]")
    assert chain(net) == ["a.conv", "a.act", "b"]
    assert net.by_name["a.conv"].line == 8


def test_parameters() -> None:
    text = UNIT + (
        "layers:\n"
        "  - {name: a, block: unit, filters: 2}\n"
        "  - {name: b, block: unit, filters: $width, kernel_size: [1, 2], act: tanh}\n"
        "  - {name: c, block: unit, filters: $(width * 2), stride: 2}\n"
    )
    net = graph(text)
    assert values(net, "filters") == [2, 4, 8]
    assert values(net, "kernel_size") == [(1, 1), (1, 2), (1, 1)]
    assert values(net, "stride") == [(1, 1), (1, 1), (2, 2)]
    assert [node.layer.type for node in net.nodes][1::2] == ["relu", "tanh", "relu"]
    assert values(graph(text, width=5, step=3), "filters") == [2, 5, 10]
    assert values(graph(text, width=5, step=3), "stride") == [(3, 3), (3, 3), (2, 2)]


def test_defaults_may_be_expressions_of_parameters_and_of_what_is_read() -> None:
    net = graph(
        "variables: {factor: 2}\n"
        "blocks:\n"
        "  wider:\n"
        "    parameters: {out: $(wide + 1), wide: $(channels(input) * factor)}\n"
        "    layers:\n"
        "      - {name: a, type: conv2d, filters: $wide, kernel_size: 1}\n"
        "      - {name: b, type: conv2d, filters: $out, kernel_size: 1}\n"
        "layers:\n"
        "  - {name: x, block: wider}\n"
        "  - {name: y, block: wider, wide: 5}\n"
        "  - {name: z, block: wider}\n"
    )
    assert values(net, "filters") == [6, 7, 5, 6, 12, 13]


def test_a_block_sees_no_names_of_where_it_is_used() -> None:
    text = (
        "blocks:\n"
        "  outer:\n"
        "    parameters: {n}\n"
        "    layers: [{name: x, block: inner}]\n"
        "  inner: {layers: [{name: c, type: conv2d, filters: $n, kernel_size: 1}]}\n"
        "layers: [{name: a, block: outer, n: 3}]\n"
    )
    assert problems(text) == [("unknown-variable", "`$n` names no variable")]
    assert values(graph("variables: {n: 5}\n" + text), "filters") == [5]


def test_a_parameter_hides_a_variable() -> None:
    net = graph(
        "variables: {n: 5}\n"
        "blocks:\n"
        "  b: {parameters: {n}, layers: [{name: c, type: conv2d, filters: $n, kernel_size: 1}]}\n"
        "layers: [{name: a, block: b, n: $(n + 1)}]\n"
    )
    assert values(net, "filters") == [6]


RESIDUAL = """\
blocks:
  conv:
    parameters: {filters, stride: 1}
    layers:
      - {name: conv, type: conv2d, filters: $filters, kernel_size: 1, stride: $stride,
         rounding: floor}
  basic:
    parameters: {filters, stride: 1}
    layers:
      - {name: first, block: conv, filters: $filters, stride: $stride}
      - {name: relu, type: relu}
      - {name: second, block: conv, filters: $filters}
      - {name: shortcut, block: conv, filters: $filters, stride: $stride, inputs: [input],
         when: $(stride != 1 or channels(input) != filters)}
      - {name: add, type: add, inputs: [second, shortcut]}
"""


def test_blocks_in_blocks_and_when() -> None:
    net = graph(RESIDUAL + "layers: [{name: b, block: basic, filters: 4, repeat: 2}]")
    assert edges(net) == {
        "b1.first.conv": ("input",),
        "b1.relu": ("b1.first.conv",),
        "b1.second.conv": ("b1.relu",),
        "b1.shortcut.conv": ("input",),
        "b1.add": ("b1.second.conv", "b1.shortcut.conv"),
        "b2.first.conv": ("b1.add",),
        "b2.relu": ("b2.first.conv",),
        "b2.second.conv": ("b2.relu",),
        "b2.add": ("b2.second.conv", "b1.add"),  # what the shortcut would have read
    }


TWO = """\
blocks:
  cross:
    inputs: [left, right]
    outputs: [b, a]
    layers:
      - {name: a, type: relu, inputs: [left]}
      - {name: b, type: tanh, inputs: [right]}
  swap:
    inputs: [left, right]
    outputs: [right, left]
    layers:
      - {name: unused, type: relu, inputs: [left]}
  sum:
    inputs: [left, right]
    layers: [{name: add, type: add, inputs: [right, left]}]
"""


def test_several_inputs_and_outputs() -> None:
    net = graph(
        TWO
        + "layers:\n"
        + "  - {name: s, type: relu}\n"
        + "  - {name: x, block: cross, inputs: [s, input]}\n"
        + "  - {name: y, block: cross, inputs: [x.a, x.b]}\n"
        + "  - {name: z, block: sum, inputs: [y, y.a]}\n"
    )
    assert edges(net) == {
        "s": ("input",),
        "x.a": ("s",),
        "x.b": ("input",),
        "y.a": ("x.a",),
        "y.b": ("x.b",),
        "z.add": ("y.a", "y.b"),  # `y` alone is its first output, b
    }


def test_repetitions_hand_all_outputs_on() -> None:
    net = graph(
        TWO
        + "layers:\n"
        + "  - {name: s, type: relu}\n"
        + "  - {name: x, block: cross, inputs: [s, input], repeat: 2}\n"
        + "  - {name: z, type: add, inputs: [x, x1.a, x2.a]}\n"
    )
    assert edges(net) == {
        "s": ("input",),
        "x1.a": ("s",),
        "x1.b": ("input",),
        "x2.a": ("x1.b",),
        "x2.b": ("x1.a",),
        "z": ("x2.b", "x1.a", "x2.a"),
    }


def test_an_input_may_be_an_output() -> None:
    net = graph(
        "blocks:\n"
        "  skip:\n"
        "    outputs: [a, input]\n"
        "    layers: [{name: a, type: relu}]\n"
        "layers:\n"
        "  - {name: s, type: tanh}\n"
        "  - {name: p, block: skip}\n"
        "  - {name: q, type: add, inputs: [p.input, p]}\n"
    )
    assert edges(net)["q"] == ("s", "p.a")


def test_what_is_inside_may_be_read_by_its_dotted_name() -> None:
    net = graph(
        RESIDUAL
        + "layers:\n"
        + "  - {name: b, block: basic, filters: 4, repeat: 2}\n"
        + "  - {name: sum, type: add, inputs: [b, b1.first.conv, b1.second, b2.shortcut]}\n"
    )
    # A block is its output; what is left out is what it would have read.
    assert edges(net)["sum"] == ("b2.add", "b1.first.conv", "b1.second.conv", "b1.add")


def test_references_may_lead_down() -> None:
    net = graph(
        UNIT
        + "layers:\n"
        + "  - {name: late, type: relu, inputs: [unit.conv]}\n"
        + "  - {name: unit, block: unit, filters: 2, inputs: [input]}\n"
        + "  - {name: end, type: add, inputs: [late, unit]}\n"
    )
    assert edges(net) == {
        "unit.conv": ("input",),
        "late": ("unit.conv",),
        "unit.act": ("unit.conv",),
        "end": ("late", "unit.act"),
    }


def test_groups() -> None:
    net = graph(
        "variables: {n: 4}\n"
        "layers:\n"
        "  - {name: stem, type: relu}\n"
        "  - name: g\n"
        "    layers:\n"
        "      - {name: a, type: conv2d, filters: $n, kernel_size: 1}\n"
        "      - {name: b, type: conv2d, filters: $n, kernel_size: 1, inputs: [input]}\n"
        "      - {name: c, type: add, inputs: [a, b]}\n"
        "      - {name: inner, layers: [{name: d, type: add, inputs: [a, stem2, input]}]}\n"
        "  - {name: stem2, type: conv2d, filters: $n, kernel_size: 1, inputs: [stem]}\n"
        "  - {name: h, inputs: [stem2], layers: [{name: a, type: relu}, {name: s, type: add,\n"
        "     inputs: [a, input, g]}]}\n"
    )
    assert edges(net) == {
        "stem": ("input",),
        "g.a": ("stem",),
        "g.b": ("stem",),
        "g.c": ("g.a", "g.b"),
        "stem2": ("stem",),
        "g.inner.d": ("g.a", "stem2", "g.c"),  # the group's own names, and those beside it
        "h.a": ("stem2",),
        "h.s": ("h.a", "stem2", "g.inner.d"),
    }


def test_channels() -> None:
    net = graph(
        RESIDUAL
        + "layers:\n"
        + "  - {name: image, type: conv2d, filters: $(channels(input) * 2), kernel_size: 1}\n"
        + "  - {name: b, block: basic, filters: 4}\n"
        + "  - name: g\n"
        + "    layers:\n"
        + "      - {name: dw, type: conv2d, filters: $(channels(input)), kernel_size: 1,\n"
        + "         groups: $(channels(input))}\n"
        + "      - {name: pw, type: conv2d, filters: $(channels(image) + channels(b.first)),\n"
        + "         kernel_size: 1}\n"
        + "  - {name: flat, type: flatten}\n"
        + "  - {name: fc, type: dense, units: $(channels(flat) // 64 + channels(g))}\n"
    )
    assert values(net, "filters") == [6, 4, 4, 4, 4, 10]
    assert net.by_name["g.dw"].layer.groups == 4  # type: ignore[attr-defined]
    assert net.by_name["fc"].layer.units == 20  # type: ignore[attr-defined]


def test_when() -> None:
    text = (
        "variables: {norm: true, deep: false}\n"
        "layers:\n"
        "  - {name: a, type: relu}\n"
        "  - {name: n, type: sigmoid, when: $norm}\n"
        "  - {name: g, when: $deep, layers: [{name: b, type: relu}, {name: c, type: relu}]}\n"
        "  - {name: s, type: tanh, inputs: [a], when: $(not norm)}\n"
        "  - {name: e, type: add, inputs: [g, s, n]}\n"
    )
    assert edges(graph(text)) == {"a": ("input",), "n": ("a",), "e": ("n", "a", "n")}
    deep = graph(text, norm=False, deep=True)
    assert edges(deep) == {
        "a": ("input",),
        "g.b": ("a",),
        "g.c": ("g.b",),
        "s": ("a",),
        "e": ("g.c", "s", "a"),
    }


def test_the_last_entry_may_be_left_out() -> None:
    text = (
        "variables: {p: false}\nlayers: [{name: a, type: relu}, {name: p, type: softmax, when: $p}]"
    )
    assert graph(text).output == "a"
    assert graph(text, p=True).output == "p"


def test_what_is_left_out_is_not_looked_at() -> None:
    net = graph(
        UNIT
        + "layers:\n"
        + "  - {name: a, type: relu}\n"
        + "  - {name: u, block: unit, when: false, filters: $(1 // 0)}\n"
    )
    assert chain(net) == ["a"]


def test_auxiliary_outputs_in_blocks() -> None:
    net = graph(
        UNIT
        + "layers:\n"
        + "  - {name: a, block: unit, filters: 2, repeat: 2}\n"
        + "  - {name: aux, block: unit, filters: 3, inputs: [a1]}\n"
        + "  - {name: end, type: relu, inputs: [a]}\n"
        + "auxiliary: [{layer: aux, loss_weight: 0.3}, {layer: a1.conv}]\n"
    )
    assert [(a.layer, a.loss_weight) for a in net.auxiliary] == [("aux.act", 0.3), ("a1.conv", 1.0)]


def test_names_and_types_may_be_expressions() -> None:
    net = graph(
        "variables: {kind: relu, stem: base}\n"
        "layers:\n"
        "  - {name: $stem, type: $kind}\n"
        "  - {name: $(stem)_$(index), type: $kind, repeat: 2}\n"
        "  - {name: x, type: add, inputs: [$stem, base_1, $(stem)_2]}\n"
    )
    assert edges(net) == {
        "base": ("input",),
        "base_1": ("base",),
        "base_2": ("base_1",),
        "x": ("base", "base_1", "base_2"),
    }


def test_a_problem_in_a_block_is_reported_once_with_the_first_use(tmp_path: Path) -> None:
    text = UNIT.replace("$stride,", "$strid,") + (
        "  # comment\n"
        "layers:\n"
        "  - {name: g, repeat: 3, layers: [{name: a, block: unit, filters: 2, repeat: 3}]}\n"
        "  - {name: b, block: unit, filters: 2}\n"
    )
    (found,) = diagnostics(written(tmp_path, {"net.yaml": HEAD + text}))
    assert (found.code, found.line) == ("AS015", 8)
    assert [(use.line, use.column) for use in found.uses] == [(14, 52)]


def test_where_the_block_is_used_that_uses_it(tmp_path: Path) -> None:
    text = RESIDUAL.replace("kernel_size: 1,", "kernel_size: 9,")
    text += "layers: [{name: b, block: basic, filters: 4}]\n"
    (found,) = diagnostics(written(tmp_path, {"net.yaml": HEAD + text}))
    assert (found.code, found.layer, found.line) == ("AS102", "b.first.conv", 8)
    assert [use.line for use in found.uses] == [13, 19]


def test_a_default_that_fails_says_for_which_use(tmp_path: Path) -> None:
    text = (
        "blocks:\n"
        "  b:\n"
        "    parameters: {n, m: $(8 // n)}\n"
        "    layers: [{name: c, type: conv2d, filters: $m, kernel_size: 1}]\n"
        "layers:\n"
        "  - {name: x, block: b, n: 2}\n"
        "  - {name: y, block: b, n: 0}\n"
    )
    (found,) = diagnostics(written(tmp_path, {"net.yaml": HEAD + text}))
    assert (found.code, found.line, found.column) == ("AS017", 6, 31)
    assert [(use.line, use.column) for use in found.uses] == [(10, 22)]


@pytest.mark.parametrize(
    ("layers", "found"),
    [
        ("[{name: x, type: relu, inputs: [nothing]}]", "u.x reads `nothing`, which is no layer"),
        ("[{name: x, type: relu, inputs: [above]}]", "u.x reads `above`, which is no layer"),
        ("[{name: x, type: relu, inputs: [u]}]", "u.x reads `u`, which is no layer"),
    ],
)
def test_a_block_reads_only_its_inputs(layers: str, found: str) -> None:
    text = (
        f"blocks: {{b: {{inputs: [a, c], outputs: [a, c, x], layers: {layers}}}}}\n"
        "layers:\n"
        "  - {name: above, type: relu}\n"
        "  - {name: u, block: b, inputs: [above, input]}\n"
    )
    assert ("unknown-input", found) in problems(text)


UNUSED = """\
blocks:
  inner:
    parameters: {filters}
    layers:
      - {name: conv, type: conv2d, filters: $filters, kernel_sise: 3}
  outer:
    parameters: {rows, wide: false}
    layers:
      - name: stage
        for_each: [filters, count]
        in: $rows
        layers:
          - {name: unit, block: inner, repeat: $count, filters: $filters, when: $wide}
          - {name: act, type: relu, inputs: [units]}
      - {name: sum, type: add, inputs: [stage, nothing]}
      - {name: scaled, type: dense, units: "$(max(rows)"}
"""


def test_blocks_that_nothing_uses_are_looked_at() -> None:
    found = problems(UNUSED + "layers: [{name: a, type: relu}]\n")
    assert {rule for rule, _ in found} == {"unknown-key", "unknown-input", "invalid-expression"}
    assert len(found) == 4
    assert all("filters" not in message for _, message in found)  # nobody knows its value


def test_a_file_of_blocks_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "blocks.yaml"
    path.write_text("archspec: 1\nblocks: {unit: {layers: [{name: act, type: relu}]}}\n")
    with pytest.raises(archspec.SpecError) as caught:
        archspec.load(path)
    assert [d.name for d in caught.value.diagnostics] == ["only-blocks"]
    assert {d.severity for d in caught.value.diagnostics} == {"note"}
    path.write_text("archspec: 1\n" + UNUSED)
    with pytest.raises(archspec.SpecError) as caught:
        archspec.load(path)
    assert len(caught.value.diagnostics) == 5


def test_what_a_comma_cuts_off_is_no_argument() -> None:
    use = "{name: a, block: unit, stride: $(max(1, 2)), filters: 3}"
    found = problems(UNIT + f"layers: [{use}, {{name: b, type: relu}}]\n")
    assert [rule for rule, _ in found] == ["invalid-expression"]
