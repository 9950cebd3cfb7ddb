"""The JSON of `analyze`: its keys, their types, and the page that documents them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from networks import heads

import archspec
from archspec import catalog
from archspec.report.export import to_json

PAGE = Path(__file__).parents[2] / "docs" / "json.md"

COUNTS = (
    "params",
    "trainable_params",
    "non_trainable_params",
    "macs",
    "flops",
    "backward_flops",
    "neurons",
    "connections",
    "activation_bytes",
)


def _document(spec: str = "alexnet", **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(to_json(archspec.analyze(spec, **options)))
    return found


def _documented() -> dict[str, list[str]]:
    """The keys of each section of the page, by its heading."""
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    return {
        section.splitlines()[0]: re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
        for section in sections
    }


def test_the_page_documents_every_key_in_order() -> None:
    document = _document("alexnet-224")
    error = document["diagnostics"][0]
    assert _documented() == {
        "The document": list(document),
        "A layer": list(document["layers"][0]),
        "The totals": list(document["totals"]),
        "The memory": list(document["memory"]),
        "A claim": list(document["claims"][0]),
        "A diagnostic": list(error),
        "A fix": list(error["fixes"][0]),
    }


@pytest.mark.parametrize("spec", sorted(catalog.shipped()))
def test_every_shipped_spec_has_the_same_keys_and_whole_numbers(spec: str) -> None:
    document = _document(spec)
    keys = _documented()
    assert list(document) == keys["The document"]
    assert document["schema_version"] == 1
    assert document["name"] == spec
    for layer in document["layers"]:
        assert list(layer) == keys["A layer"]
        assert all(type(layer[count]) is int for count in COUNTS)
        assert all(type(size) is int for size in layer["output_shape"])
        assert layer["receptive_field"] is None or layer["receptive_field"].keys() == {
            "size",
            "stride",
            "offset",
        }
        assert type(layer["line"]) is int
    for count, value in document["totals"].items():
        assert type(value) is int
        sums_layers = count not in ("neurons", "weight_bytes", "training_step_matmul_flops")
        if sums_layers:
            every = count == "backward_flops" or count.endswith("params")
            used = [layer for layer in document["layers"] if every or not layer["training_only"]]
            assert value == sum(layer[count] for layer in used)


def test_a_layer_of_alexnet() -> None:
    document = _document()
    conv1 = document["layers"][0]
    line, file = conv1.pop("line"), conv1.pop("file")
    path = catalog.shipped()["alexnet"]
    assert file == catalog.shown(path)
    assert "name: conv1" in path.read_text().splitlines()[line - 1]
    assert conv1 == {
        "name": "conv1",
        "type": "conv2d",
        "inputs": ["input"],
        "output_shape": [96, 55, 55],
        "formula": "(227 - 11 + 2*0)/4 + 1 = 55",
        "params": 34944,
        "trainable_params": 34944,
        "non_trainable_params": 0,
        "params_formula": "(11*11*3 + 1)*96 = 34944",
        "macs": 105415200,
        "macs_formula": "55*55*96*11*11*3 = 105415200",
        "flops": 2 * 105415200 + 290400,
        "backward_flops": 2 * 105415200,
        "neurons": 290400,
        "connections": 105705600,
        "activation_bytes": 4 * 290400,
        "receptive_field": {"size": [11, 11], "stride": [4, 4], "offset": [0, 0]},
        "training_only": False,
        "saved_bytes": 4 * 3 * 227 * 227,
    }
    assert document["input"] == [3, 227, 227]
    assert (document["batch"], document["totals"]["macs"]) == (1, 724406816)


def test_claims_and_diagnostics() -> None:
    document = _document("alexnet-224")
    (error,) = (d for d in document["diagnostics"] if d["severity"] == "error")
    assert (error["code"], error["severity"], error["layer"]) == ("AS101", "error", "conv1")
    assert [type(error[key]) for key in ("line", "column")] == [int, int]
    claims = {(c["about"], c["quantity"]): c for c in document["claims"]}
    assert claims["input", "shape"]["claimed"] == [3, 224, 224]
    assert claims["network", "neurons"]["claimed"] == 650000
    assert {c["verdict"] for c in document["claims"]} == {"holds", "contradicted"}


def test_counts_beyond_64_bits_stay_exact(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    path.write_text(
        "archspec: 1\nname: huge\n"
        "input: {channels: 2000000000, height: 2000000000, width: 2000000000}\n"
        "layers:\n  - {name: conv, type: conv2d, filters: 2000000000, kernel_size: 1}\n"
    )
    (layer,) = _document(str(path))["layers"]
    assert layer["macs"] == 2000000000**4
    assert layer["params"] == 2000000001 * 2000000000


def test_a_branch_has_its_inputs(tmp_path: Path) -> None:
    path = tmp_path / "branch.yaml"
    path.write_text(
        "archspec: 1\nname: branch\ninput: {channels: 1, height: 4, width: 4}\nlayers:\n"
        "  - {name: a, type: relu}\n  - {name: b, type: add, inputs: [a, input]}\n"
    )
    assert _document(str(path))["layers"][1]["inputs"] == ["a", "input"]


def test_auxiliary_outputs_are_listed() -> None:
    document: dict[str, Any] = json.loads(to_json(archspec.analyze(heads())))
    assert document["auxiliary"] == [
        {"layer": "aux1.fc", "loss_weight": 0.3},
        {"layer": "aux2.fc", "loss_weight": 0.5},
        {"layer": "early", "loss_weight": 1.0},
    ]
    assert _document()["auxiliary"] == []
