"""From a Pydantic error to a problem that points into the file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from archspec.diagnostics import Problem, did_you_mean, listing, shortened
from archspec.source import Node

Model = TypeVar("Model", bound=BaseModel)

_TYPES = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "`true` or `false`",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "mapping_type": "a mapping",
}


def read(model: type[Model], node: Node, what: str, **given: Any) -> tuple[Model | None, list[Problem]]:
    """The model that `node` describes, or None and every problem with it.

    `what` names the thing in messages ("layer `conv1`"); `given` replaces or adds keys.
    """
    if node.entries is None:
        return None, [
            Problem("wrong-type", f"{what} must be a mapping of keys, not {_shown(node)}", span=node.span)
        ]
    try:
        return model.model_validate({**node.data(), **given}), []
    except ValidationError as error:
        problems = [_problem(model, node, what, details) for details in error.errors()]
        # A union reports a failure for each member; one a place is enough.
        seen: dict[Any, Problem] = {}
        for problem in problems:
            seen.setdefault((problem.span, problem.rule), problem)
        return None, list(seen.values())


def _problem(model: type[BaseModel], node: Node, what: str, details: Any) -> Problem:
    path, parent = _path(node, details["loc"])
    kind: str = details["type"]
    name = str(details["loc"][-1]) if details["loc"] else ""
    where = ".".join(str(step) for step in path)
    if kind == "extra_forbidden":
        known = _known_keys(model, path[:-1])
        suggestion = did_you_mean(name, known)
        return Problem(
            "unknown-key",
            f"{what} has no key `{shortened(name)}`",
            suggestion or f"its keys are {listing(known)}",
            span=node.locate(path, key=True),
        )
    if kind == "missing":
        missing = ".".join([*(str(step) for step in path if step != name), name])
        return Problem(
            "missing-key",
            f"{what} needs the key `{missing}`",
            _describe(model, path, name),
            span=parent.span if parent is not node else _first_line(node),
        )
    span = node.locate(path)
    value = _value(node, path)
    label = f"`{where}`" if where else what
    if kind in _TYPES:
        hint = _type_hint(kind, value)
        return Problem(
            "wrong-type", f"{label} of {what} must be {_TYPES[kind]}, not {_shown(value)}", hint, span=span
        )
    if kind == "invalid_name":
        return Problem(
            "invalid-name",
            f"{_shown(value)} cannot be a name: {details['msg']}",
            "names stand in the emitted source, so they must be identifiers such as `conv1`",
            span=span,
        )
    if kind in ("literal_error", "union_tag_invalid"):
        expected = details["ctx"].get("expected") or details["ctx"].get("expected_tags")
        options = [str(option).strip(" '") for option in str(expected).replace(" or ", ",").split(",")]
        if kind == "union_tag_invalid":
            value = _value(node, (*path, "type"))
            span = node.locate((*path, "type"))
        return Problem(
            "wrong-value",
            f"{label} of {what} is {_shown(value)}; expected {' or '.join(f'`{o}`' for o in options)}",
            did_you_mean(str(value.value if value else ""), options),
            span=span,
        )
    if kind == "union_tag_not_found":
        return Problem("missing-key", f"{label} of {what} needs the key `type`", span=span)
    if not path:
        return Problem("wrong-value", f"{what}: {details['msg']}", span=_first_line(node))
    shown = f"{_shown(value)}: " if value is not None and value.size == 1 else ""
    return Problem("wrong-value", f"{label} of {what} is {shown}{_lower(details['msg'])}", span=span) if not shown else Problem(
        "wrong-value", f"{label} of {what} cannot be {shown}{_lower(details['msg'])}", span=span
    )


def _lower(message: str) -> str:
    text = message[:1].lower() + message[1:]
    return text.replace("input should be", "it must be")


def _path(node: Node, loc: Iterable[int | str]) -> tuple[tuple[int | str, ...], Node]:
    """The path in the file of a Pydantic location, and the last node that exists on it.

    Pydantic adds steps for the member of a union that it tried ("normal" in
    ``weight_init.normal.std``); the file has no such key and the step is left out.
    """
    path: list[int | str] = []
    current: Node | None = node
    parent = node
    steps = list(loc)
    for number, step in enumerate(steps):
        last = number == len(steps) - 1
        child: Node | None = None
        if current is not None and current.entries is not None and isinstance(step, str):
            child = current.get(step)
            tag = current.get("type")
            if child is None and not last and (tag is None or tag.value == step):
                continue
        elif current is not None and current.items is not None and isinstance(step, int):
            child = current.items[step] if step < len(current.items) else None
        elif current is not None and current.entries is None and current.items is None:
            break  # a member of a union over scalars: the scalar itself is the place
        path.append(step)
        if child is not None:
            parent = child if not last else parent
        current = child
    return tuple(path), parent


def _value(node: Node, path: tuple[int | str, ...]) -> Node | None:
    for step in path:
        child: Node | None = None
        if isinstance(step, str):
            child = node.get(step)
        elif node.items is not None and step < len(node.items):
            child = node.items[step]
        if child is None:
            return None
        node = child
    return node


def _shown(node: Node | None) -> str:
    if node is None:
        return "nothing"
    if node.entries is not None:
        return "a mapping"
    if node.items is not None:
        return "a list"
    if node.value is None:
        return "empty"
    if isinstance(node.value, bool):
        return f"`{str(node.value).lower()}`"
    return f"`{shortened(str(node.value))}`" if not isinstance(node.value, str) else f"the text `{shortened(node.value)}`"


def _type_hint(kind: str, value: Node | None) -> str | None:
    scalar = value.value if value is not None else None
    if isinstance(scalar, str):
        if kind == "bool_type" and scalar.lower() in ("yes", "on", "no", "off", "y", "n"):
            word = "true" if scalar.lower() in ("yes", "on", "y") else "false"
            return f"write `{word}`: `{scalar}` is a word in YAML 1.2"
        if kind in ("int_type", "float_type"):
            if scalar.replace("_", "").replace(",", "").lstrip("+-").isdigit():
                return "write the digits without quotes, underscores or commas"
            if "$" in scalar or any(sign in scalar for sign in "+*/"):
                return "a variable stands alone as `$name`; write the result of a calculation"
    if kind == "int_type" and isinstance(scalar, float):
        return "write it without a decimal point"
    return None


def _first_line(node: Node) -> Any:
    return node.span


def _submodel(model: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The model class that describes the mapping at `path`, as far as the types tell."""
    current: type[BaseModel] | None = model
    for step in path:
        if isinstance(step, int):
            continue
        field = current.model_fields.get(step) if current else None
        current = _model_in(field.annotation) if field else None
    return current


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = [_model_in(arg) for arg in getattr(annotation, "__args__", ())]
    models = [model for model in found if model is not None]
    return models[0] if len(models) == 1 else None


def _known_keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    target = _submodel(model, path)
    return list(target.model_fields) if target else []


def _describe(model: type[BaseModel], path: tuple[int | str, ...], name: str) -> str | None:
    target = _submodel(model, tuple(step for step in path if step != name))
    field = target.model_fields.get(name) if target else None
    return field.description if field else None
