"""A variant laid over the spec that it extends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath

from archspec.diagnostics import Problem, shortened
from archspec.expand.opening import Files, identity, open_file
from archspec.source import Document, Entry, Node, Problems
from archspec.spec.reading import shown

# What only a file itself says; a variant has its own.
OWN_KEYS = ("name", "title", "description", "claims", "extends", "changes")
MAX_LEVELS = 20


def inherit(document: Document, files: Files, problems: Problems) -> tuple[Node, tuple[Node, ...]]:
    """The document with what it extends filled in, and the changes to apply, in their order."""
    chain = [document]
    opened = {identity(document)}
    while (reference := _extended(chain[-1].root)) is not None:
        if not reference.broken and not isinstance(reference.value, str):
            message = f"`extends` must be text, not {shown(reference)}"
            help_ = "name a shipped spec, or a file next to this one: `extends: base.yaml`"
            problems.add(Problem("wrong-type", message, help_, span=reference.span))
        base = open_file(files.base, reference, problems)
        if base is None:
            # What the base would have brought is not known, so nothing is called missing.
            chain[-1] = replace(chain[-1], root=replace(chain[-1].root, broken=True))
            break
        if identity(base) in opened:
            names = " -> ".join(shortened(PurePath(d.file).name) for d in [*chain, base])
            message = f"these specs extend one another in a circle: {names}"
            help_ = "one of them must stand alone"
            problems.fail(Problem("circular-reference", message, help_, span=reference.span))
        if len(chain) > MAX_LEVELS:
            message = f"specs extend one another more than {MAX_LEVELS} deep"
            problems.fail(Problem("limit-exceeded", message, span=reference.span))
        opened.add(identity(base))
        chain.append(base)
    root: Node | None = None
    changes: list[Node] = []
    for written in reversed(chain):
        problems.extend(written.problems)
        own = written.root.get("changes")
        if written.root.get("layers") is not None:
            changes = []
        if own is not None and own.items is not None:
            changes += own.items
        root = written.root if root is None else _varied(root, written.root)
    assert root is not None  # the chain holds the document at least
    return root, tuple(changes)


def _varied(base: Node, variant: Node) -> Node:
    """A variant's keys over those of its base."""
    entries = {key: entry for key, entry in (base.entries or {}).items() if key not in OWN_KEYS}
    for key, entry in (variant.entries or {}).items():
        before = entries.get(key)
        entries[key] = (
            entry
            if before is None
            else Entry(entry.key_span, _merged(before.value, entry.value, key))
        )
    return replace(variant, entries=entries, broken=variant.broken or base.broken)


def _merged(base: Node, variant: Node, key: str) -> Node:
    """A mapping over another, key by key; anything else replaces what was there.

    So does a mapping with another `type`, whose keys are others, and a block, which is a whole.
    What is ignored is ignored in the variant, too.
    """
    if key == "ignore" and base.items is not None and variant.items is not None:
        return replace(variant, items=[*base.items, *variant.items])
    if base.entries is None or variant.entries is None:
        return variant
    kinds = base.get("type"), variant.get("type")
    if kinds[1] is not None and (kinds[0] is None or kinds[0].value != kinds[1].value):
        return variant
    entries = dict(base.entries)
    for name, entry in variant.entries.items():
        before = entries.get(name)
        if before is not None and key not in ("blocks", "variables"):
            entry = Entry(entry.key_span, _merged(before.value, entry.value, name))
        entries[name] = entry
    return replace(variant, entries=entries, broken=variant.broken or base.broken)


def _extended(root: Node) -> Node | None:
    """What `extends` names; null is like none."""
    node = root.get("extends")
    empty = node is None or (node.value is None and node.items is None and node.entries is None)
    return node if node is not None and (node.broken or not empty) else None
