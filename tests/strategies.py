"""Layers of any registered type as hypothesis strategies, made from the types of their fields.

What a field may hold is read from its JSON Schema, which Pydantic derives from the annotation and
`archspec schema` gives to editors. Which input shapes a drawn layer takes is asked of the layer,
and whether the result is a network of the analysis. So a layer type of a plug-in is drawn as
archspec's own are, and no test lists the options of any.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from hypothesis import strategies as st
from networks import layer, parsed
from pydantic import ValidationError

import archspec
from archspec.diagnostics import ProblemsFound
from archspec.graph import Graph
from archspec.layers import layer_types
from archspec.layers.base import Layer, Shape

Schema = Mapping[str, Any]

# Every input is cut from one image, by a convolution of its own.
IMAGE = (2, 8, 8)
MAPS: list[Shape] = sorted(itertools.product((1, 2, 3, 4, 6, 8), *[range(1, 9)] * 2), key=math.prod)
VECTORS: list[Shape] = [(features,) for features in range(1, 25)]

# Whole numbers are drawn from the least allowed one to this much above it.
SPREAD = 5
# Numbers are drawn in thousandths: most of them are no binary fractions, so that a constant which
# a framework rounds to float32 shows.
UNIT = 1000
REACH = 2.0

# How often values are drawn for one layer before it is left out.
ATTEMPTS = 12
LEFT_OUT = "left out"
# The least number of layers side by side: sizes and numbers differ among them.
LEAST = 6


@dataclass(frozen=True)
class Drawn:
    """A layer as a spec has it, the shapes it reads, and which option of each field it uses."""

    kind: str
    fields: Mapping[str, Any]
    inputs: tuple[Shape, ...]
    options: Mapping[str, str]

    @property
    def layer(self) -> Layer:
        """The layer as archspec reads it: with defaults, and every short form resolved."""
        return network([self]).by_name["layer0"].layer


@dataclass(frozen=True)
class Option:
    """One way to fill a field: its schema, with a label that tells it from the others."""

    label: str
    schema: Schema | None  # None: the field is left out


@cache
def options(kind: str) -> Mapping[str, Sequence[Option]]:
    """The options of every field that belongs to the layer type itself."""
    cls = layer_types()[kind]
    schema = cls.model_json_schema()
    found = {}
    for name, field in cls.model_fields.items():
        if name in Layer.model_fields:
            continue
        every = list(_alternatives(schema["properties"][name], schema.get("$defs", {})))
        if not field.is_required():
            every.insert(0, Option(LEFT_OUT, None))
        labels = [option.label for option in every]
        assert len(set(labels)) == len(labels), f"{kind}.{name}: {labels}"
        found[name] = every
    return found


def _alternatives(schema: Schema, definitions: Mapping[str, Schema]) -> Iterator[Option]:
    """The branches of unions and the values of enumerations; null is the field left out."""
    if "$ref" in schema:
        yield from _alternatives(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    elif branches := schema.get("anyOf") or schema.get("oneOf"):
        for branch in branches:
            yield from _alternatives(branch, definitions)
    elif "enum" in schema or "const" in schema:
        for value in schema.get("enum", [schema.get("const")]):
            yield Option(repr(value), {"const": value})
    elif schema["type"] == "boolean":
        yield Option("true", {"const": True})
        yield Option("false", {"const": False})
    elif schema["type"] == "array" and "items" in schema:
        least = schema.get("minItems", 0)
        for count in range(least, schema.get("maxItems", least + SPREAD) + 1):
            yield Option(f"{count} items", {**schema, "minItems": count, "maxItems": count})
    elif schema["type"] == "object":
        inside = {key: _inlined(value, definitions) for key, value in schema["properties"].items()}
        yield Option(schema["title"], {**schema, "properties": inside})
    elif schema["type"] != "null":
        yield Option(schema["type"], schema)


def _inlined(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    return {"anyOf": [option.schema for option in _alternatives(schema, definitions)]}


def values(schema: Schema) -> st.SearchStrategy[Any]:
    """Everything of a schema without references."""
    if "anyOf" in schema:
        return st.one_of([values(branch) for branch in schema["anyOf"]])
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case "integer":
            least = schema.get("exclusiveMinimum", schema.get("minimum", 1) - 1) + 1
            return st.integers(least, min(least + SPREAD, schema.get("maximum", math.inf)))
        case "number":
            return _numbers(schema)
        case "array":
            if "prefixItems" in schema:
                every = [values(item) for item in schema["prefixItems"]]
                return st.tuples(*every).map(list)
            return st.lists(
                values(schema["items"]),
                min_size=schema["minItems"],
                max_size=schema["maxItems"],
                unique=schema.get("uniqueItems", False),
            )
        case "object":
            required = schema.get("required", [])
            keys = {key: values(value) for key, value in schema["properties"].items()}
            return st.fixed_dictionaries({key: keys.pop(key) for key in required}, optional=keys)
    raise AssertionError(f"no strategy for {schema}: the field's type must say more in its schema")


def _numbers(schema: Schema) -> st.SearchStrategy[float]:
    least, most = schema.get("minimum", -REACH), schema.get("maximum", math.inf)
    least = schema.get("exclusiveMinimum", least)
    most = min(schema.get("exclusiveMaximum", most), max(least, 0) + REACH)
    above, below = "exclusiveMinimum" in schema, schema.get("exclusiveMaximum") == most
    first, last = math.ceil(least * UNIT) + above, math.floor(most * UNIT) - below
    return st.integers(first, last).map(lambda number: number / UNIT)


@st.composite
def layers(draw: st.DrawFn, kind: str, wanted: Mapping[str, Option] | None = None) -> Drawn | None:
    """A layer of that type that some input fits, using the `wanted` options of its fields.

    The wanted options may exclude one another; then others are drawn. None where nothing was found.
    """
    for attempt in range(2 * ATTEMPTS):
        chosen = {
            name: wanted[name] if wanted and attempt < ATTEMPTS else draw(st.sampled_from(every))
            for name, every in options(kind).items()
        }
        fields = {
            name: draw(values(option.schema))
            for name, option in chosen.items()
            if option.schema is not None
        }
        shapes = draw(st.permutations([MAPS, VECTORS]))
        others = draw(_others(kind))
        fitting = candidates(kind, fields, shapes[0], others) or candidates(
            kind, fields, shapes[1], others
        )
        if not fitting:
            continue
        labels = {name: option.label for name, option in chosen.items()}
        drawn = Drawn(kind, fields, draw(st.sampled_from(fitting)), labels)
        if accepted([drawn]):
            return drawn
    return None


Follows = Callable[[Shape], Shape]


def alike(shape: Shape) -> Shape:
    """An input like the first one."""
    return shape


def wider(shape: Shape) -> Shape:
    """One with other channels."""
    return (shape[0] + 1, *shape[1:])


def one_each(shape: Shape) -> Shape:
    """One with a single number for each channel."""
    return (shape[0], *(1 for _ in shape[1:]))


def _others(kind: str) -> st.SearchStrategy[list[Follows]]:
    """How the shapes of further inputs follow from the first, as many as the layer may read."""
    least, most = layer_types()[kind].arity
    most = least + 1 if most is None else most
    every = st.sampled_from([alike, wider, one_each])
    return st.lists(every, min_size=least - 1, max_size=most - 1)


def candidates(
    kind: str, fields: Mapping[str, Any], shapes: Sequence[Shape], others: Sequence[Follows]
) -> list[tuple[Shape, ...]]:
    """The inputs, the first of one of these shapes, that the layer's own rules take."""
    entry = layer("layer", kind, *(f"input{i}" for i in range(1 + len(others))), **fields)
    try:
        made = layer_types()[kind].model_validate(entry)
    except ValidationError:
        return []
    found = []
    for shape in shapes:
        inputs = (shape, *(other(shape) for other in others))
        try:
            inferred = made.infer(inputs)
        except ProblemsFound:
            continue
        if not inferred.problems:
            found.append(inputs)
    return found


@st.composite
def coverings(draw: st.DrawFn, kind: str) -> list[Drawn]:
    """Layers of one type which together use every option of every field, as far as they fit.

    Each may be missing, so that a network that fails shrinks to the layers that make it fail.
    """
    every = options(kind)
    orders = {name: draw(st.permutations(list(choices))) for name, choices in every.items()}
    found = []
    for number in range(max([LEAST, *map(len, orders.values())])):
        wanted = {name: order[number % len(order)] for name, order in orders.items()}
        if draw(st.integers(0, 15)):
            drawn = draw(layers(kind, wanted))
            found += [] if drawn is None else [drawn]
    return found


def network(drawn: Sequence[Drawn]) -> Graph:
    """The drawn layers side by side: `layer0`, `layer1`, ... .

    Before each input of each stands a convolution (`stem0_0`, ...) whose kernel leaves a map of the
    wanted size, so that gradients flow through the layers. All outputs are joined behind them.
    """
    entries, ends = [], []
    for number, one in enumerate(drawn):
        inputs = []
        for place, shape in enumerate(one.inputs):
            name, (rows, columns) = f"stem{number}_{place}", shape[1:] or (1, 1)
            kernel = [IMAGE[1] - rows + 1, IMAGE[2] - columns + 1]
            entries.append(layer(name, "conv2d", "input", filters=shape[0], kernel_size=kernel))
            if len(shape) == 1:
                entries.append(layer(f"{name}_flat", "flatten"))
            inputs.append(entries[-1]["name"])
        entries.append(layer(f"layer{number}", one.kind, *inputs, **one.fields))
        if len(drawn) > 1:
            entries.append(layer(f"end{number}", "flatten"))
            ends.append(entries[-1]["name"])
    if ends:
        entries.append(layer("all", "concat", *ends))
    return parsed(entries, IMAGE)


def accepted(drawn: Sequence[Drawn]) -> bool:
    """Whether archspec finds no error in the network of these layers, and something to compare.

    Where it warns of a norm of one number, the output is 0 but for what rounding leaves of it.
    """
    found = archspec.analyze(network(drawn))
    return not found.has_errors and all(d.name != "norm-of-one" for d in found.diagnostics)
