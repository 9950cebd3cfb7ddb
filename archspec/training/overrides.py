"""The recipe of a spec with what the command line replaces."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from archspec.diagnostics import ArchspecError, Problem
from archspec.source import Entry, Node, Span, made
from archspec.spec.places import models, tag
from archspec.spec.reading import read, shown
from archspec.spec.recipe import Recipe
from archspec.training.options import RunOptions

# The options that replace a key of the recipe each.
OPTIONS = {
    "epochs": ("--epochs", "epochs"),
    "batch_size": ("--batch-size", "batch_size"),
    "learning_rate": ("--lr", "optimizer.learning_rate"),
    "seed": ("--seed", "seed"),
}


@dataclass(frozen=True)
class _Change:
    """The value that an option gives a key, such as ``optimizer.momentum``.

    `span` is no place in a file: by its line, problems with the value find their way back.
    """

    option: str
    key: str
    value: Any
    span: Span


def overridden(recipe: Recipe, options: RunOptions) -> Recipe:
    """The recipe with what `options` replace.

    A `type` that is replaced takes along the keys that mean the same with both: the learning rate
    from one optimiser to the other. Raises ArchspecError, naming the option and the key, for what
    would not be a recipe.
    """
    changes = _changes(options)
    if not changes:
        return recipe
    root = made(recipe.model_dump(mode="json"), _place(0))
    # Types first: they decide which keys there are.
    for change in sorted(changes, key=lambda change: not change.key.endswith(".type")):
        _apply(root, change)
    found, problems = read(Recipe, root, "the recipe")
    if found is None:
        problem = problems[0]
        guilty = [c for c in changes if problem.span is not None and c.span == problem.span]
        raise _refused(guilty or changes, problem)
    return found


def _changes(options: RunOptions) -> list[_Change]:
    given = [
        (f"{option} {getattr(options, name)}", key, getattr(options, name))
        for name, (option, key) in OPTIONS.items()
        if getattr(options, name) is not None
    ]
    said = {key: option for option, key, _ in given}
    for key, value in options.recipe.items():
        if key in said:
            raise ArchspecError(f"--recipe {key} is what {said[key].split()[0]} says; give one")
        given.append((f"--recipe {key}={_written(value)}", key, value))
    return [
        _Change(option, key, value, _place(number))
        for number, (option, key, value) in enumerate(given, start=1)
    ]


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _place(number: int) -> Span:
    return Span(number, 1, number, 1)


def _apply(root: Node, change: _Change) -> None:
    """Set the value at the key of a change, and make the mappings on the way there."""
    *path, last = change.key.split(".")
    node = root
    for depth, step in enumerate(path, start=1):
        assert node.entries is not None
        child = node.get(step)
        if child is None or shown(child) == "empty":
            child = Node(change.span, entries={})
            node.entries[step] = Entry(change.span, child)
        if child.entries is None:
            where = ".".join(path[:depth])
            raise _refused(
                [change],
                Problem(
                    "wrong-type",
                    f"`{where}` of the recipe has no keys of its own, it is {shown(child)}",
                    f"give it whole: --recipe '{where}=...'",
                ),
            )
        node = child
    assert node.entries is not None
    if last == "type":
        _retype(node, path, change.value)
    node.entries[last] = Entry(change.span, made(change.value, change.span))


def _retype(node: Node, path: Sequence[str], kind: Any) -> None:
    """Leave out what does not mean the same where the value at `path` is of another type."""
    members: list[type[BaseModel]] = [Recipe]
    for step in path:
        fields = [member.model_fields[step] for member in members if step in member.model_fields]
        members = [model for field in fields for model in models(field.annotation)]
    by_type = {tag(member): member for member in members}
    current = node.get("type")
    before, after = (by_type.get(str(word)) for word in (current and current.value, kind))
    if node.entries is None or before is None or after is None:
        return
    for key in [*node.entries]:
        one, other = before.model_fields.get(key), after.model_fields.get(key)
        if one is None or other is None or one.description != other.description:
            del node.entries[key]


def _refused(changes: Sequence[_Change], problem: Problem) -> ArchspecError:
    options = " ".join(dict.fromkeys(change.option for change in changes))
    help_ = f"; {problem.help}" if problem.help else ""
    return ArchspecError(f"{options}: {problem.message}{help_}")
