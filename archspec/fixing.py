"""`archspec check --fix`: the fixes of diagnostics applied to the text that they are about.

A fix says what is set where; `archspec.source.editing` makes text edits of that. What comes out
is read and analysed again: the finding must be gone, nothing else of the file may mean anything
else, and no error and no warning may be new (but for warnings that an error has hidden). A fix
that fails this is left out, with the reason.
"""

from __future__ import annotations

import codecs
import os
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from archspec import catalog
from archspec.diagnostics import ArchspecError, Diagnostic, Fix, ProblemsFound, SpecError
from archspec.loading import Examined, examine, examine_text
from archspec.rules import rules
from archspec.source import Document, Node, parse
from archspec.source.editing import CannotEdit, Edit, Editor, applied, changed, child
from archspec.source.editing import Path as Steps

# Fixes can make others possible, and errors (100 are reported at most) are repaired one by one; a
# file that is not done after so many rounds never will be.
MAX_ROUNDS = 120


@dataclass(frozen=True, slots=True)
class Repair:
    """A fix and what it is for; `reason` says why it was left out."""

    diagnostic: Diagnostic
    fix: Fix
    reason: str = ""

    @property
    def key(self) -> tuple[object, ...]:
        """What stays the same of it while other places of the file change."""
        return (*_identity(self.diagnostic), self.fix.title)


@dataclass(frozen=True, slots=True)
class FixedFile:
    """A file's text before and after, what was applied, and what was not and why.

    `state` is the analysis of the text after.
    """

    path: Path
    name: str
    before: str
    state: Examined
    applied: tuple[Repair, ...]
    left_out: tuple[Repair, ...]

    @property
    def after(self) -> str:
        """The text with the fixes."""
        return self.state.text

    def diff(self) -> str:
        """The change as a unified diff; empty where there is none."""
        import difflib

        before, after = self.before.splitlines(keepends=True), self.after.splitlines(keepends=True)
        lines = difflib.unified_diff(before, after, self.name, self.name)
        no_end = "\n\\ No newline at end of file\n"
        return "".join(line if line.endswith(("\n", "\r")) else line + no_end for line in lines)


def parse_choices(choices: Iterable[str]) -> dict[str, int]:
    """`AS101=2` texts as codes with the number of a fix. Raises ArchspecError."""
    codes = {rule.code for rule in rules().values()}
    found = {}
    for choice in choices:
        code, _, number = choice.partition("=")
        code = code.strip().upper()
        if code not in codes or not number.strip().isdecimal() or int(number) < 1:
            raise ArchspecError(
                f"--choose takes a diagnostic's code and the number of one of its fixes, such as "
                f"AS101=2, not `{choice}`"
            )
        found[code] = int(number)
    return found


def fix_file(
    spec: str | Path,
    *,
    unsafe: bool = False,
    choices: Mapping[str, int] | None = None,
    root: Path | None = None,
) -> FixedFile:
    """The file with every fix that may be applied: the safe ones.

    With `unsafe` the first fix of the other diagnostics too; `choices` says by code which fix
    (from 1) to apply instead. Nothing is written; see `write`.

    Raises SpecError where there is no text to read, ArchspecError for the name of a shipped spec.
    """
    if isinstance(spec, str) and spec in catalog.shipped():
        raise ArchspecError(
            f"`{spec}` is a shipped spec, part of the package, and is not edited; extend it "
            f"(`extends: {spec}`), or give the path of a copy"
        )
    state = examine(spec, root)
    if state.path is None:
        raise SpecError(state.diagnostics)
    work = _Work(state.path, state.name, root, unsafe, choices or {}, state)
    work.run()
    left_out = tuple(repair for repair in work.left_out.values() if work.still_there(repair))
    applied = tuple(work.applied)
    return FixedFile(state.path, state.name, state.text, work.state, applied, left_out)


def write(fixed: FixedFile) -> None:
    """Put the text after in the place of the text before, at once and with the file's mode.

    The byte order mark stays where there was one; of a symbolic link, what it leads to is
    written. Raises ArchspecError where the file must not or cannot be written.
    """
    path = fixed.path.resolve()
    temporary = None
    try:
        raw = path.read_bytes()
        mark = codecs.BOM_UTF8 if raw.startswith(codecs.BOM_UTF8) else b""
        if raw != mark + fixed.before.encode():
            raise ArchspecError(f"{fixed.name} has changed in the meantime; run it again")
        if not path.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) or not os.access(
            path, os.W_OK
        ):
            raise ArchspecError(f"{fixed.name} is read-only and was not changed")
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as stream:
            stream.write(mark + fixed.after.encode())
        shutil.copymode(path, temporary)
        os.replace(temporary, path)  # noqa: PTH105 - one step, on the same file system
        temporary = None
    except OSError as error:
        reason = error.strerror or error
        raise ArchspecError(f"{fixed.name} cannot be written ({reason})") from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _identity(diagnostic: Diagnostic) -> tuple[object, ...]:
    return (diagnostic.code, diagnostic.layer, diagnostic.message)


def _kinds(
    diagnostics: Iterable[Diagnostic], severities: Sequence[str]
) -> Counter[tuple[object, ...]]:
    """How many findings of some severities there are of each kind; their numbers may change."""
    return Counter((d.code, d.layer) for d in diagnostics if d.severity in severities)


@dataclass(slots=True)
class _Work:
    """The state of one file while it is fixed."""

    path: Path
    name: str
    root: Path | None
    unsafe: bool
    choices: Mapping[str, int]
    state: Examined
    applied: list[Repair] = field(default_factory=list)
    left_out: dict[tuple[object, ...], Repair] = field(default_factory=dict)

    def run(self) -> None:
        """Apply fixes until none is left."""
        for _ in range(MAX_ROUNDS):
            repairs = self._wanted()
            if not repairs:
                return
            # One repair of an error decides over what becomes of the others.
            apart = [r for r in repairs if r.fix.safe or r.diagnostic.severity != "error"]
            self._apply(apart or repairs[:1])
        for repair in self._wanted():
            reason = f"fixes went on leading to others after {MAX_ROUNDS} rounds"
            self.left_out[repair.key] = Repair(repair.diagnostic, repair.fix, reason)

    def _wanted(self) -> list[Repair]:
        return [r for r in self._candidates() if r.key not in self.left_out]

    def still_there(self, repair: Repair) -> bool:
        """Whether the finding is one of those that are left."""
        identity = _identity(repair.diagnostic)
        return any(_identity(d) == identity for d in self.state.diagnostics)

    def _candidates(self) -> Iterator[Repair]:
        for diagnostic in self.state.diagnostics:
            number = self.choices.get(diagnostic.code)
            if number is not None and diagnostic.fixes:
                if number <= len(diagnostic.fixes):
                    yield Repair(diagnostic, diagnostic.fixes[number - 1])
                else:
                    there = f"there is no fix {number}, only {len(diagnostic.fixes)}"
                    repair = Repair(diagnostic, diagnostic.fixes[-1], there)
                    self.left_out.setdefault(repair.key, repair)
                continue
            safe = next((fix for fix in diagnostic.fixes if fix.safe), None)
            if safe is not None:
                yield Repair(diagnostic, safe)
            elif self.unsafe and diagnostic.fixes:
                yield Repair(diagnostic, diagnostic.fixes[0])

    def _apply(self, repairs: Sequence[Repair]) -> None:
        """Apply fixes together; where that fails, each half, down to the one that it fails for."""
        repairs = [r for r in repairs if self.still_there(r)]
        if not repairs:
            return
        try:
            self.state = self._tried(repairs)
            self.applied += repairs
        except CannotEdit as error:
            if len(repairs) == 1:
                (repair,) = repairs
                refused = Repair(repair.diagnostic, repair.fix, str(error))
                self.left_out[repair.key] = refused
                return
            half = len(repairs) // 2
            self._apply(repairs[:half])
            self._apply(repairs[half:])

    def _tried(self, repairs: Sequence[Repair]) -> Examined:
        """What the file would be with these fixes; raises CannotEdit where that is not wanted."""
        before = self.state
        if before.document is None:
            raise CannotEdit("the file cannot be read as YAML")
        changes = _changes(before, [repair.fix for repair in repairs])
        text = _rewritten(before.text, before.document, changes)
        after = examine_text(text, self.path, self.name, self.root)
        expected = changed(before.document.root.data(), changes)
        if after.document is None or after.document.root.data() != expected:
            raise CannotEdit("the text there cannot be changed without changing something else")
        # An error hides warnings about the layers behind it: they are no reason to keep it.
        error = any(repair.diagnostic.severity == "error" for repair in repairs)
        severities = ("error",) if error else ("error", "warning")
        new = _kinds(after.diagnostics, severities) - _kinds(before.diagnostics, severities)
        if new:
            worse = next(d for d in after.diagnostics if (d.code, d.layer) in new)
            raise CannotEdit(f"it leads to another {worse.severity}, {worse.code}: {worse.message}")
        counts = Counter(_identity(d) for d in after.diagnostics)
        counts_before = Counter(_identity(d) for d in before.diagnostics)
        for repair in repairs:
            identity = _identity(repair.diagnostic)
            if counts[identity] >= counts_before[identity]:
                raise CannotEdit("the finding would still be there")
        return after


def replacements(state: Examined, fix: Fix) -> tuple[Edit, ...]:
    """What a fix replaces in the text, empty where it cannot be applied to that."""
    if state.document is None:
        return ()
    editor = Editor(state.text, state.document)
    try:
        changes = _changes(state, [fix]).items()
        edits = [edit for path, value in changes for edit in editor.edits(path, value)]
        applied(state.text, edits)
    except CannotEdit:
        return ()
    return tuple(edits)


def _changes(state: Examined, fixes: Iterable[Fix]) -> dict[Steps, Any]:
    """What fixes set, by the place in the text; raises CannotEdit where it is not in this file."""
    places = _Places(state)
    changes: dict[Steps, Any] = {}
    for fix in fixes:
        for place, value in fix.changes.items():
            path, value = places.path(place), _plain(value)
            if changes.setdefault(path, value) != value:
                raise CannotEdit(f"two fixes set `{place}`")
    return changes


def _plain(value: Any) -> Any:
    """A value with lists for tuples, as the text would be read."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _rewritten(text: str, document: Document, changes: Mapping[Steps, Any]) -> str:
    """The text with all changes: at once, or one by one where two of them meet."""
    editor = Editor(text, document)
    edits = [edit for path, value in changes.items() for edit in editor.edits(path, value)]
    try:
        return applied(text, edits)
    except CannotEdit:
        if len(changes) == 1:
            raise
    # From the end on, so that no item is counted anew.
    order = sorted(changes, key=lambda path: [str(step).zfill(9) for step in path], reverse=True)
    for path in order:
        try:
            editor = Editor(text, parse(text, document.file))
        except ProblemsFound:
            raise CannotEdit("what it leads to cannot be read as YAML") from None
        text = applied(text, editor.edits(path, changes[path]))
    return text


@dataclass(frozen=True)
class _Places:
    """Finds in the text what a fix calls by name: ``conv1.padding``, ``training.epochs``."""

    state: Examined

    @property
    def _root(self) -> Node:
        assert self.state.document is not None  # the caller has looked
        return self.state.document.root

    @cached_property
    def _paths(self) -> Mapping[tuple[str, int, int], Steps]:
        """The paths of all mappings and of all keys, by where they begin."""
        found: dict[tuple[str, int, int], Steps] = {}
        stack: list[tuple[Node, Steps]] = [(self._root, ())]
        while stack:
            node, path = stack.pop()
            if node.entries is not None:
                found.setdefault(("mapping", node.span.line, node.span.column), path)
                for key, entry in node.entries.items():
                    span = entry.key_span
                    found.setdefault(("key", span.line, span.column), (*path, key))
                    stack.append((entry.value, (*path, key)))
            for index, item in enumerate(node.items or []):
                stack.append((item, (*path, index)))
        return found

    @cached_property
    def _written_layers(self) -> Mapping[str, Node]:
        """The layers by name; of a spec with errors, those that stand in its list."""
        if self.state.graph is not None:
            return {node.name: node.source for node in self.state.graph.nodes}
        listed = self._root.get("layers")
        items = (listed.items if listed else None) or []
        names = [(item.get("name"), item) for item in items]
        return {str(name.value): item for name, item in names if name is not None}

    def path(self, place: str) -> Steps:
        """The steps from the root to a place; raises CannotEdit where it is not in this file."""
        words = place.split(".")
        for count in range(len(words), 0, -1):
            layer = self._written_layers.get(".".join(words[:count]))
            if layer is not None:
                return self._in_layer(layer, words[count:])
        return self._below((), words)

    def _below(self, path: Steps, words: Sequence[str]) -> Steps:
        """The steps of `words` below `path`: a number is that of an item where there is a list."""
        node: Node | None = self._root
        for step in path:
            node = child(node, step) if node is not None else None
        for word in words:
            in_list = node is not None and node.items is not None and word.isdecimal()
            step = int(word) if in_list else word
            node = child(node, step) if node is not None else None
            path = (*path, step)
        return path

    def _in_layer(self, layer: Node, words: list[str]) -> Steps:
        entry = (layer.entries or {}).get(words[0]) if words else None
        span = entry.key_span if entry is not None else layer.span
        document = self.state.document
        if document is None or span.source is not document.source:
            file = span.source.name if span.source else "another file"
            raise CannotEdit(
                f"it stands in {file}:{span.line}, which is not the file that is checked"
            )
        kind = "key" if entry is not None else "mapping"
        path = self._paths.get((kind, span.line, span.column))
        if path is None:
            raise CannotEdit(f"line {span.line} is not what the layer is made of alone")
        return self._below(path, words[1:] if entry is not None else words)
