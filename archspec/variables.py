"""The variables of a spec: their values, and the tree with `$name` filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from archspec.diagnostics import Problem, did_you_mean, listing, shortened
from archspec.source import Entry, Node, Problems

Value = int | float | bool | str

_REFERENCE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_MAX_WORD = 100


def values(
    root: Node, overrides: Mapping[str, Value], problems: Problems
) -> dict[str, Value | None] | None:
    """The variables and their values, `overrides` put in.

    None stands for a value, or for the whole section, that is reported when the spec is
    validated: what uses it is not looked at.
    """
    section = root.get("variables")
    if section is not None and section.entries is None:
        return None
    declared: dict[str, Value | None] = {}
    for name, entry in ((section.entries if section else None) or {}).items():
        declared[name] = _value(name, entry.value, problems)
    place = section.span if section else root.span
    for name, value in overrides.items():
        if name in declared:
            declared[name] = _value(name, Node(place, value), problems)
            if not isinstance(value, (int, float, bool, str)):
                message = f"the variable `{name}` cannot be set to {shortened(repr(value))}"
                problems.add(Problem("wrong-type", message, "use a number or a text", span=place))
            continue
        help_ = f"its variables are {listing(declared)}" if declared else None
        problems.add(
            Problem(
                "unknown-variable",
                f"the spec has no variable `{shortened(name)}` to set",
                _near(name, declared) or help_,
                span=place,
            )
        )
    return declared


def _value(name: str, node: Node, problems: Problems) -> Value | None:
    """The value of a variable, or None where it has none that can be used."""
    value = node.value
    if node.broken or not isinstance(value, (int, float, bool, str)):
        return None
    if isinstance(value, str) and _REFERENCE.fullmatch(value):
        message = f"the variable `{shortened(name)}` is `{shortened(value)}`: a variable"
        problems.add(
            Problem(
                "wrong-value",
                f"{message} cannot stand for another one",
                "write the value itself",
                span=node.span,
            )
        )
        return None
    return value


def fill(root: Node, variables: Mapping[str, Value | None] | None, problems: Problems) -> Node:
    """The same tree with `$name` replaced everywhere but in the section of the variables."""
    entries = {
        key: entry
        if key == "variables"
        else Entry(entry.key_span, _filled(entry.value, variables, problems))
        for key, entry in (root.entries or {}).items()
    }
    return replace(root, entries=entries)


def _filled(node: Node, variables: Mapping[str, Value | None] | None, problems: Problems) -> Node:
    """The same value filled in; what does not change is shared, not copied."""
    if node.entries is not None:
        entries = {
            key: Entry(entry.key_span, _filled(entry.value, variables, problems))
            for key, entry in node.entries.items()
        }
        same = all(entries[key].value is entry.value for key, entry in node.entries.items())
        return node if same else replace(node, entries=entries)
    if node.items is not None:
        items = [_filled(item, variables, problems) for item in node.items]
        same = all(new is old for new, old in zip(items, node.items, strict=True))
        return node if same else replace(node, items=items)
    reference = _REFERENCE.fullmatch(node.value) if isinstance(node.value, str) else None
    if reference is None or node.broken:
        return node
    name = reference[1]
    if variables is not None and name not in variables:
        example = f"declare it under `variables:`, for example `{shortened(name)}: 10`"
        problems.add(
            Problem(
                "unknown-variable",
                f"`${shortened(name)}` names no variable",
                _near(name, variables) or example,
                span=node.span,
            )
        )
    value = variables.get(name) if variables is not None else None
    return Node(node.span, value=node.value if value is None else value, broken=value is None)


def _near(name: str, variables: Mapping[str, object]) -> str | None:
    # A suggestion costs a comparison with every variable; nobody declares hundreds by hand.
    if len(name) > _MAX_WORD or len(variables) > 10 * _MAX_WORD:
        return None
    return did_you_mean(name, variables)
