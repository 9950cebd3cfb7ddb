"""What a use of a block gives to its parameters."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from archspec.diagnostics import Problem, did_you_mean, listing, shortened
from archspec.expand.blocks import RESERVED_PARAMETERS, USE_KEYS, BlockDefinition
from archspec.expand.entries import Argument, Entry
from archspec.expand.frames import Frame
from archspec.expand.scope import UNUSABLE, Definition, Scope, Waiting
from archspec.expressions import Unusable
from archspec.spec.reading import shown


def arguments(
    frame: Frame, entry: Entry, scope: Scope, definition: BlockDefinition, full: str
) -> dict[str, Definition] | None:
    """The values of a block's parameters, or None where one is missing or unknown.

    `full` is the name of the use in messages.
    """
    parameters = definition.block.parameters
    found: dict[str, Definition] = {
        key: _argument(key, argument, scope, frame)
        for key, argument in entry.arguments.items()
        if key in parameters
    }
    if len(found) < len(entry.arguments) or len(found) < len(parameters):
        missing = [name for name in parameters if name not in found]
        defaults = definition.defaults
        found |= {name: Waiting(defaults[name]) for name in missing if name in defaults}
        if len(found) < len(parameters) or not entry.arguments.keys() <= parameters.keys():
            _wrong_arguments(scope, frame, entry, definition, full, found.keys())
            return None
    return found


def _argument(name: str, argument: Argument, scope: Scope, frame: Frame) -> Definition:
    """The value of one parameter."""
    value = scope.known(argument.variable) if argument.variable is not None else None
    if value is not None:
        return value
    node = argument.node
    if node.entries is not None or (node.value is None and node.items is None):
        if not node.broken:
            message = f"the parameter `{name}` must be a number, text, `true`, `false` or a "
            message += f"list, not {shown(node)}"
            problem = Problem("wrong-type", message, span=node.span, uses=frame.uses)
            scope.evaluator.problems.add(problem)
        return UNUSABLE
    try:
        return scope.evaluator.value(node, scope, frame.uses)
    except Unusable:
        return UNUSABLE


def _wrong_arguments(
    scope: Scope,
    frame: Frame,
    entry: Entry,
    definition: BlockDefinition,
    full: str,
    found: Collection[str],
) -> None:
    """Report parameters that a block does not have, and those that it lacks."""
    if entry.cut or entry.body.broken:
        return
    parameters = definition.block.parameters
    block = f"the block `{definition.name}`"
    meant: list[str] = []
    for key, argument in entry.arguments.items():
        if key not in parameters:
            near = did_you_mean(key, [*parameters, *USE_KEYS])
            meant.append(near or "")
            known = f"its parameters are {listing(parameters)}" if parameters else "it has none"
            message = f"{full}: {block} has no parameter `{shortened(key)}`"
            problem = Problem("unknown-key", message, near or known, span=argument.key_span)
            scope.evaluator.problems.add(replace(problem, uses=frame.uses, layer=full))
    for name in parameters:
        suggested = any(f"`{name}`" in near for near in meant)
        if name not in found and name not in RESERVED_PARAMETERS and not suggested:
            message = f"{full}: {block} needs the parameter `{name}`"
            help_ = f"write `{name}: ...` beside `block: {definition.name}`"
            problem = Problem("missing-key", message, help_, span=entry.node.span)
            scope.evaluator.problems.add(replace(problem, uses=frame.uses, layer=full))
