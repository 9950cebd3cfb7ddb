"""`archspec schema`: every good spec is valid, what the language refuses is not."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from archspec import catalog, source
from archspec.layers import layer_types
from archspec.schema import DIALECT, json_schema

VALIDATOR = jsonschema.Draft202012Validator(json_schema())
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


def test_describes_layers_and_fields() -> None:
    definitions = json_schema()["$defs"]
    for name, kind in layer_types().items():
        definition = definitions[kind.__name__]
        assert definition["properties"]["type"]["const"] == name
        assert definition["description"]
    assert "Pydantic" not in json.dumps(definitions)
    assert "odd" in definitions["LocalResponseNorm"]["properties"]["size"]["description"]
