"""What a file declares and nothing uses, and conditions that never change.

Only what stands in the file itself is looked for: what it extends may declare for other variants.
It counts as used where anything names it, also in a part that is left out at the moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from archspec.diagnostics import Fix, Problem
from archspec.expand.scope import Evaluator, Scope
from archspec.expressions import ExpressionError, Unusable, template
from archspec.source import Entry, Node, Problems


@dataclass(slots=True)
class _Mentions:
    """The names that expressions ask for, and the blocks that are used, in some of a file.

    `dynamic` where an expression gives the name of a block: any may be meant.
    """

    names: set[str] = field(default_factory=set)
    blocks: set[str] = field(default_factory=set)
    dynamic: bool = False


def unused(own: Node, merged: Node, changes: Sequence[Node]) -> Iterator[Problem]:
    """Problems with what the root `own` of a file declares.

    `merged` is the root with all that it extends, before anything is filled in, and `changes`
    are those of all variants.
    """
    declared = [_declared(own, key) for key in ("variables", "blocks", "imports")]
    if any(declared):
        mentions = _mentions([merged, *changes])
        yield from _unused(own, mentions)
    source = own.span.source
    if source is None or any("when" in line for line in source.lines):
        yield from _constant(own)


def _declared(root: Node, section: str) -> dict[str, Entry]:
    node = root.get(section)
    return (node.entries if node is not None else None) or {}


def _unused(own: Node, mentions: _Mentions) -> Iterator[Problem]:
    for name, entry in _declared(own, "variables").items():
        if name not in mentions.names:
            yield _nothing_uses("unused-variable", "variables", name, entry, f"`${name}`")
    if mentions.dynamic:
        return
    for name, entry in _declared(own, "blocks").items():
        if name not in mentions.blocks:
            yield _nothing_uses("unused-block", "blocks", name, entry, f"`block: {name}`")
        yield from _unused_parameters(name, entry.value)
    heads = {name.partition(".")[0] for name in mentions.blocks if "." in name}
    for name, entry in _declared(own, "imports").items():
        if name not in heads:
            yield _nothing_uses("unused-import", "imports", name, entry, f"`block: {name}.NAME`")


def _nothing_uses(rule: str, section: str, name: str, entry: Entry, use: str) -> Problem:
    fix = Fix(f"remove {name}", "the same network", {f"{section}.{name}": None}, safe=True)
    return Problem(
        rule,
        f"the {section.removesuffix('s')} `{name}` is declared and used nowhere",
        f"use it ({use}), or remove it",
        span=entry.key_span,
        fixes=(fix,),
    )


def _unused_parameters(block: str, node: Node) -> Iterator[Problem]:
    parameters = _declared(node, "parameters")
    if not parameters:
        return
    names = _mentions([node]).names
    for name, entry in parameters.items():
        if name not in names:
            yield Problem(
                "unused-parameter",
                f"the block `{block}` does nothing with its parameter `{name}`",
                f"use it (`${name}`), or remove it here and where the block is used",
                span=entry.key_span,
            )


def _mentions(roots: Iterable[Node]) -> _Mentions:
    found = _Mentions()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node.entries is not None:
            block = node.entries.get("block")
            if block is not None and isinstance(block.value.value, str):
                found.blocks.add(block.value.value)
                found.dynamic = found.dynamic or "$" in block.value.value
            formula = node.entries.get("formula")  # of a claim: an expression without `$`
            if formula is not None and isinstance(formula.value.value, str):
                found.names |= _names(f"$({formula.value.value})")
            stack += [entry.value for entry in node.entries.values()]
        elif node.items is not None:
            stack += node.items
        elif isinstance(node.value, str) and "$" in node.value:
            found.names |= _names(node.value)
    return found


def _names(text: str) -> frozenset[str]:
    try:
        filled = template(text)
    except ExpressionError:  # and reported
        return frozenset()
    return filled.names if filled is not None else frozenset()


def _constant(own: Node) -> Iterator[Problem]:
    """Entries whose `when` is the same whatever the variables are."""
    lists = [own.get("layers"), *(e.value.get("layers") for e in _declared(own, "blocks").values())]
    changes = own.get("changes")
    for change in (changes.items if changes is not None else None) or ():
        lists += [change.get("insert"), change.get("with")]
    while lists:
        section = lists.pop()
        if section is None:
            continue
        entries = section.items if section.items is not None else [section]
        for entry in entries:
            lists.append(entry.get("layers"))
            condition = entry.get("when")
            always = _worth(condition) if condition is not None else None
            if condition is not None and always is not None:
                yield _same_always(entry, condition, always)


def _worth(condition: Node) -> bool | None:
    """What a condition without names is worth; None for any other."""
    value = condition.value
    if isinstance(value, str):
        filled = template(value)
        if filled is None or filled.names:
            return None
        evaluator = Evaluator(Problems())
        try:
            value = evaluator.value(condition, Scope(evaluator, {}))
        except Unusable:
            return None
    return value if isinstance(value, bool) else None


def _same_always(entry: Node, condition: Node, always: bool) -> Problem:
    name = entry.get("name")
    what = f"`{name.value}`" if name is not None and isinstance(name.value, str) else "this entry"
    message = f"{what} is {'always' if always else 'never'} there: its condition has no variable"
    help_ = (
        "leave the `when` out" if always else "remove the entry, or make it depend on a variable"
    )
    return Problem("constant-condition", message, help_, span=condition.span)
