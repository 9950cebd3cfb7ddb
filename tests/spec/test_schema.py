"""`archspec schema`: every good spec is valid, what the language refuses is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import archspec
from archspec import catalog, source
from archspec.layers import layer_types
from archspec.schema import DIALECT, json_schema
from archspec.spec.blocks import ENTRY_KEYS, Block
from archspec.spec.network import NetworkSpec

VALIDATOR = jsonschema.Draft202012Validator(json_schema())
CHANGES = ("set", "remove", "replace", "with", "before", "after", "insert")
HEAD: dict[str, Any] = {
    "archspec": 1,
    "name": "net",
    "input": {"channels": 3, "height": 8, "width": 8},
}


def conv(**changes: Any) -> dict[str, Any]:
    layer = {"name": "a", "type": "conv2d", "filters": 4, "kernel_size": 3, **changes}
    return {**HEAD, "layers": [{key: v for key, v in layer.items() if v is not ...}]}


def test_is_a_schema() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == DIALECT
    assert json.loads(json.dumps(schema)) == schema


def test_the_shipped_schema_is_what_the_command_prints() -> None:
    """Renewed with `archspec schema > specs/archspec.schema.json`."""
    shipped = catalog.folder() / "archspec.schema.json"
    assert json.loads(shipped.read_text("utf-8")) == json_schema()


@pytest.mark.parametrize("name", catalog.shipped())
def test_shipped_specs_are_valid(name: str) -> None:
    path = catalog.shipped()[name]
    VALIDATOR.validate(source.parse(path.read_text("utf-8"), path.name).root.data())


@pytest.mark.parametrize("name", layer_types())
def test_examples_of_the_layers_are_valid(name: str) -> None:
    assert layer_types()[name].examples
    for example in layer_types()[name].examples:
        layer = {"name": "layer1", "type": name, **example.fields}
        VALIDATOR.validate({**HEAD, "layers": [layer]})


@pytest.mark.parametrize(
    "changes",
    [
        {"filters": "$width"},
        {"kernel_size": ["$k", 3]},
        {"padding": "$padding"},
        {"padding": "same"},
        {"padding": [1, 2, 3, 4]},
        {"bias": "$bias"},
        {"rounding": "$rounding"},
        {"weight_init": "zeros"},
        {"weight_init": "$init"},
        {"weight_init": {"type": "normal", "std": "$std"}},
        {"stride": None},
        {"inputs": ["input"]},
    ],
    ids=str,
)
def test_valid(changes: dict[str, Any]) -> None:
    VALIDATOR.validate(conv(**changes))


@pytest.mark.parametrize(
    "spec",
    [
        None,
        [],
        {},
        HEAD,
        {**HEAD, "layers": []},
        {**HEAD, "layers": [{"name": "a", "type": "relu"}], "archspec": 2},
        {**HEAD, "layers": [{"name": "a", "type": "relu"}], "extra": 1},
        {**HEAD, "layers": [{"name": "a", "type": "relu"}], "name": "a b"},
        {**HEAD, "layers": [{"name": "a", "type": "relu"}], "input": {"channels": 3}},
        {**HEAD, "layers": [{"name": "a", "type": "relu"}], "variables": {"n": {"a": 1}}},
        {**HEAD, "layers": [{"name": "a", "type": "relu"}], "claims": [{"about": "a"}]},
        {
            **HEAD,
            "layers": [{"name": "a", "type": "relu"}],
            "claims": [{"about": "a", "params": 1, "macs": 1}],
        },
        {**HEAD, "layers": [{"name": "a", "type": "relu"}], "training": {"epochs": 1}},
        {**HEAD, "layers": [{"name": "a", "type": "reluu"}]},
        {**HEAD, "layers": [{"name": "a", "type": "relu", "filters": 3}]},
        {**HEAD, "layers": [{"type": "relu"}]},
        {**HEAD, "layers": [{"name": "a"}]},
        conv(strides=2),
        conv(filters=...),
        conv(filters=0),
        conv(filters="96"),
        conv(filters="$two words"),
        conv(kernel_size=[3, 3, 3]),
        conv(padding=[1, 2, 3]),
        conv(padding="full"),
        conv(bias="yes"),
        conv(rounding="up"),
        conv(name="__class__"),
        conv(name="1a"),
        conv(name="a" * 101),
        conv(weight_init="normal"),
        conv(weight_init={"type": "normal", "sdt": 0.1}),
        conv(weight_init={"mode": "fan_in"}),
        conv(weight_init={}),
    ],
    ids=lambda spec: str(spec)[-60:],
)
def test_invalid(spec: Any) -> None:
    assert not VALIDATOR.is_valid(spec)


RELU: dict[str, Any] = {"name": "a", "type": "relu"}
USE: dict[str, Any] = {"name": "a", "block": "unit"}
VARIANT: dict[str, Any] = {"archspec": 1, "name": "v", "extends": "alexnet"}
BLOCK: dict[str, Any] = {"layers": [RELU]}
RECIPE: dict[str, Any] = {"epochs": 1, "batch_size": 2}
# What a variant may say of a mapping whose other keys it takes from the spec that it extends.
PARTIAL: list[dict[str, Any]] = [
    {**VARIANT, **part}
    for part in (
        {"input": {"height": 259}},
        {"training": {"epochs": 5, "batch_size": 64}},
        {"training": {"optimizer": {"learning_rate": 0.1}}},
        {"training": {"optimizer": {"momentum": 0.5, "weight_decay": 0}, "epochs": 3}},
        {"training": {"schedule": {"factor": 0.5}}},
        {"training": {"schedule": {"type": "steps", "epochs": [3]}}},
        {"training": {"preprocessing": {"std": "data"}}},
        {"defaults": {"weight_init": {"std": 0.02}}},
        {"defaults": {"bias_init": "ones"}},
    )
]


def entry(**keys: Any) -> dict[str, Any]:
    return {**HEAD, "layers": [keys]}


def blocks(**keys: Any) -> dict[str, Any]:
    return {**HEAD, "layers": [USE], "blocks": {"unit": {**BLOCK, **keys}}}


@pytest.mark.parametrize(
    "spec",
    [
        conv(filters="$(width * 2)"),
        conv(filters="$(round_to(32 * width, 8))", kernel_size=["$(a)", 3]),
        conv(bias="$(not norm)", name="conv$(1 + 1)"),
        entry(**RELU, when=False),
        entry(**RELU, when="$(stride != 1)"),
        entry(**RELU, repeat=0),
        entry(**RELU, repeat="$n"),
        entry(**RELU, for_each="n", **{"in": [1, 2]}),
        entry(**RELU, for_each=["n", "m"], **{"in": [[1, 2], [3, 4]]}),
        entry(**RELU, for_each=["n"], **{"in": "$rows"}),
        entry(name="a", type="$act"),
        entry(**USE),
        entry(**USE, filters=3, kernel_size=[1, 3], act="relu", bias=False, rate=0.5, n="$n"),
        entry(**{**USE, "block": "mobile.unit"}, inputs=["input", "a.b"], repeat=2),
        entry(name="g", layers=[RELU, {"name": "h", "layers": [USE]}]),
        entry(name="g", layers=[RELU], inputs=["input"], repeat=3, when="$deep"),
        blocks(parameters={"filters": None, "stride": 1, "act": "relu", "sizes": [1, 2]}),
        blocks(inputs=["left", "right"], outputs=["a", "b.c"], description="two"),
        {**HEAD, "layers": [RELU], "variables": {"n": "$(2 * m)", "rows": [[1, 2], ["$n", 3]]}},
        {**HEAD, "layers": [RELU], "auxiliary": [{"layer": "a.b", "loss_weight": 0.3}]},
        {**HEAD, "layers": [RELU], "imports": {"mobile": "blocks/mobile.yaml"}},
        VARIANT,
        {**VARIANT, "variables": {"n": 1}, "input": {"height": 32}, "layers": [RELU]},
        *PARTIAL,
        {**VARIANT, "changes": [{"set": "conv1", "stride": 2, "bias": None}]},
        {**VARIANT, "changes": [{"remove": "stage2.block1.conv"}]},
        {**VARIANT, "changes": [{"replace": "a", "with": RELU}, {"replace": "b", "with": [RELU]}]},
        {**VARIANT, "changes": [{"after": "a", "insert": [RELU, USE]}]},
        {**VARIANT, "changes": [{"before": "a", "insert": {"name": "g", "layers": [RELU]}}]},
        {"archspec": 1, "blocks": {"unit": BLOCK}},
        {
            "archspec": 1,
            "blocks": {"unit": BLOCK},
            "variables": {"n": 1},
            "imports": {"m": "m.yaml"},
        },
    ],
    ids=lambda spec: str(spec)[-60:],
)
def test_valid_language(spec: dict[str, Any]) -> None:
    VALIDATOR.validate(spec)


@pytest.mark.parametrize(
    "spec",
    [
        entry(**RELU, when=1),
        entry(**RELU, when="yes"),
        entry(**RELU, repeat=-1),
        entry(**RELU, repeat=1.5),
        entry(**RELU, repeat="many"),
        entry(**RELU, for_each=[], **{"in": []}),
        entry(**RELU, for_each=["1"], **{"in": [1]}),
        entry(**RELU, for_each="n", **{"in": 3}),
        entry(block="unit"),
        entry(name="a", block=3),
        entry(**USE, type="relu"),
        entry(**USE, layers=[RELU]),
        entry(**USE, filters={"a": 1}),
        entry(name="g", layers=[]),
        entry(name="g", layers=RELU),
        entry(name="g", layers=[3]),
        entry(name="g", layers=[RELU], filters=3),
        entry(**RELU, layers=[RELU]),
        blocks(layers=[]),
        blocks(layers=[{"name": "a"}]),
        blocks(params={"n": 1}),
        blocks(parameters=["n"]),
        blocks(parameters={"n": {"a": 1}}),
        blocks(inputs=[]),
        blocks(outputs="a"),
        {**HEAD, "layers": [RELU], "blocks": {"unit": {}}},
        {**HEAD, "layers": [RELU], "imports": ["m.yaml"]},
        {**HEAD, "layers": [RELU], "auxiliary": [{"loss_weight": 0.3}]},
        {**HEAD, "layers": [RELU], "auxiliary": [{"layer": "a", "loss_weight": -1}]},
        {"archspec": 1, "extends": "alexnet"},
        {"archspec": 1, "name": "v"},
        {**VARIANT, "extends": ["alexnet"]},
        {**VARIANT, "input": {"hight": 32}},
        {**VARIANT, "training": {"epochs": "many"}},
        {**VARIANT, "training": {"optimizer": {"lr": 0.1}}},
        {**VARIANT, "training": {"optimizer": {"learning_rate": "fast"}}},
        {**VARIANT, "training": {"schedule": {"epoch": [3]}}},
        {**VARIANT, "training": {"parameters": [{"learning_rate": 2}]}},
        {**VARIANT, "defaults": {"weight_init": {"sdt": 0.1}}},
        {**HEAD, "layers": [RELU], "training": {**RECIPE, "optimizer": {"learning_rate": 0.1}}},
        {**HEAD, "layers": [RELU], "defaults": {"weight_init": {"std": 0.1}}},
        {**VARIANT, "changes": {"remove": "a"}},
        {**VARIANT, "changes": [{"set": "a"}]},
        {**VARIANT, "changes": [{"set": "a", "remove": "a"}, {"stride": 2}]},
        {**VARIANT, "changes": [{"remove": "a", "stride": 2}]},
        {**VARIANT, "changes": [{"replace": "a"}]},
        {**VARIANT, "changes": [{"replace": "a", "insert": RELU}]},
        {**VARIANT, "changes": [{"after": "a", "insert": 3}]},
        {**VARIANT, "changes": [{"after": 3, "insert": [RELU]}]},
    ],
    ids=lambda spec: str(spec)[-60:],
)
def test_invalid_language(spec: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(spec)


@pytest.mark.parametrize("spec", PARTIAL, ids=lambda spec: str(spec)[-60:])
def test_the_language_takes_what_the_schema_takes_of_a_variant(
    spec: dict[str, Any], tmp_path: Path
) -> None:
    """And what is not said is what the base says: the paper's momentum, for one."""
    path = tmp_path / "v.yaml"
    path.write_text(json.dumps({**spec, "claims": []}))
    graph = archspec.load(path)
    assert graph.spec.training is not None
    said = spec.get("training", {}).get("optimizer", {})
    assert graph.spec.training.optimizer.momentum == said.get("momentum", 0.9)


def properties(schema: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every property that a schema has anywhere, with what it says of it."""
    if isinstance(schema, dict):
        own = schema.get("properties")
        for key, value in own.items() if isinstance(own, dict) else ():
            yield f"{path}/{key}", value
        for key, part in schema.items():
            yield from properties(part, f"{path}/{key}")
    elif isinstance(schema, list):
        for number, part in enumerate(schema):
            yield from properties(part, f"{path}/{number}")


def test_every_key_has_a_description_for_people() -> None:
    """An editor shows it when the pointer rests on the key."""
    found = dict(properties(json_schema()))
    assert len(found) > 400
    without = [path for path, value in found.items() if not value.get("description", "").strip()]
    assert without == []
    assert not [path for path, value in found.items() if "Pydantic" in value["description"]]
    assert [*properties({"properties": {"a": {}}})] == [("/a", {})]


def test_descriptions_tell_defaults() -> None:
    conv = json_schema()["$defs"]["Conv2d"]["properties"]
    assert conv["padding"]["description"].endswith(" (default: 0)")
    assert conv["groups"]["description"].endswith(" (default: 1)")
    assert conv["bias"]["description"].endswith(" (default: true)")
    assert "default: 1, for a pool its kernel size" in conv["stride"]["description"]
    assert conv["filters"]["description"] == "output channels"


def names(schema: Any) -> set[str]:
    """Every property that a schema knows anywhere."""
    found: set[str] = set()
    if isinstance(schema, dict):
        properties = schema.get("properties")
        found |= set(properties) if isinstance(properties, dict) else set()
        schema = list(schema.values())
    for part in schema if isinstance(schema, list) else ():
        found |= names(part)
    return found


def test_knows_every_word_of_the_language() -> None:
    known = names(json_schema())
    assert known >= {*NetworkSpec.model_fields, *Block.model_fields, *ENTRY_KEYS, *CHANGES}


def test_describes_layers_and_fields() -> None:
    definitions = json_schema()["$defs"]
    for name, kind in layer_types().items():
        definition = definitions[kind.__name__]
        assert definition["properties"]["type"]["const"] == name
        assert definition["description"]
    assert "Pydantic" not in json.dumps(definitions)
    assert "odd" in definitions["LocalResponseNorm"]["properties"]["size"]["description"]
