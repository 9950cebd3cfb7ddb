"""The JSON Schema of the language, for editors and for programs that write specs."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from archspec.layers import layer_types
from archspec.spec.blocks import BlockUse, Group
from archspec.spec.claims import QUANTITIES
from archspec.spec.fields import NAME_PATTERN
from archspec.spec.ignore import ABOUT_IGNORE
from archspec.spec.initializers import AnyInitializer
from archspec.spec.network import NetworkSpec
from archspec.spec.places import models, tag

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_REFERENCE: Schema = {"$ref": "#/$defs/Variable"}
_VARIABLE: Schema = {
    "description": "`$name` stands for the value of a variable, `$(...)` for that of an expression",
    "type": "string",
    "pattern": r"^\$[A-Za-z_][A-Za-z0-9_]*$|\$\(",
}
_IGNORE: Schema = {"$ref": "#/$defs/Ignore"}
_ENTRY: Schema = {"$ref": "#/$defs/Entry"}
_ENTRIES: Schema = {"anyOf": [_ENTRY, {"type": "array", "items": _ENTRY, "minItems": 1}]}
_NAME: Schema = {"type": "string", "pattern": f"^{NAME_PATTERN}$"}
_PARAMETER: Schema = {
    "description": "the value of one of the block's parameters",
    "type": ["integer", "number", "boolean", "string", "array"],
}
# What an entry of a list of layers may have beside its own keys.
_BESIDE: Schema = {
    "when": {
        "description": "where this is false, the entry is left out: it hands on its first input",
        "anyOf": [{"type": "boolean"}, _REFERENCE],
    },
    "repeat": {
        "description": "how often; the name gets the number, which is `$index`",
        "anyOf": [{"type": "integer", "minimum": 0}, _REFERENCE],
    },
    "for_each": {
        "description": "names for the values of each row of `in`",
        "anyOf": [_NAME, {"type": "array", "items": _NAME, "minItems": 1}],
    },
    "in": {
        "description": "the rows: one repetition each",
        "anyOf": [{"type": "array"}, _REFERENCE],
    },
    "ignore": {"description": ABOUT_IGNORE, "type": "array", "items": _IGNORE},
}
_LAYER_OF_ANY_TYPE: Schema = {
    "description": "a layer whose type is the value of a variable",
    "type": "object",
    "properties": {"name": {"type": "string"}, "type": _REFERENCE},
    "required": ["name", "type"],
}


def _change(verb: str, about: str, *companions: str) -> Schema:
    properties: Schema = {verb: {"type": "string", "description": about}}
    properties |= dict.fromkeys(companions, _ENTRIES)
    fields: Schema = {"minProperties": 2, "additionalProperties": True}
    strict: Schema = {"additionalProperties": False}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        **(fields if verb == "set" else strict),
    }


_CHANGE: Schema = {
    "description": "one change to the layers of the spec that is extended",
    "oneOf": [
        _change("set", "a layer or block whose fields are set to the others of this mapping"),
        _change("remove", "a layer or block to leave out; its readers read its first input"),
        _change("replace", "a layer or block, and what stands in its place", "with"),
        _change("before", "a layer or block to insert others before", "insert"),
        _change("after", "a layer or block to insert others behind", "insert"),
    ],
}
_SCALARS = ("integer", "number", "boolean", "string")
_KEPT_OUTSIDE = ("description", "default")


def json_schema() -> Schema:
    """The JSON Schema (draft 2020-12) of a spec file.

    A scalar may everywhere be a variable instead, except where the schema needs the word itself
    to tell what the rest must be: `type` and `archspec`.
    """
    types = layer_types().values()
    entries: list[type[BaseModel]] = [*types, BlockUse, Group]
    every: list[type[BaseModel]] = [NetworkSpec, *entries]
    references, generated = models_json_schema([(model, "validation") for model in every])
    definitions = {name: _model(schema) for name, schema in generated["$defs"].items()}
    network = definitions.pop(NetworkSpec.__name__)
    definitions["Entry"] = {
        "description": "an entry of a list of layers: a layer, a use of a block, or a group",
        "oneOf": [
            *(references[model, "validation"] for model in entries),
            {"$ref": "#/$defs/LayerOfAnyType"},
        ],
    }
    definitions["LayerOfAnyType"] = _LAYER_OF_ANY_TYPE
    definitions["Change"] = _CHANGE
    definitions["BlockUse"]["additionalProperties"] = _PARAMETER
    definitions["BlockUse"]["not"] = {"anyOf": [{"required": ["type"]}, {"required": ["layers"]}]}
    for model in entries:  # Pydantic's names: of two classes with one name, longer ones
        name = references[model, "validation"]["$ref"].rpartition("/")[2]
        definitions[name]["properties"] |= _BESIDE
    for lists in (network, definitions["Block"], definitions["Group"]):
        lists["properties"]["layers"]["items"] = _ENTRY
    network["properties"]["changes"]["items"] = {"$ref": "#/$defs/Change"}
    # What is missing may come from the spec that is extended, or the file may only be imported.
    network["required"] = ["archspec"]
    network["anyOf"] = [
        {"required": ["name", "input", "layers"]},
        {"required": ["name", "extends"]},
        {"required": ["blocks"]},
    ]
    network |= _whole_unless_extended(network["properties"], definitions)
    definitions["Claim"]["oneOf"] = [{"required": [*_beside(q), q]} for q in QUANTITIES]
    return {
        "$schema": DIALECT,
        "title": "archspec",
        **network,
        "$defs": {"Variable": _VARIABLE, **definitions},
    }


def _beside(quantity: str) -> tuple[str, ...]:
    """What a claim must say beside its quantity: what it is about, or what arithmetic gives."""
    return ("claimed",) if quantity == "formula" else ("about",)


def _whole_unless_extended(properties: Schema, definitions: Schema) -> Schema:
    """Lets the mappings of a variant say only what differs; the others must be complete."""
    whole: Schema = {}
    for key, name in (("input", "InputShape"), ("training", "Recipe")):
        whole[key] = properties[key]
        part = {word: v for word, v in definitions[name].items() if word != "required"}
        properties[key] = {word: v for word, v in properties[key].items() if word in _KEPT_OUTSIDE}
        properties[key] |= part
        if "default" in properties[key]:  # it may be left empty
            properties[key]["type"] = ["object", "null"]
    return {"if": {"not": {"required": ["extends"]}}, "then": {"properties": whole}}


def _model(schema: Schema) -> Schema:
    """A mapping of the language: without Pydantic's titles, `type` always required."""
    properties = {
        key: _tag(value) if key in ("type", "archspec") else _value(value)
        for key, value in schema["properties"].items()
    }
    required = [key for key in properties if key in schema.get("required", ()) or key == "type"]
    return {
        "type": "object",
        "description": schema["description"],
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _tag(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key not in ("title", "default")}


def _value(schema: Schema) -> Schema:
    """The value of a key, or a variable where that can be a scalar."""
    about = {key: schema[key] for key in _KEPT_OUTSIDE if key in schema}
    options = _options(schema)
    if any(_is_scalar(option) for option in options):
        options.append(_REFERENCE)
    return {**about, **options[0]} if len(options) == 1 else {**about, "anyOf": options}


def _options(schema: Schema) -> list[Schema]:
    """What a value may be, one schema for each form of it."""
    if "anyOf" in schema:
        return [option for member in schema["anyOf"] for option in _options(member)]
    if "oneOf" in schema:
        tags = set(schema["discriminator"]["mapping"])
        return [*_short_forms(tags), *schema["oneOf"]]
    bare = {key: v for key, v in schema.items() if key not in (*_KEPT_OUTSIDE, "title")}
    if "items" in bare:
        bare["items"] = _value(bare["items"])
    return [bare]


def _short_forms(tags: set[str]) -> list[Schema]:
    """An initialiser that needs no argument may be its name alone."""
    initializers = models(AnyInitializer)
    if tags != {tag(model) for model in initializers}:
        return []
    fields = {tag(model): model.model_fields for model in initializers}
    bare = [
        name
        for name, own in fields.items()
        if not any(field.is_required() for key, field in own.items() if key != "type")
    ]
    return [{"enum": bare}]


def _is_scalar(schema: Schema) -> bool:
    """Whether a variable could stand there, and the schema would not allow it anyway."""
    any_text = schema.get("type") == "string" and not {"pattern", "enum", "const"} & set(schema)
    return (schema.get("type") in _SCALARS or "enum" in schema) and not any_text
