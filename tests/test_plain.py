"""`archspec expand`: a plain spec that is the same network, and expands to itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import archspec
from archspec import catalog
from archspec.graph import Graph
from archspec.plain import plain_spec

HEAD = "archspec: 1\nname: net\ninput: {channels: 4, height: 9, width: 9}\n"
SPECS: dict[str, str] = {
    "blocks": HEAD
    + """\
title: "$$(n) costs $(n)$: a 'title'"
description: $$n
source: "1e5"
variables: {n: 4, rows: [[4, 1], [6, 2]]}
defaults: {weight_init: {type: kaiming_normal, mode: fan_out}, rounding: floor}
blocks:
  unit:
    parameters: {filters, stride: 1, bias: false}
    outputs: [act, conv]
    layers:
      - {name: conv, type: conv2d, filters: $filters, kernel_size: [3, 1], padding: [1, 0],
         stride: $stride, bias: $bias}
      - {name: act, type: leaky_relu, negative_slope: $(1 / 3)}
layers:
  - {name: stage, for_each: [f, s], in: $rows, layers: [
     {name: u, block: unit, filters: $f, stride: $s}]}
  - {name: skip, type: relu, when: false, inputs: [stage1]}
  - {name: left, type: conv2d, filters: 6, kernel_size: 1, stride: 2, inputs: [skip],
     weight_init: {type: normal, std: 1e-2}, bias_init: ones}
  - {name: aux, block: unit, filters: 2, bias: true, ignore: [{code: AS209, reason: several}]}
  - {name: join, type: add, inputs: [left, stage2.u.conv, stage2.u]}
  - {name: norm, type: batch_norm, eps: 1e-5, decay: 0.9}
  - {name: pool, type: global_avg_pool2d}
  - {name: fc, type: dense, units: $(n + 1)}
auxiliary: [{layer: aux, loss_weight: 0.25}]
claims:
  - {about: stage2.u.conv, params: 72, source: a test}
  - {about: network, params: 1000, tolerance: 0.5,
     ignore: [{code: AS301, reason: "a test: $(n)"}]}
  - {about: input, shape: [4, 9, 9]}
training:
  epochs: 3
  batch_size: 8
  optimizer: {type: sgd, learning_rate: 0.01}
  parameters: [{match: "stage*.bias", learning_rate: 2}]
  ignore: [{code: AS501, reason: training}]
ignore: [{code: AS114, reason: everywhere, about: [left, stage*]}]
""",
    "the output stands above": HEAD
    + """\
layers:
  - {name: end, type: add, inputs: [a, b]}
  - {name: a, type: relu, inputs: [input]}
  - {name: b, type: sigmoid}
  - {name: out, type: tanh, inputs: [end]}
""",
    "odd values": HEAD
    + """\
layers:
  - {name: a, type: conv2d, filters: 4, kernel_size: [1, 2], stride: [2, 1], rounding: ceil,
     padding: [1, 1, 0, 1], dilation: 2, groups: 2, trainable: false}
  - {name: b, type: max_pool2d, kernel_size: 2, padding: same, rounding: floor}
  - {name: c, type: dropout, rate: 1e-7, scaling: at_inference}
  - {name: d, type: softmax}
""",
}


def same(one: Graph, other: Graph) -> None:
    assert other.hash == one.hash
    assert other.input_shape == one.input_shape
    assert other.output == one.output
    assert other.auxiliary == one.auxiliary
    assert other.spec.training == one.spec.training
    assert (other.spec.title, other.spec.description) == (one.spec.title, one.spec.description)
    assert document(other) == document(one)


def document(graph: Graph) -> dict[str, Any]:
    """The analysis without what depends on how and where in the file things are said."""
    found = archspec.analyze(graph).to_json()
    for layer in found["layers"]:
        for place in ("file", "line", "column", "used_at"):
            layer.pop(place, None)
    for claim in found["claims"]:
        del claim["about"]  # one about a whole block names the layer that is its output
        del claim["line"]
    found["layers"] = sorted(found["layers"], key=lambda layer: layer["name"])
    # What is wrong with a line of a block is said once, however often it is used.
    # What a file declares, or calls meant, and does not need is told of that file alone.
    told = {d["code"] for d in found["diagnostics"]}
    found["diagnostics"] = sorted(code for code in told if not code.startswith("AS03"))
    found["silenced"] = sorted({(d["code"], d["reason"]) for d in found["silenced"]})
    return found


def loaded(folder: Path, text: str, **options: Any) -> Graph:
    path = folder / "net.yaml"
    path.write_text(text, "utf-8")
    return archspec.load(path, **options)


@pytest.mark.parametrize("name", SPECS)
def test_a_plain_spec_is_the_same_network(name: str, tmp_path: Path) -> None:
    graph = loaded(tmp_path, SPECS[name])
    text = plain_spec(graph)
    again = loaded(tmp_path, text)
    same(graph, again)
    assert plain_spec(again) == text
    for word in ("blocks", "variables", "for_each", "repeat", "when", "block:"):
        assert word not in text


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if place % 8 else ())
        for place, name in enumerate(catalog.shipped())
    ],
)
def test_shipped_specs(name: str, tmp_path: Path) -> None:
    graph = archspec.load(name)
    text = plain_spec(graph)
    again = loaded(tmp_path, text)
    same(graph, again)
    assert plain_spec(again) == text


def test_variables_and_the_input_are_filled_in(tmp_path: Path) -> None:
    graph = loaded(tmp_path, SPECS["blocks"], n=9, rows=[[3, 2]] * 2, input="5x12x10")
    again = loaded(tmp_path, plain_spec(graph))
    same(graph, again)
    assert again.input_shape == (5, 12, 10)
    assert again.by_name["fc"].layer.units == 10  # type: ignore[attr-defined]
    assert again.title == "$(n) costs 9$: a 'title'"
    assert again.spec.description == "$n"


def test_a_variant(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(SPECS["blocks"], "utf-8")
    variant = "archspec: 1\nname: v\nextends: base.yaml\nchanges:\n"
    variant += "  - {set: stage2.u.act, negative_slope: 0.5}\n  - {remove: norm}\n"
    graph = loaded(tmp_path, variant)
    text = plain_spec(graph)
    assert "extends" not in text
    same(graph, loaded(tmp_path, text))
