"""`extends` and `changes`: what a variant inherits, and what it changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from texts import chain, diagnostics, edges, values, written

import archspec
from archspec.graph import Graph

BASE = """\
name: base
title: The base
description: of all
source: a paper
input: {channels: 3, height: 8, width: 8}
variables: {n: 4, rows: [1, 2]}
defaults: {weight_init: {type: normal, std: 0.1}, rounding: floor}
blocks:
  unit:
    parameters: {filters, stride: 1}
    layers:
      - {name: conv, type: conv2d, filters: $filters, kernel_size: 1, stride: $stride}
      - {name: act, type: relu}
layers:
  - {name: stem, type: conv2d, filters: $n, kernel_size: 1}
  - {name: block, block: unit, filters: $(n * 2), repeat: 2}
  - {name: end, type: relu}
claims: [{about: network, params: 1}]
auxiliary: [{layer: block1.conv, loss_weight: 0.3}]
training:
  epochs: 3
  batch_size: 8
  optimizer: {type: sgd, learning_rate: 0.1, momentum: 0.9}
  schedule: {type: steps, epochs: [2], factor: 0.1}
"""


def variant(folder: Path, text: str, **options: Any) -> Graph:
    path = written(folder, {"v.yaml": f"name: v\nextends: base.yaml\n{text}", "base.yaml": BASE})
    return archspec.load(path, **options)


def test_what_is_inherited(tmp_path: Path) -> None:
    net = variant(tmp_path, "")
    spec = net.spec
    assert (spec.name, spec.title, spec.description, spec.source) == ("v", None, None, "a paper")
    assert spec.claims == ()
    assert chain(net) == ["stem", "block1.conv", "block1.act", "block2.conv", "block2.act", "end"]
    assert net.variables == {"n": 4, "rows": (1, 2)}
    assert spec.defaults.rounding == "floor"
    assert [a.layer for a in net.auxiliary] == ["block1.conv"]
    assert spec.training is not None
    assert spec.training.epochs == 3


def test_mappings_are_merged_key_by_key(tmp_path: Path) -> None:
    net = variant(
        tmp_path,
        "input: {height: 16}\n"
        "variables: {n: 6, more: 1}\n"
        "defaults: {weight_init: {std: 0.5}}\n"
        "training: {epochs: 5, optimizer: {momentum: 0.5}}\n",
    )
    assert net.input_shape == (3, 16, 8)
    assert net.variables == {"n": 6, "rows": (1, 2), "more": 1}
    defaults = net.spec.defaults.model_dump()
    assert defaults["weight_init"] == {"type": "normal", "mean": 0.0, "std": 0.5}
    assert defaults["rounding"] == "floor"
    recipe = net.spec.training
    assert recipe is not None
    assert (recipe.epochs, recipe.batch_size) == (5, 8)
    assert (recipe.optimizer.learning_rate, recipe.optimizer.momentum) == (0.1, 0.5)


def test_lists_values_and_other_types_are_replaced(tmp_path: Path) -> None:
    net = variant(
        tmp_path,
        "variables: {rows: [3]}\n"
        "defaults: {weight_init: {type: uniform, low: -1, high: 1}}\n"
        "auxiliary: []\n"
        "training: {schedule: {type: constant}}\n",
    )
    assert net.variables["rows"] == (3,)
    defaults = net.spec.defaults.model_dump()
    assert defaults["weight_init"] == {"type": "uniform", "low": -1, "high": 1}
    assert net.auxiliary == ()
    assert net.spec.training is not None
    assert net.spec.training.schedule is not None
    assert net.spec.training.schedule.type == "constant"


def test_a_block_is_replaced_as_a_whole(tmp_path: Path) -> None:
    net = variant(
        tmp_path,
        "blocks:\n"
        "  unit: {parameters: {filters}, layers: [{name: c, type: conv2d, filters: $filters,\n"
        "    kernel_size: 1}]}\n"
        "auxiliary: []\n",
    )
    assert chain(net) == ["stem", "block1.c", "block2.c", "end"]


def test_layers_are_replaced_as_a_whole(tmp_path: Path) -> None:
    layers = "layers: [{name: a, block: unit, filters: $n}]\nauxiliary: []\n"
    net = variant(tmp_path, layers + "changes: [{set: a.act, type: tanh}]\n")
    assert chain(net) == ["a.conv", "a.act"]
    assert net.by_name["a.act"].layer.type == "tanh"


def test_variables_are_set_on_the_command_line_last(tmp_path: Path) -> None:
    assert values(variant(tmp_path, "variables: {n: 6}\n", n=7), "filters") == [7, 14, 14]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ("{remove: end}", "stem 1.conv 1.act 2.conv 2.act"),
        ("{remove: stem}", "1.conv 1.act 2.conv 2.act end"),
        ("{remove: block}", "stem end"),
        ("{remove: block1}", "stem 2.conv 2.act end"),
        ("{remove: block2.conv}", "stem 1.conv 1.act 2.act end"),
        ("{replace: stem, with: {name: x, type: tanh}}", "x 1.conv 1.act 2.conv 2.act end"),
        ("{replace: block, with: {name: x, type: tanh}}", "stem x end"),
        ("{replace: block2, with: {name: x, type: tanh}}", "stem 1.conv 1.act x end"),
        (
            "{replace: block1.act, with: [{name: x, type: tanh}, {name: y, type: tanh}]}",
            "stem 1.conv 1.x 1.y 2.conv 2.act end",
        ),
        ("{replace: end, with: []}", "stem 1.conv 1.act 2.conv 2.act"),
        ("{before: stem, insert: {name: x, type: tanh}}", "x stem 1.conv 1.act 2.conv 2.act end"),
        ("{after: end, insert: {name: x, type: tanh}}", "stem 1.conv 1.act 2.conv 2.act end x"),
        (
            "{after: block1, insert: {name: x, type: tanh}}",
            "stem 1.conv 1.act x 2.conv 2.act end",
        ),
        (
            "{before: block1.act, insert: {name: x, type: tanh}}",
            "stem 1.conv 1.x 1.act 2.conv 2.act end",
        ),
        (
            "{before: block, insert: [{name: x, type: tanh}, {name: u, block: unit, filters: 3}]}",
            "stem x u.conv u.act 1.conv 1.act 2.conv 2.act end",
        ),
        # One behind the other in the order in which they are inserted next to it.
        (
            "{after: stem, insert: {name: x, type: tanh}}, "
            "{after: stem, insert: {name: y, type: tanh}}",
            "stem y x 1.conv 1.act 2.conv 2.act end",
        ),
        (
            "{before: end, insert: {name: x, type: tanh}}, "
            "{before: end, insert: {name: y, type: tanh}}",
            "stem 1.conv 1.act 2.conv 2.act x y end",
        ),
        # What a change brings in, later ones change.
        (
            "{after: stem, insert: {name: x, type: tanh}}, "
            "{after: x, insert: {name: y, type: tanh}}, {before: x, insert: {name: z, type: relu}}",
            "stem z x y 1.conv 1.act 2.conv 2.act end",
        ),
        (
            "{after: stem, insert: {name: u, block: unit, filters: 3}}, {remove: u.conv}, "
            "{after: u.act, insert: {name: y, type: tanh}}",
            "stem u.act u.y 1.conv 1.act 2.conv 2.act end",
        ),
        (
            "{replace: end, with: {name: end, type: tanh}}, {after: end, insert: {name: y, "
            "type: relu}}",
            "stem 1.conv 1.act 2.conv 2.act end y",
        ),
        (
            "{remove: end}, {after: stem, insert: {name: end, type: relu}}",
            None,  # the name is taken: who reads `end` reads what it would have read
        ),
    ],
)
def test_changes(changes: str, expected: str | None, tmp_path: Path) -> None:
    text = f"auxiliary: []\nchanges: [{changes}]\n"
    if expected is None:
        with pytest.raises(archspec.SpecError, match="AS021"):
            variant(tmp_path, text)
        return
    full = [f"block{n}" if n[0].isdigit() else n for n in expected.split()]
    assert chain(variant(tmp_path, text)) == full


def test_set(tmp_path: Path) -> None:
    net = variant(
        tmp_path,
        "changes:\n"
        "  - {set: stem, filters: $(n + 1), stride: 2}\n"
        "  - {set: block, filters: 9}\n"
        "  - {set: block2, stride: 2}\n"
        "  - {set: block1.act, type: leaky_relu, negative_slope: 0.1}\n"
        "  - {set: stem, stride: null, bias: false}\n",
    )
    assert values(net, "filters") == [5, 9, 9]
    assert values(net, "stride") == [None, (1, 1), (2, 2)]
    assert values(net, "bias") == [False, True, True]
    assert values(net, "negative_slope") == [0.1]


def test_set_what_repeats_and_what_is_left_out(tmp_path: Path) -> None:
    net = variant(tmp_path, "changes: [{set: block, repeat: 1}, {set: end, when: $(n > 9)}]\n")
    assert chain(net) == ["stem", "block1.conv", "block1.act"]
    net = variant(tmp_path, "auxiliary: []\nchanges: [{set: block, repeat: null}]\n")
    assert chain(net) == ["stem", "block.conv", "block.act", "end"]


def test_readers_of_what_is_removed_read_its_first_input(tmp_path: Path) -> None:
    files = {
        "v.yaml": "name: v\nextends: base.yaml\n"
        "changes: [{remove: join}, {replace: b, with: {name: c, type: tanh}}]\n",
        "base.yaml": "name: base\ninput: {channels: 3, height: 8, width: 8}\nlayers:\n"
        "  - {name: a, type: relu}\n"
        "  - {name: b, type: sigmoid}\n"
        "  - {name: join, type: add, inputs: [a, b]}\n"
        "  - {name: x, type: relu}\n"
        "  - {name: y, type: add, inputs: [join, x, b]}\n",
    }
    net = archspec.load(written(tmp_path, files))
    assert edges(net) == {"a": ("input",), "c": ("a",), "x": ("a",), "y": ("a", "x", "c")}


def test_levels(tmp_path: Path) -> None:
    files = {
        "c.yaml": "name: c\nextends: folder/b.yaml\nvariables: {n: 7}\n"
        "changes: [{set: x, type: sigmoid}, {remove: stem}, {set: block, filters: $deep}]\n",
        "folder/b.yaml": "name: b\nextends: a.yaml\nvariables: {deep: $(n * 3)}\nauxiliary: []\n"
        "changes: [{after: block1, insert: {name: x, type: tanh}}, {set: block, repeat: 3}]\n",
        "folder/a.yaml": BASE,
    }
    net = archspec.load(written(tmp_path, files))
    assert [n for n in chain(net) if "." not in n] == ["x", "end"]
    assert net.by_name["x"].layer.type == "sigmoid"
    assert values(net, "filters") == [21, 21, 21]


def test_a_shipped_spec(tmp_path: Path) -> None:
    text = "name: v\nextends: alexnet\nchanges: [{set: fc8, units: 10}]\n"
    net = archspec.load(written(tmp_path, {"v.yaml": text}))
    assert net.by_name["fc8"].layer.units == 10  # type: ignore[attr-defined]
    base = archspec.load("alexnet")
    assert [n.name for n in net.nodes] == [n.name for n in base.nodes]
    assert net.hash != base.hash


def test_many_changes_of_what_changes_bring_in(tmp_path: Path) -> None:
    changes = "".join(
        f"  - {{after: x{n}, insert: {{name: x{n + 1}, type: relu}}}}\n" for n in range(1000)
    )
    text = f"changes:\n  - {{after: end, insert: {{name: x0, type: relu}}}}\n{changes}"
    assert chain(variant(tmp_path, text))[-1] == "x1000"


def test_problems_lie_where_they_are_written(tmp_path: Path) -> None:
    files = {
        "v.yaml": "name: v\nextends: base.yaml\nvariables: {n: many}\n"
        "changes: [{after: stem, insert: {name: end, type: rellu}}]\n",
        "base.yaml": BASE.replace("kernel_size: 1,", "kernel_size: 1, padd: 2,"),
    }
    path = written(tmp_path, files)
    found = [(Path(d.file).name, d.code, d.line) for d in diagnostics(path)]
    # The base's wrong key, once; the variant's type, which is the first `end`; the base's second.
    assert ("base.yaml", "AS010", 13) in found
    assert ("v.yaml", "AS020", 5) in found
    assert ("base.yaml", "AS021", 18) in found
    assert ("base.yaml", "AS017", 17) in found
    by_code = {d.code: d for d in diagnostics(path)}
    assert f"on line 5 of {path}" in by_code["AS021"].message


def test_extends_in_a_circle(tmp_path: Path) -> None:
    files = {"a.yaml": "name: a\nextends: b.yaml\n", "b.yaml": "name: b\nextends: a.yaml\n"}
    (found,) = diagnostics(written(tmp_path, files))
    assert (found.code, Path(found.file).name, found.line, found.column) == (
        "AS018",
        "b.yaml",
        3,
        10,
    )
    assert found.message.endswith("circle: a.yaml -> b.yaml -> a.yaml")


def test_too_many_levels(tmp_path: Path) -> None:
    files = {f"s{n}.yaml": f"name: s\nextends: s{n + 1}.yaml\n" for n in range(30)}
    (found,) = diagnostics(written(tmp_path, files))
    assert found.code == "AS006"
    assert "more than 20 deep" in found.message


def test_what_the_base_would_have_brought_is_not_called_missing(tmp_path: Path) -> None:
    files = {
        "v.yaml": "name: v\nextends: b.yaml\nlayers: [{name: a, block: unit, n: $n}]\n",
        "b.yaml": "name: b\nextends: nothing.yaml\n",
    }
    (found,) = diagnostics(written(tmp_path, files))
    assert (found.code, Path(found.file).name, found.line) == ("AS001", "b.yaml", 3)


def test_what_a_change_brings_in_only_later_ones_change(tmp_path: Path) -> None:
    insert = "  - {after: stem, insert: {name: new, block: unit, filters: 4}}\n"
    late = variant(tmp_path, f"changes:\n{insert}  - {{set: new.conv, filters: 7}}\n")
    assert late.by_name["new.conv"].layer.model_dump()["filters"] == 7
    with pytest.raises(archspec.SpecError, match=r"no `new\.conv` to set"):
        variant(tmp_path, f"changes:\n  - {{set: new.conv, filters: 7}}\n{insert}")


def test_an_insertion_behind_one_round_leaves_the_changes_of_the_next(tmp_path: Path) -> None:
    net = variant(
        tmp_path,
        "changes:\n"
        "  - {set: block2, filters: 5}\n"
        "  - {after: block1, insert: {name: between, type: relu}}\n",
    )
    assert net.by_name["block2.conv"].layer.model_dump()["filters"] == 5
    assert net.by_name["block2.conv"].inputs == ("between",)
