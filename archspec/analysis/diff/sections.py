"""A comparison for people: sections that every output prints."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from archspec.analysis.diff.changes import Change, text
from archspec.analysis.diff.comparison import SIDES, Comparison, LayerPair, Side, Term
from archspec.analysis.numbers import printable
from archspec.analysis.section import Column, Section
from archspec.layers.base import show

# Rows of a table unless all are asked for: what a change to a file makes fits, and of two networks
# that differ everywhere the largest differences are read.
ROWS = 12
# Layers that are named where many have the same difference.
NAMED = 3

_TOTALS = (
    ("params", "params"),
    ("trainable", "trainable_params"),
    ("MACs", "macs"),
    ("FLOPs", "flops"),
    ("backward FLOPs", "backward_flops"),
    ("neurons", "neurons"),
    ("connections", "connections"),
    ("bytes of weights", "weight_bytes"),
    ("bytes of activations", "activation_bytes"),
)
# The totals whose difference is explained; the others follow from these.
_EXPLAINED = (
    ("parameters", "params"),
    ("MACs", "macs"),
    ("FLOPs", "flops"),
    ("activation bytes", "activation_bytes"),
)


def sections(comparison: Comparison, rows: int | None = ROWS) -> tuple[Section, ...]:
    """The comparison as tables of at most so many rows each, None for all."""
    found: list[Section | None] = [_networks(comparison), _totals(comparison)]
    found += [_terms(comparison, what, key, rows) for what, key in _EXPLAINED]
    found += [_only(comparison, "a", rows), _only(comparison, "b", rows)]
    found += _changes(comparison, rows)
    found += [_renamed(comparison, rows), _recipe(comparison)]
    return tuple(section for section in found if section is not None)


def _networks(comparison: Comparison) -> Section:
    a, b = comparison.a.graph, comparison.b.graph
    rows = [
        ("name", a.name, b.name),
        ("file", a.document.file, b.document.file),
        ("input", show(a.input_shape), show(b.input_shape)),
        ("layers", str(len(a.nodes)), str(len(b.nodes))),
    ]
    rows += [
        (change.what, text(change.a), text(change.b))
        for change in comparison.network
        if change.what != "input"
    ]
    columns = (Column(""), Column("A", folds=True), Column("B", folds=True))
    return Section("networks", columns, tuple((w, printable(x), printable(y)) for w, x, y in rows))


def _totals(comparison: Comparison) -> Section:
    rows = []
    for name, key in _TOTALS:
        a, b = comparison.total(key, "a"), comparison.total(key, "b")
        if name == "trainable" and (a, b) == (
            comparison.total("params", "a"),
            comparison.total("params", "b"),
        ):
            continue
        rows.append((name, f"{a:,}", f"{b:,}", signed(b - a), _percent(a, b)))
    columns = (
        Column(""),
        Column("A", "right"),
        Column("B", "right"),
        Column("B - A", "right"),
        Column("%", "right"),
    )
    return Section("totals", columns, tuple(rows))


def signed(difference: int) -> str:
    """+1,024; "=" where nothing differs."""
    return f"{difference:+,}" if difference else "="


def _percent(a: int, b: int) -> str:
    """-16.6, -0.04: one decimal place, and what is not nothing never looks like it."""
    if not a or a == b:
        return ""
    share = 100 * (b - a) / a
    return f"{share:+.1f}" if abs(share) >= 0.1 else f"{share:+.1g}"


def _terms(comparison: Comparison, what: str, key: str, limit: int | None) -> Section | None:
    """The layers that a total differs by, the largest difference first."""
    terms = list(_gathered(comparison, comparison.terms(key)))
    if not terms:
        return None
    shown = terms if limit is None or len(terms) <= limit else terms[: limit - 1]
    rows = [
        (label, signed(sum(term.difference for term in members)), _how(comparison, key, members))
        for label, members in shown
    ]
    rest = [term for _, members in terms[len(shown) :] for term in members]
    if rest:
        rows.append((f"{len(rest)} more layers", signed(sum(t.difference for t in rest)), ""))
    rows.append(("together", signed(comparison.difference(key)), ""))
    columns = (Column("layer", folds=True), Column("B - A", "right"), Column("how", folds=True))
    return Section(f"why the {what} differ", columns, tuple(rows))


def _gathered(
    comparison: Comparison, terms: Sequence[Term]
) -> Iterator[tuple[str, tuple[Term, ...]]]:
    """Terms by layer; layers of a block that one network alone has, together."""
    blocks: dict[tuple[Side, str], list[Term]] = {}
    whole = {side: _blocks(comparison, side) for side in SIDES}
    order: list[tuple[int, str, tuple[Term, ...]]] = []
    for term in terms:
        side = term.layer.only
        block = whole[side].get(term.layer.label) if side else None
        if side and block:
            blocks.setdefault((side, block), []).append(term)
        else:
            order.append((term.difference, term.layer.label, (term,)))
    for (_, block), members in blocks.items():
        order.append((sum(term.difference for term in members), f"{block}.*", tuple(members)))
    order.sort(key=lambda entry: -abs(entry[0]))
    yield from ((label, members) for _, label, members in order)


def _blocks(comparison: Comparison, side: Side) -> dict[str, str]:
    """For layers of blocks that one network has no layer of in common with the other: the block."""
    graph = comparison.side(side).graph
    sections = graph.sections
    shared = {
        sections[name]
        for pair in comparison.matched
        if (name := pair.a if side == "a" else pair.b) is not None
    }
    return {n: block for n, block in sections.items() if block and block not in shared}


def _how(comparison: Comparison, key: str, members: Sequence[Term]) -> str:
    """The arithmetic behind a difference."""
    pair = members[0].layer
    if pair.only:
        words = f"only in {pair.only.upper()}"
        if len(members) > 1:
            return f"{len(members)} layers {words}"
        formula = _formula(comparison, pair, pair.only, key)
        return f"{formula}, {words}" if formula else words
    a, b = (_formula(comparison, pair, side, key) for side in SIDES)
    if key == "flops":
        shares = [comparison.found(pair, side) for side in SIDES]
        macs = sum(
            sign * layer.costs.macs
            for layer, sign in zip(shares, (-1, 1), strict=True)
            if layer and not layer.training_only
        )
        other = members[0].difference - 2 * macs
        parts = [f"2*({macs:+,}) MACs"] if macs else []
        parts += [f"{other:+,} other"] if other and macs else []
        if parts:
            return ", ".join(parts)
    if a == b:
        figures = (comparison.share(pair, key, side) for side in SIDES)
        return " -> ".join(f"{figure:,}" for figure in figures)
    return f"{a or '0'} -> {b or '0'}"


def _formula(comparison: Comparison, pair: LayerPair, side: Side, key: str) -> str:
    """How a layer's figure comes about, or the shape that it goes with."""
    layer = comparison.found(pair, side)
    if layer is None:
        return ""
    formulas = {"params": layer.costs.params_formula, "macs": layer.costs.macs_formula}
    if key in formulas:
        return formulas[key].partition(" = ")[0]
    return show(layer.output_shape)


def _only(comparison: Comparison, side: Side, limit: int | None) -> Section | None:
    """The layers that one network alone has; a block of which the other has nothing in one row."""
    pairs = comparison.only(side)
    if not pairs:
        return None
    blocks = _blocks(comparison, side)
    gathered: dict[str, list[LayerPair]] = {}
    for pair in pairs:
        block = blocks.get(pair.label)
        gathered.setdefault(f"{block}.*" if block else pair.label, []).append(pair)
    rows, borders = [], []
    for label, members in gathered.items():
        layers = [layer for pair in members if (layer := comparison.found(pair, side))]
        params = sum(layer.costs.params for layer in layers)
        macs = sum(layer.costs.macs for layer in layers)
        first = comparison.side(side).graph.by_name[members[0].label]
        kind = first.layer.type if len(members) == 1 else f"{len(members)} layers"
        if members[0].pads:
            borders.append(f"{label} is the border that {members[0].pads} has itself")
        output = show(layers[-1].output_shape) if layers else "none"
        rows.append((label, kind, output, _figure(params), _figure(macs)))
    more = _more(rows, limit, 5)
    columns = (
        Column("layer", folds=True),
        Column("type"),
        Column("output", "right"),
        Column("params", "right"),
        Column("MACs", "right"),
    )
    return Section(
        f"only in {side.upper()}", columns, (*rows[:limit], *more), tuple(borders[:limit])
    )


def _figure(value: int) -> str:
    return f"{value:,}" if value else ""


def _more(rows: Sequence[object], limit: int | None, columns: int) -> tuple[tuple[str, ...], ...]:
    """A last row that says how many rows are left out."""
    left_out = len(rows) - (limit if limit is not None else len(rows))
    return ((f"{left_out} more", *[""] * (columns - 1)),) if left_out > 0 else ()


def _changes(comparison: Comparison, limit: int | None) -> Iterator[Section | None]:
    """What differs in layers of both, each kind for itself."""
    function = comparison.changed("function")
    quiet = {
        pair.label
        for pair in comparison.matched
        if not any(change.kind == "shape" for change in pair.changes)
    }
    yield _table(
        "the same shapes, other numbers",
        [(pair, change) for pair, change in function if pair.label in quiet],
        limit,
    )
    yield _table(
        "layers that differ",
        [(pair, change) for pair, change in function if pair.label not in quiet],
        limit,
    )
    yield _table("connections", comparison.changed("edges"), limit)
    yield _table("output shapes", comparison.changed("shape"), limit)
    yield _table("in training alone", comparison.changed("training"), limit)
    yield _table("how weights start", comparison.changed("start"), limit)
    yield _table("written otherwise, computed alike", comparison.changed("words"), limit)


def _table(
    title: str, changes: Iterable[tuple[LayerPair, Change]], limit: int | None
) -> Section | None:
    """Changes as rows; layers in which the same changes share one."""
    gathered: dict[tuple[str, str, str, str], list[str]] = {}
    for pair, change in changes:
        what = "moved" if pair.moved and change.what == "inputs" else change.what
        values = (text(change.a, change.kind), text(change.b, change.kind))
        gathered.setdefault((what, *values, change.effect), []).append(pair.label)
    rows = []
    for (what, a, b, effect), labels in gathered.items():
        others = len(labels) - NAMED
        names = labels if others <= 1 else [*labels[:NAMED], f"{others} more"]
        field = f"{what} ({effect})" if effect else what
        if what in ("inputs", "moved"):
            field = "reads" if what == "inputs" else "moved: reads"
        # Where several stand in one cell, a pair of names is one word.
        shown = [name.replace(" = ", "=") for name in names] if len(names) > 1 else names
        rows.append((", ".join(shown), field, a, b))
    if not rows:
        return None
    more = _more(rows, limit, 4)
    columns = (
        Column("layer", folds=True),
        Column("what", folds=True),
        Column("A", folds=True),
        Column("B", folds=True),
    )
    unread = any(re.search(r"padding.*[ ,]-[0-9]", what) for _, what, _, _ in rows[:limit])
    notes = ("A negative padding is pixels at that side which no window reads.",) if unread else ()
    return Section(title, columns, (*rows[:limit], *more), notes)


def _renamed(comparison: Comparison, limit: int | None) -> Section | None:
    rows = [(pair.a or "", pair.b or "") for pair in comparison.renamed]
    if not rows:
        return None
    columns = (Column("A", folds=True), Column("B", folds=True))
    return Section("under other names", columns, (*rows[:limit], *_more(rows, limit, 2)))


def _recipe(comparison: Comparison) -> Section | None:
    rows = tuple((c.what, text(c.a), text(c.b)) for c in comparison.recipe)
    if not rows:
        return None
    columns = (Column("recipe"), Column("A", folds=True), Column("B", folds=True))
    return Section("training", columns, rows)
