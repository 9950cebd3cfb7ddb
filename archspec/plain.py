"""A graph as a plain spec: every variable filled in, every block unrolled, nothing to look up."""

from __future__ import annotations

import re
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from archspec.graph import Graph, Node
from archspec.layers.base import Layer
from archspec.spec.fields import INPUT, Padding, Size2d
from archspec.spec.network import Defaults
from archspec.spec.recipe import Recipe

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*([.-][A-Za-z0-9_]+)*")
_REFERENCE = re.compile(r"\$+[A-Za-z_][A-Za-z0-9_]*")
_Base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def plain_spec(graph: Graph, recipe: Recipe | None = None) -> str:
    """The text of a spec that needs no other file and analyses like the graph.

    One line a layer; what is as the language's defaults have it is left out. `recipe` replaces
    the one of the spec.
    """
    spec = graph.spec
    channels, height, width = graph.input_shape
    recipe = recipe or spec.training
    sections: list[tuple[str, Any]] = [
        ("archspec", 1),
        ("name", spec.name),
        ("title", spec.title),
        ("description", spec.description),
        ("source", spec.source),
        ("input", {"channels": channels, "height": height, "width": width}),
        ("defaults", _said(spec.defaults)),
    ]
    text = "".join(_section(key, value) for key, value in sections)
    own, several = _ignored(graph)
    text += "layers:\n" + "".join(_entry(layer) for layer in _layers(graph, own))
    auxiliary = [output.model_dump(mode="json") for output in graph.auxiliary]
    lists = (("auxiliary", auxiliary), ("claims", _claims(graph)), ("ignore", several))
    for key, rows in lists:
        if rows:
            text += f"{key}:\n" + "".join(_entry(row) for row in rows)
    if recipe is not None:
        training = recipe.model_dump(mode="json", exclude_none=True)
        if not recipe.ignore:
            del training["ignore"]
        if not recipe.augmentation.changes:
            del training["augmentation"]
        text += _dump({"training": training}, False)
    return text


def _ignored(graph: Graph) -> tuple[dict[str, list[dict[str, Any]]], list[dict[str, Any]]]:
    """What single layers call meant, by their names, and what is said of several or of all.

    An entry that has become many layers stays one: it is unused only where none of them needs it.
    """
    own: dict[str, list[dict[str, Any]]] = {}
    several = [_said(ignore) for ignore in graph.spec.ignore]
    for ignored in graph.ignored:
        said: dict[str, Any] = {"code": ignored.code, "reason": ignored.reason}
        if ignored.section != ("layers",) or ignored.layers is None:
            continue
        if len(ignored.layers) == 1:
            (name,) = ignored.layers
            own.setdefault(name, []).append(said)
        elif ignored.layers:
            names = [node.name for node in graph.nodes if node.name in ignored.layers]
            several.append({**said, "about": names})
    return own, several


def _layers(graph: Graph, ignored: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    found = []
    above = INPUT
    # The last of the list is the output.
    for node in sorted(graph.nodes, key=lambda node: node.name == graph.output):
        found.append(_layer(node, graph.spec.defaults, above))
        if node.name in ignored:
            found[-1]["ignore"] = ignored[node.name]
        above = node.name
    return found


def _layer(node: Node, defaults: Defaults, above: str) -> dict[str, Any]:
    """Name and type first, as people write them, and what is not as it would be anyway."""
    layer = node.layer
    written: dict[str, Any] = {"name": layer.name, "type": layer.type}
    if node.inputs != (above,):
        written["inputs"] = list(node.inputs)
    said = _said(layer, defaults)
    own = [name for kind in type(layer).__mro__ for name in vars(kind).get("__annotations__", ())]
    for key in sorted(said.keys() - {"name", "type", "inputs"}, key=own.index):
        written[key] = _sizes(type(layer), key, said[key])
    return written


def _claims(graph: Graph) -> list[dict[str, Any]]:
    """The claims in the names that a plain spec has.

    The shape of a block is that of its output. A sum over repetitions, which have no common name
    any more, is left out.
    """
    found = []
    for claim in graph.spec.claims:
        said = _said(claim)
        part = graph.parts.get(claim.about or "")
        if part is not None and claim.quantity == "shape":
            said["about"] = part.output
        elif part is not None and not (
            part.layers and all(name.startswith(f"{claim.about}.") for name in part.layers)
        ):
            continue
        found.append(said)
    return found


def _said(part: BaseModel, defaults: Defaults | None = None) -> dict[str, Any]:
    """What a part of a spec says: its type, and the fields that are not as they would be anyway.

    Fields that a layer leaves to the network's `defaults` are compared with those.
    """
    said: dict[str, Any] = {}
    values = part.model_dump(mode="json")
    for key, field in type(part).model_fields.items():
        value = getattr(part, key)
        usual = getattr(defaults, key, field.default) if defaults else field.default
        if isinstance(value, BaseModel):
            if value != usual:
                said[key] = _said(value)
        elif key == "type" or (value is not None and value != usual):
            said[key] = values[key]
    return said


def _sizes(model: type[Layer], key: str, value: Any) -> Any:
    """Sizes and padding in the shortest of their forms."""
    if not isinstance(value, list):
        return value
    field = model.model_fields[key]
    rules = [*field.metadata, *_metadata(field.annotation)]
    if get_args(Padding)[1] in rules:
        top, bottom, left, right = value
        if top != bottom or left != right:
            return value
        return top if top == left else [top, left]
    if get_args(Size2d)[1] in rules:
        return value[0] if value[0] == value[1] else value
    return value


def _metadata(annotation: Any) -> list[Any]:
    """What is said beside the types of an annotation, in all of its parts."""
    found = list(getattr(annotation, "__metadata__", ()))
    for part in get_args(annotation):
        found += _metadata(part)
    return found


class _Dumper(_Base):  # type: ignore[misc]
    """Quotes all but words: to archspec, unlike to PyYAML, `1e5` is a number."""


def _text(dumper: Any, value: str) -> Any:
    style = None if _WORD.fullmatch(value) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", _escaped(value), style=style)


def _escaped(value: str) -> str:
    """A text that says the same where expressions are filled in."""
    return f"${value}" if _REFERENCE.fullmatch(value) else value.replace("$(", "$$(")


_Dumper.add_representer(str, _text)


def _dump(value: Any, flow: bool) -> str:
    text: str = yaml.dump(
        value,
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=flow,
        width=10**6,
        allow_unicode=True,
    )
    return text


def _section(key: str, value: Any) -> str:
    if value in (None, {}):
        return ""
    flow = isinstance(value, dict)
    return f"{key}: {_dump(value, True)}" if flow else _dump({key: value}, False)


def _entry(row: dict[str, Any]) -> str:
    return f"  - {_dump(row, True)}"
