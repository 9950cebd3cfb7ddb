"""Blocks: those of a file, and those of the files that it imports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from archspec.diagnostics import Problem, did_you_mean, listing, shortened
from archspec.expand.inheritance import inherit
from archspec.expand.opening import Files, identity, open_file
from archspec.expand.scope import UNUSABLE, Definition, Evaluator, Scope, Waiting
from archspec.source import Node, Problems
from archspec.spec.blocks import ENTRY_KEYS, Block, Library
from archspec.spec.fields import INPUT
from archspec.spec.reading import read

# What stands beside a block's parameters where it is used, so none may be called so.
USE_KEYS = ("name", "block", "inputs", *ENTRY_KEYS)
RESERVED_PARAMETERS = (*USE_KEYS, "type", "layers")
MAX_FILES = 100


@dataclass(frozen=True, eq=False)
class BlockDefinition:
    """A block as written, with the names that its own file gives values to."""

    name: str
    node: Node
    block: Block
    module: Module

    @cached_property
    def entries(self) -> list[Node]:
        """The entries of its list of layers."""
        layers = self.node.get("layers")
        return (layers.items if layers else None) or []

    @cached_property
    def defaults(self) -> dict[str, Node]:
        """The nodes of the parameters that have a default."""
        parameters = self.node.get("parameters")
        entries = (parameters.entries if parameters else None) or {}
        return {
            name: e.value
            for name, e in entries.items()
            if e.value.value is not None or e.value.items is not None
        }


@dataclass(slots=True, eq=False)
class Module:
    """One file's blocks, variables and imports (a spec and what it extends count as one).

    It is not `complete` where a whole section cannot be read: then no name is called unknown.
    """

    scope: Scope
    blocks: dict[str, BlockDefinition] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    imports: dict[str, Module | None] = field(default_factory=dict)
    complete: bool = True

    def find(self, name: str) -> BlockDefinition | None:
        """The block called `name`; None for one that is wrong, which is reported elsewhere.

        Raises KeyError, with a suggestion if there is one, for a name that is not there.
        """
        module = self
        alias, dot, inside = name.partition(".")
        if dot:
            if alias not in self.imports:
                if not self.complete:
                    return None
                near = did_you_mean(alias, self.imports)
                raise KeyError(near or "name the file under `imports:`")
            imported = self.imports[alias]
            if imported is None:
                return None
            module, name = imported, inside
        if name in module.broken or (name not in module.blocks and not module.complete):
            return None
        if name not in module.blocks:
            prefix = f"{alias}." if dot else ""
            known = [f"{prefix}{block}" for block in module.blocks]
            known += (
                []
                if dot
                else [
                    f"{other}.{block}"
                    for other, library in self.imports.items()
                    if library
                    for block in library.blocks
                ]
            )
            whole = f"{alias}{dot}{inside}"
            help_ = did_you_mean(whole, known) or (
                f"the blocks are {listing(known[:20])}" if known else "define it under `blocks:`"
            )
            raise KeyError(help_)
        return module.blocks[name]


def module(
    root: Node,
    blocks: Mapping[str, Block],
    scope: Scope,
    files: Files,
    problems: Problems,
    opened: tuple[object, ...] = (),
    count: list[int] | None = None,
) -> Module:
    """The blocks of a file and those that it imports; `opened` are the files on the way here."""
    count = count if count is not None else [0]
    found = Module(scope)
    section = root.get("blocks")
    for name, entry in ((section.entries if section else None) or {}).items():
        if name not in blocks:
            found.broken.add(name)
            continue
        definition = BlockDefinition(name, entry.value, blocks[name], found)
        found.blocks[name] = definition
        problems.extend(_definition_problems(definition))
    imports = root.get("imports")
    found.complete = not root.broken and all(
        part is None or (part.entries is not None and not part.broken)
        for part in (section, imports)
    )
    for alias, entry in ((imports.entries if imports else None) or {}).items():
        found.imports[alias] = _import(entry.value, files, problems, opened, count)
    return found


def _import(
    reference: Node, files: Files, problems: Problems, opened: tuple[object, ...], count: list[int]
) -> Module | None:
    if reference.broken or not isinstance(reference.value, str):
        return None
    count[0] += 1
    if count[0] > MAX_FILES:
        message = f"more than {MAX_FILES} files are imported"
        problems.fail(Problem("limit-exceeded", message, span=reference.span))
    document = open_file(files.imported, reference, problems)
    if document is None:
        return None
    itself = identity(document)
    if itself in opened:
        message = f"`{shortened(reference.value)}` imports itself, over what it imports"
        help_ = "move what both need to a third file"
        problems.add(Problem("circular-reference", message, help_, span=reference.span))
        return None
    problems.extend(document.problems)
    root = document.root
    if root.get("extends") is not None:
        root, _ = inherit(replace(document, problems=()), files, problems)
    known = {key: e for key, e in (root.entries or {}).items() if key in Library.model_fields}
    whole = root.get("layers") is not None  # a network may be imported from, too
    library, wrong = read(Library, replace(root, entries=known) if whole else root, document.file)
    problems.extend(wrong)
    if library is None:
        return None
    scope = variables(root, Evaluator(problems))
    return module(root, library.blocks, scope, files, problems, (*opened, itself), count)


def is_library(root: Node) -> bool:
    """Whether a file holds blocks and nothing of a network."""
    network = ("name", "input", "layers", "extends")
    return root.get("blocks") is not None and all(root.get(key) is None for key in network)


def variables(root: Node, evaluator: Evaluator) -> Scope:
    """The variables of a file, each to be evaluated when it is asked for."""
    section = root.get("variables")
    complete = not root.broken and (section is None or section.entries is not None)
    return Scope(evaluator, _definitions(section), complete=complete)


def _definitions(section: Node | None) -> dict[str, Definition]:
    return {
        name: UNUSABLE
        if entry.value.broken or entry.value.entries is not None or _nothing(entry.value)
        else Waiting(entry.value)
        for name, entry in ((section.entries if section else None) or {}).items()
    }


def _nothing(node: Node) -> bool:
    return node.value is None and node.items is None


def _definition_problems(definition: BlockDefinition) -> list[Problem]:
    """Parameters that cannot be called so, and inputs that nothing reads."""
    found = []
    parameters = definition.node.get("parameters")
    for name in definition.block.parameters:
        if name in RESERVED_PARAMETERS and parameters is not None:
            message = f"a parameter cannot be called `{name}`: the word has a meaning of its own"
            span = parameters.locate((name,), key=True)
            found.append(Problem("invalid-name", message, "choose another name", span=span))
    for place, name in enumerate(definition.block.inputs):
        if name in definition.block.inputs[:place]:
            message = f"the block `{definition.name}` has two inputs called `{name}`"
            span = definition.node.locate(("inputs", place))
            found.append(Problem("wrong-value", message, "give each a name of its own", span=span))
    read_names = _names_read(definition.entries, definition.block.inputs[0])
    if read_names is not None:
        read_names.update(definition.block.outputs or ())
        for place, name in enumerate(definition.block.inputs):
            if name not in read_names:
                found.append(_unused_input(definition, place, name))
    return found


def _unused_input(definition: BlockDefinition, place: int, name: str) -> Problem:
    first = definition.entries[0].get("name")
    return Problem(
        "unused-block-input",
        f"the block `{definition.name}` never reads its input `{name}`",
        f"let one of its layers read it: `inputs: [{name}]`"
        if definition.block.inputs != (INPUT,) or first is None
        else "leave out the `inputs` of its first layer, or name `input` in one of them",
        span=definition.node.locate(("inputs", place))
        if definition.node.get("inputs")
        else definition.node.locate(("layers",)),
    )


def _names_read(entries: list[Node], above: str) -> set[str] | None:
    """The names that a list of entries reads; None where an expression may name any.

    The first entry reads what stands `above` the list unless it names something.
    """
    found: set[str] = set()
    for number, entry in enumerate(entries):
        inputs = entry.get("inputs")
        if inputs is None:
            if number == 0:
                found.add(above)
        else:
            for item in inputs.items or [inputs]:
                if not isinstance(item.value, str) or "$" in item.value:
                    return None
                found.add(item.value)
        group = entry.get("layers")
        inside = _names_read((group.items if group else None) or [], "")
        if inside is None:
            return None
        found |= inside - {INPUT}
    return found
