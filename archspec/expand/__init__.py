"""From a parsed document to a graph: variables, blocks and repetitions filled in, edges explicit.

What the language adds to a plain list of layers is gone behind this package: a `Graph` is flat.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NoReturn

from archspec.diagnostics import Problem, ProblemsFound, did_you_mean, listing, shortened
from archspec.expand.blocks import Module, is_library, module, variables
from archspec.expand.changes import Changes, changes_of
from archspec.expand.edges import connect
from archspec.expand.frames import Frame, Reference
from archspec.expand.inheritance import inherit
from archspec.expand.opening import Files, NoFiles, identity
from archspec.expand.scope import Definition, Evaluator, Scope
from archspec.expand.unroll import Unroller
from archspec.expand.unrolled import Unrolled
from archspec.expand.unused import unused
from archspec.expressions import Unusable, Value
from archspec.graph import Graph, Ignored, Part, blocks_around
from archspec.layers.base import Shape
from archspec.source import Document, Entry, Node, Problems
from archspec.spec.blocks import Block, Library
from archspec.spec.claims import NETWORK, TRAINING, Claim
from archspec.spec.fields import INPUT
from archspec.spec.ignore import Ignore
from archspec.spec.network import Auxiliary, Defaults, NetworkSpec
from archspec.spec.reading import read

_WILD = re.compile(r"[*?[]")
# Sections whose expressions are filled in where they are used.
_LATER = ("variables", "blocks", "imports", "extends", "layers", "changes")


def expand(
    document: Document,
    overrides: Mapping[str, Any] | None = None,
    *,
    files: Files | None = None,
    input_shape: Shape | None = None,
) -> Graph:
    """The graph that a document describes.

    `overrides` replace the values of its variables, `input_shape` (channels, height, width) its
    input; `files` opens what it extends and imports.

    Raises ProblemsFound with every problem of the text, of the document as a whole, of its
    layers and of the edges between them. One that only follows from another is left out.
    """
    problems = Problems()
    files = files or NoFiles()
    root, listed = inherit(document, files, problems)
    if is_library(root):
        _check_library(root, files, problems, identity(document))
    if document.root.get("changes") is not None and document.root.get("extends") is None:
        problems.add(_nothing_to_change(document.root))
    evaluator = Evaluator(problems)
    scope = variables(root, evaluator)
    _override(scope.names, overrides or {}, root, problems)
    values = _values(scope)
    merged, root = root, _filled(root, evaluator, scope)
    spec, found = read(NetworkSpec, _without_layers(root), "the spec")
    problems.extend(found)
    blocks: Mapping[str, Block] = spec.blocks if spec else _blocks(root)
    blocks_here = module(root, blocks, scope, files, problems, (identity(document),))
    shape = input_shape
    if spec is not None and shape is None:
        shape = (spec.input.channels, spec.input.height, spec.input.width)
    changes = changes_of(listed, problems)
    unroller = Unroller(problems, spec.defaults if spec else Defaults(), shape, changes)
    frame = unroller.network(root.get("layers"), blocks_here)
    unrolled = unroller.unrolled
    unrolled.report_unknown()
    _look_at_unused(unroller, blocks_here, problems)
    written = spec.auxiliary if spec else ()
    auxiliary = _auxiliary(written, frame, unrolled.resolve, root, problems)
    _check_changes(changes, problems)
    nodes = connect(unrolled.layers, unrolled.resolve, [a.layer for a in auxiliary], problems)
    output = unrolled.resolve(frame.previous)
    if spec is None or shape is None or problems or output is None:
        raise ProblemsFound(problems.found)
    remarks = tuple(unused(document.root, merged, listed))
    document = Document(document.source, root)
    parts = _parts(spec.claims, frame, unrolled)
    ignored = tuple(_ignored(spec, root, unroller))
    return Graph(
        spec,
        shape,
        nodes,
        output,
        document,
        values,
        auxiliary,
        parts,
        ignored,
        remarks,
        as_written=not overrides and input_shape is None,
    )


def _check_library(root: Node, files: Files, problems: Problems, itself: object) -> NoReturn:
    """Look at the blocks of a file that holds no network. Raises ProblemsFound."""
    library, found = read(Library, root, "the file")
    problems.extend(found)
    scope = variables(root, Evaluator(problems))
    _values(scope)
    blocks = library.blocks if library else _blocks(root)
    here = module(root, blocks, scope, files, problems, (itself,))
    _look_at_unused(None, here, problems)
    message = "the file holds blocks and no network: other specs can import it"
    help_ = "analyse a spec with `imports: {name: file.yaml}`, or add `input` and `layers`"
    problems.fail(Problem("only-blocks", message, help_, span=root.locate(("blocks",), key=True)))


def _look_at_unused(used: Unroller | None, blocks: Module, problems: Problems) -> None:
    """Report mistakes in blocks that nothing uses."""
    for definition in blocks.blocks.values():
        if used is None or not used.uses(definition):
            unroller = Unroller(problems, Defaults(), None, Changes(), values=False)
            unroller.look_at(definition)
            unroller.unrolled.report_unknown()


def _nothing_to_change(root: Node) -> Problem:
    return Problem(
        "wrong-value",
        "`changes` change the layers of another spec, and this one extends none",
        "name it: `extends: alexnet`; or write the layers as they shall be",
        span=root.locate(("changes",), key=True),
    )


def _override(
    names: dict[str, Definition], overrides: Mapping[str, Any], root: Node, problems: Problems
) -> None:
    """Put values in the place of those that the spec gives."""
    section = root.get("variables")
    place = section.span if section else root.span
    for name, value in overrides.items():
        if name not in names:
            help_ = f"its variables are {listing(names)}" if names else None
            message = f"the spec has no variable `{shortened(name)}` to set"
            near = did_you_mean(name, names)
            problems.add(Problem("unknown-variable", message, near or help_, span=place))
            continue
        plain = _plain(value)
        if plain is None:
            message = f"the variable `{name}` cannot be set to {shortened(repr(value))}"
            help_ = "use a number, a text or a list"
            problems.add(Problem("wrong-type", message, help_, span=place))
            continue
        names[name] = plain


def _plain(value: Any) -> Value | None:
    """A value from outside as one of the language, None for what is none."""
    if isinstance(value, (list, tuple)):
        items = [_plain(item) for item in value]
        return None if None in items else tuple(items)
    return value if isinstance(value, (int, float, bool, str)) else None


def _values(scope: Scope) -> dict[str, Value]:
    """Every variable's value, those that cannot be used left out."""
    found: dict[str, Value] = {}
    for name in scope.names:
        try:
            found[name] = scope.variable(name)
        except Unusable:  # and reported where it is defined
            continue
    return found


def _filled(root: Node, evaluator: Evaluator, scope: Scope) -> Node:
    """The sections that hold plain values, filled in."""
    entries = {
        key: entry if key in _LATER else Entry(entry.key_span, evaluator.fill(entry.value, scope))
        for key, entry in (root.entries or {}).items()
    }
    return replace(root, entries=entries)


def _without_layers(root: Node) -> Node:
    """The root with one entry in the place of each long list that is read entry by entry."""
    entries = dict(root.entries or {})
    for key in ("layers", "changes"):
        entry = entries.get(key)
        if entry is not None and entry.value.items:
            some = replace(entry.value, items=entry.value.items[:1])
            entries[key] = Entry(entry.key_span, some)
    return replace(root, entries=entries)


def _blocks(root: Node) -> Mapping[str, Block]:
    """The blocks that are fine in a spec that is not."""
    section = root.get("blocks")
    found = {}
    for name, entry in ((section.entries if section else None) or {}).items():
        block, _ = read(Block, entry.value, f"block `{shortened(name)}`")
        if block is not None:
            found[name] = block
    return found


def _auxiliary(
    written: tuple[Auxiliary, ...],
    frame: Frame,
    resolve: Callable[[Reference], str | None],
    root: Node,
    problems: Problems,
) -> tuple[Auxiliary, ...]:
    """The auxiliary outputs with the full names of their layers."""
    found: dict[str, Auxiliary] = {}
    for place, output in enumerate(written):
        what = f"the auxiliary output `{shortened(output.layer)}`"
        span = root.locate(("auxiliary", place, "layer"))
        reference = frame.inside(output.layer)
        layer = resolve(reference) if reference is not None else None
        if layer is None or layer == INPUT:
            help_ = frame.near(output.layer, but=INPUT) or "name the layer whose output it is"
            problems.add(Problem("unknown-input", f"{what} is no layer", help_, span=span))
        elif layer == resolve(frame.previous):
            help_ = "name a layer before it, or the last one of a branch that leads to none"
            message = f"{what} is the network's output already"
            problems.add(Problem("wrong-value", message, help_, span=span))
        elif layer in found:
            help_ = "name each layer once, with the `loss_weight` that it has in all"
            problems.add(Problem("wrong-value", f"{what} is there already", help_, span=span))
        else:
            found[layer] = output.model_copy(update={"layer": layer})
    return tuple(found.values())


def _parts(claims: tuple[Claim, ...], frame: Frame, unrolled: Unrolled) -> dict[str, Part]:
    """What claims are about that is called by one name and is more than one layer."""
    layers = [written.name for written in unrolled.layers]
    known = {INPUT, NETWORK, TRAINING, *layers}
    named = [claim.about for claim in claims if claim.about is not None]
    wanted = dict.fromkeys(about for about in named if about not in known)
    inside: dict[str, list[str]] = {}
    for name in layers if wanted else ():
        for end, character in enumerate(name):
            if character == ".":
                inside.setdefault(name[:end], []).append(name)
    found = {}
    for about in wanted:
        reference = frame.inside(about)
        output = unrolled.resolve(reference) if reference is not None else None
        if output is not None:
            names = frame.full_names(about)
            found[about] = Part(
                output, tuple(layer for name in names for layer in inside.get(name, (name,)))
            )
        elif about in inside:  # a plain spec: the dots are in the names of its layers
            found[about] = Part(inside[about][-1], tuple(inside[about]))
    return found


def _ignored(spec: NetworkSpec, root: Node, unroller: Unroller) -> Iterator[Ignored]:
    """Every diagnostic that the spec expects, with the layers or the section it is about."""
    for expected in unroller.unrolled.expected:
        ignore, layers = expected.ignore, frozenset(expected.layers)
        yield Ignored(ignore.code, ignore.reason, expected.span, ("layers",), layers)
    inside: dict[str, list[str]] = {}  # the layers of every layer and block, by its name
    if any(about.about is not None for about in spec.ignore):
        for written in unroller.unrolled.layers:
            for name in (written.name, *blocks_around(written.name)):
                inside.setdefault(name, []).append(written.name)
    for place, about in enumerate(spec.ignore):
        section = ("ignore", place)
        named = None
        if about.about is not None:
            names: list[str] = []
            for pattern in about.about:
                if pattern in inside:
                    names.append(pattern)
                elif _WILD.search(pattern):
                    unroller.evaluator.spend(len(inside))
                    names += fnmatch.filter(inside, pattern)
            named = frozenset(layer for name in names for layer in inside[name])
        yield Ignored(about.code, about.reason, root.locate(section), section, named)
    sections: list[tuple[tuple[str | int, ...], tuple[Ignore, ...]]] = [
        (("claims", place), claim.ignore) for place, claim in enumerate(spec.claims)
    ]
    if spec.training is not None:
        sections.append((("training",), spec.training.ignore))
    for part, ignores in sections:
        for place, ignore in enumerate(ignores):
            span = root.locate((*part, "ignore", place))
            yield Ignored(ignore.code, ignore.reason, span, part)


def _check_changes(changes: Changes, problems: Problems) -> None:
    # Where something else is wrong, what a change is of may not have come to be.
    if not problems:
        problems.extend(changes.unused())


__all__ = ["expand"]
