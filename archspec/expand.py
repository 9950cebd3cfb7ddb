"""From a parsed document to a graph: variables filled in, layers validated, edges explicit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from archspec import variables as variable
from archspec.diagnostics import Problem, ProblemsFound, listing, shortened
from archspec.edges import Written, connect
from archspec.graph import Graph
from archspec.layers import layer_types
from archspec.layers.base import Layer
from archspec.source import Document, Node, Problems
from archspec.spec.fields import INPUT, LayerName, SpecModel
from archspec.spec.foreign_names import suggest_layer_type
from archspec.spec.network import Defaults, NetworkSpec
from archspec.spec.reading import read, shown

Value = variable.Value


# Words that a claim uses for something that is no layer.
RESERVED = (INPUT, "network")


class _AnyLayer(SpecModel):
    """The keys of a layer whose type is missing or unknown."""

    name: LayerName
    type: Any
    inputs: Annotated[tuple[LayerName, ...] | None, Field(strict=False)] = None


def expand(document: Document, overrides: Mapping[str, Value] | None = None) -> Graph:
    """The graph that a document describes; `overrides` replace the values of its variables.

    Raises ProblemsFound with every problem of the text, of the document as a whole, of its
    layers and of the edges between them. One that only follows from another is left out.
    """
    problems = Problems(list(document.problems))
    values = variable.values(document.root, overrides or {}, problems)
    root = variable.fill(document.root, values, problems)
    spec, found = read(NetworkSpec, root, "the spec")
    problems.extend(found)
    layers = _layers(root.get("layers"), spec.defaults if spec else Defaults(), problems)
    auxiliary = spec.auxiliary if spec else ()
    nodes = connect(layers, [a.layer for a in auxiliary], root, problems)
    if spec is None or problems:
        raise ProblemsFound(problems.found)
    shape = (spec.input.channels, spec.input.height, spec.input.width)
    document = Document(document.file, document.lines, root)
    filled = {name: value for name, value in (values or {}).items() if value is not None}
    return Graph(spec, shape, nodes, layers[-1].name, document, filled, auxiliary)


def _layers(section: Node | None, defaults: Defaults, problems: Problems) -> list[Written]:
    """Every entry of the list of layers."""
    layers: list[Written] = []
    lines: dict[str, int] = {}
    for index, node in enumerate((section.items if section else None) or []):
        layer = _layer(node, index, problems)
        name = _free_name(node.get("name"), lines, problems)
        if name is None:
            name, layer = f"layer {index + 1}", None
        elif layer is not None:
            layer = _with_defaults(layer, defaults)
        layers.append(Written(node, index, name, layer))
    return layers


def _free_name(node: Node | None, lines: dict[str, int], problems: Problems) -> str | None:
    """The name of a layer, or None where it has none of its own; `lines` holds those taken."""
    if node is None or node.broken or not isinstance(node.value, str):
        return None
    name = node.value
    if name in RESERVED:
        message = f"a layer cannot be called `{name}`: the word has a meaning of its own"
        help_ = f"choose another name, such as `{name}_layer`"
        problems.add(Problem("invalid-name", message, help_, span=node.span))
        return None
    if name in lines:
        message = f"a second layer is called `{shortened(name)}`; the first is on line"
        help_ = "give each layer a name of its own"
        problems.add(Problem("duplicate-layer", f"{message} {lines[name]}", help_, span=node.span))
        return None
    lines[name] = node.span.line
    return name


def _layer(node: Node, index: int, problems: Problems) -> Layer | None:
    """The layer of one entry, or None where something is wrong with it."""
    what = f"layer {index + 1}"
    if node.entries is None:
        if not node.broken:
            message = f"{what} must be a mapping, not {shown(node)}"
            help_ = "write `{name: conv1, type: conv2d, ...}`"
            problems.add(Problem("wrong-type", message, help_, span=node.span))
        return None
    name, kind = node.get("name"), node.get("type")
    if name is not None and isinstance(name.value, str):
        what = f"layer `{shortened(name.value)}`"
    known = layer_types()
    if kind is not None and kind.value in known and not kind.broken:
        layer, found = read(known[kind.value], node, what)
        problems.extend(found)
        return layer
    # What a layer of any type has can be checked all the same.
    common = {key: e for key, e in node.entries.items() if key in _AnyLayer.model_fields}
    _, found = read(_AnyLayer, replace(node, entries=common), what)
    problems.extend(found)
    if kind is not None and not kind.broken:
        problems.add(_unknown_type(kind, what))
    return None


def _unknown_type(kind: Node, what: str) -> Problem:
    known = layer_types()
    span = kind.span
    if not isinstance(kind.value, str):
        message = f"`type` of {what} must be the name of a layer type, not {shown(kind)}"
        return Problem("wrong-type", message, f"the types are {listing(known)}", span=span)
    message = f"{what} has the type `{shortened(kind.value)}`, which does not exist"
    help_ = suggest_layer_type(kind.value, known) or f"the types are {listing(known)}"
    return Problem("unknown-layer-type", message, help_, span=span)


def _with_defaults(layer: Layer, defaults: Defaults) -> Layer:
    """The layer with the network's defaults for the fields that it leaves open."""
    inherited = {
        name: getattr(defaults, name)
        for name in Defaults.model_fields
        if name in type(layer).model_fields and getattr(layer, name) is None
    }
    return layer.model_copy(update=inherited) if inherited else layer
