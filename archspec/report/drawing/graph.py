"""The network as a graph: boxes, blocks around them, lines that run between and not through."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from archspec.analysis import Analysis
from archspec.layers.base import show
from archspec.report.drawing import words
from archspec.report.drawing.boxes import (
    Block,
    Box,
    Item,
    Run,
    figures,
    kinds_of_blocks,
    runs_of,
)
from archspec.report.drawing.layout import TURN, Arrangement, Edge, arrange, crossings, ranks_of
from archspec.report.drawing.lettering import fitted, width_of
from archspec.report.drawing.svg import SIZE, SMALL, Sheet
from archspec.spec.fields import INPUT

Detail = Literal["blocks", "layers", "auto"]

# From so many boxes on, `auto` shows blocks closed, and the structure of each kind once.
MANY = 48
KINDS_SHOWN = 6
WIDEST = 230.0  # of what stands in a box
LINE = 15.0
PAD = 10.0
HEADER = 20.0  # of the name of a block inside its border
BESIDE = 30.0  # between blocks that show what is inside
CARD = 4.0  # between the borders of blocks drawn as one
GUTTER = 44.0  # between columns of the page
LOW = 640.0  # what is not higher stays in one column
ASPECT = 1.7
# What a line more from one column to the next is worth, in pixels of balance between columns.
CROSSING = 90.0
MOST_CROSSING = 8

Draw = Callable[[Sheet, float, float], None]


@dataclass(frozen=True)
class Piece:
    """Something with a size that can be drawn at a place, and where lines meet it.

    `enters` and `leaves` say how far from its middle, by the layer whose output runs there.
    """

    width: float
    height: float
    draw: Draw
    layers: tuple[str, ...]
    reads: tuple[str, ...]
    enters: Mapping[str, float] = field(default_factory=dict)
    leaves: Mapping[str, float] = field(default_factory=dict)
    closed: bool = True  # lines end at it with a head, and do not go on inside


def draw_graph(
    sheet: Sheet, analysis: Analysis, items: Sequence[Box | Block], detail: Detail
) -> None:
    """Draw the network; `detail` says whether blocks are open."""
    count = sum(len(item.boxes) if isinstance(item, Block) else 1 for item in items)
    closed = detail == "blocks" or (detail == "auto" and count > MANY)
    shown: Sequence[Item] = runs_of(items, analysis) if closed else items
    pieces = [_image(analysis), *(_piece(item, analysis) for item in shown)]
    bottom = _draw_columns(sheet, pieces)
    if closed:
        _draw_kinds(sheet, analysis, kinds_of_blocks(items), bottom + 40)


def _image(analysis: Analysis) -> Piece:
    lines = [("input", "strong"), (words.sizes(analysis.graph.input_shape), "faint")]
    return _lettered(lines, "image", (INPUT,), (), "input " + show(analysis.graph.input_shape))


def _piece(item: Item, analysis: Analysis) -> Piece:
    if isinstance(item, Box):
        return _layer_box(item, analysis, item.section)
    if isinstance(item, Run):
        return _closed(item, analysis)
    return _open(item, analysis, item.name)


def _layer_box(box: Box, analysis: Analysis, section: str) -> Piece:
    head, *others = box.nodes
    name = box.name[len(section) + 1 :] if section and box.name != section else box.name
    operation = words.operation(head, analysis)
    lines = [(name, "strong")]
    if operation != name.rpartition(".")[2].replace("_", " "):
        lines.append((operation, ""))
    if others:
        lines.append((" · ".join(words.short_type(node.layer) for node in others), "faint"))
    lines.append((_shape(box.output, analysis), "faint"))
    return _lettered(
        lines,
        _kind(box.layers, box.kind, analysis),
        box.layers,
        box.reads,
        words.tooltip(box.layers, analysis),
        training_only=box.output in analysis.graph.training_only,
    )


def _closed(run: Run, analysis: Analysis) -> Piece:
    count = len(run.blocks)
    lines = [(run.name, "strong")]
    if count > 1:
        lines.append((f"{count} blocks of {len(run.blocks[0].layers)} layers", ""))
        lines.append((figures(run, analysis).partition(", ")[2], "faint"))
    else:
        lines.append((figures(run, analysis), ""))
    lines.append((_shape(run.output, analysis), "faint"))
    return _lettered(
        [line for line in lines if line[0]],
        _kind(run.layers, "plain", analysis),
        run.layers,
        run.reads,
        words.tooltip(run.layers, analysis),
        cards=min(count - 1, 2),
        training_only=run.output in analysis.graph.training_only,
    )


def _open(block: Block, analysis: Analysis, title: str, *, above: bool = False) -> Piece:
    """A block with its boxes; its title inside the border, or `above` it."""
    pieces = [_layer_box(box, analysis, block.name) for box in block.boxes]
    inside = set(block.layers)
    consumers = analysis.graph.consumers
    leaving = [
        name
        for name in block.layers
        if name == block.output or any(reader not in inside for reader in consumers[name])
    ]
    ports = [_port((name,), ()) for name in block.reads]
    exits = [_port((), (name,)) for name in leaving]
    everything = [*ports, *pieces, *exits]
    edges = _edges(everything)
    found = arrange([(p.width, p.height) for p in everything], edges, last=len(exits))
    last = len(everything) - len(exits)
    enters_x = [found.corners[number][0] for number in range(len(ports))]
    leaves_x = [found.corners[last + number][0] for number in range(len(exits))]
    label = fitted(title, WIDEST + (80 if above else 0), SIZE, bold=True)
    title_width = width_of(label, SIZE, bold=True)
    left = PAD + (0 if above else max(title_width + 12 - min(enters_x, default=0) - PAD / 2, 0))
    width = max(left + found.width + PAD, title_width if above else 0)
    left += (width - found.width - left - PAD) / 2
    if not above and len(enters_x) == 1:
        # With the line in its middle, the block stands straight below what it reads.
        middle = left + enters_x[0]
        half = max(middle, width - middle)
        left += half - middle
        width = 2 * half
    top = HEADER if above else 0.0
    # Lines turn below the title.
    inner = top + (0 if above else HEADER - 8)
    height = found.height + inner + PAD / 2
    training = " training" if block.output in analysis.graph.training_only else ""

    def draw(sheet: Sheet, x: float, y: float) -> None:
        sheet.open(block.name)
        sheet.box(x, y + top, width, height - top, f"ground{training}", radius=9)
        if above:
            sheet.text(x + 1, y + 12, label, class_="strong", anchor="start")
        else:
            sheet.text(x + 8, y + 15, label, class_="strong", anchor="start")
        _draw_lines(sheet, found, edges, everything, x + left, y + inner)
        for piece, corner in zip(everything, found.corners, strict=True):
            piece.draw(sheet, x + left + corner[0], y + inner + corner[1])
        ends = [(at, top, inner) for at in enters_x]
        ends += [(at, inner + found.height, height) for at in leaves_x]
        for at, start, end in ends:
            sheet.line([(x + left + at, y + start), (x + left + at, y + end)], "link")
        sheet.close()

    middle = width / 2
    return Piece(
        width,
        height,
        draw,
        block.layers,
        block.reads,
        {name: left + at - middle for name, at in zip(block.reads, enters_x, strict=True)},
        {name: left + at - middle for name, at in zip(leaving, leaves_x, strict=True)},
        closed=False,
    )


def _port(layers: tuple[str, ...], reads: tuple[str, ...]) -> Piece:
    """Where a line crosses the border of a block."""
    return Piece(0, 0, lambda sheet, x, y: None, layers, reads, closed=False)


def _lettered(
    lines: Sequence[tuple[str, str]],
    kind: str,
    layers: tuple[str, ...],
    reads: tuple[str, ...],
    tooltip: str,
    *,
    cards: int = 0,
    training_only: bool = False,
) -> Piece:
    """A box with lines of text, and more borders behind it where it stands for several."""
    texts = [
        (fitted(text, WIDEST, _size(style), bold=style == "strong"), style) for text, style in lines
    ]
    widest = max(width_of(t, _size(style), bold=style == "strong") for t, style in texts)
    width, height = max(widest + 2 * PAD, 60), LINE * len(texts) + PAD
    class_ = kind + (" training" if training_only else "")

    def draw(sheet: Sheet, x: float, y: float) -> None:
        sheet.open(tooltip, data_layers=" ".join(layers))
        for card in range(cards, 0, -1):
            sheet.box(x + CARD * card, y + CARD * card, width, height, class_)
        sheet.box(x, y, width, height, class_)
        for number, (text, style) in enumerate(texts):
            baseline = y + PAD / 2 + LINE * number + 11.5
            sheet.text(x + width / 2, baseline, text, size=_size(style), class_=style)
        sheet.close()

    # The cards behind it are on both sides, so that its middle is the middle of the text.
    return Piece(
        width + 2 * CARD * cards, height + CARD * cards, _shifted(draw, CARD * cards), layers, reads
    )


def _shifted(draw: Draw, by: float) -> Draw:
    return lambda sheet, x, y: draw(sheet, x + by, y)


def _size(style: str) -> float:
    return SIZE if style == "strong" else SMALL


def _edges(pieces: Sequence[Piece]) -> list[Edge]:
    """The lines between pieces, which read one another's layers."""
    at = {name: number for number, piece in enumerate(pieces) for name in piece.layers}
    found = []
    for number, piece in enumerate(pieces):
        for name in piece.reads:
            start = at[name]
            leaves = pieces[start].leaves.get(name, 0.0)
            found.append(Edge(start, number, leaves, piece.enters.get(name, 0.0)))
    return found


def _draw_lines(
    sheet: Sheet,
    found: Arrangement,
    edges: Sequence[Edge],
    pieces: Sequence[Piece],
    x: float,
    y: float,
) -> None:
    for edge, line in zip(edges, found.lines, strict=True):
        points = [(x + px, y + py) for px, py in line]
        if pieces[edge.end].closed:
            sheet.arrow(points)
        else:
            sheet.line(points, "link")


def _draw_columns(sheet: Sheet, pieces: Sequence[Piece]) -> float:
    """Draw the pieces in as many columns as make the picture about as wide as a slide.

    Lines that lead on leave a column at its bottom and enter the next one at its top. Returns
    where the picture ends.
    """
    parts = _parts(pieces)
    last_read = {
        name: number for number, part in enumerate(parts) for piece in part for name in piece.reads
    }
    carried: list[tuple[float, str]] = []  # from the column before: where, and the layer's output
    x = end = bottom = 0.0
    for number, part in enumerate(parts):
        made = [name for piece in part for name in piece.layers]
        names = [*(name for _, name in carried), *made]
        leaving = [name for name in names if last_read.get(name, 0) > number]
        members = [
            *(_port((name,), ()) for _, name in carried),
            *part,
            *(_port((), (name,)) for name in leaving),
        ]
        lines = _edges(members)
        found = arrange([(p.width, p.height) for p in members], lines, last=len(leaving))
        if carried:
            x += GUTTER + TURN * len(carried)
            tops = [x + found.corners[port][0] for port in range(len(carried))]
            _draw_turns(sheet, [at for at, _ in carried], end, tops, x)
        _draw_lines(sheet, found, lines, members, x, 0)
        for piece, corner in zip(members, found.corners, strict=True):
            piece.draw(sheet, x + corner[0], corner[1])
        exits = found.corners[len(members) - len(leaving) :]
        carried = sorted((x + at, name) for (at, _), name in zip(exits, leaving, strict=True))
        end = found.height
        x += found.width
        bottom = max(bottom, found.height + TURN * len(carried))
    return bottom


def _draw_turns(
    sheet: Sheet, leaves: Sequence[float], end: float, enters: Sequence[float], right: float
) -> None:
    """Lines from the bottom of a column to the top of the next: nested, so that none cross."""
    for number, (start, target) in enumerate(zip(leaves, enters, strict=True)):
        outer = TURN * (len(leaves) - 1 - number)
        low, high = end + 8 + outer, -14 - TURN * number
        gutter = right - GUTTER / 2 - TURN * number
        points = [(start, end), (start, low), (gutter, low), (gutter, high), (target, high)]
        sheet.line([*points, (target, 0.0)], "link")


def _parts(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """The pieces of each column of the page; as few lines as possible lead from one to the next."""
    edges = _edges(pieces)
    whole = arrange([(p.width, p.height) for p in pieces], edges)
    columns = max(round((ASPECT * whole.height / max(whole.width, 1)) ** 0.5), 1)
    if whole.height <= LOW or columns == 1:
        return [list(pieces)]
    ranks = ranks_of(len(pieces), edges)
    crossing = crossings(ranks, edges)
    ends = [0.0] * len(crossing)
    for rank, piece, corner in zip(ranks, pieces, whole.corners, strict=True):
        ends[rank] = max(ends[rank], corner[1] + piece.height)
    chosen: list[int] = []
    first = 0
    for number in range(1, columns):
        target = whole.height * number / columns
        costs = [
            (abs(ends[rank] - target) + CROSSING * (crossing[rank] - 1), rank)
            for rank in range(first, len(crossing) - 1)
            if crossing[rank] <= MOST_CROSSING
        ]
        cost, rank = min(costs, default=(whole.height, 0))
        if cost < whole.height / columns:
            chosen.append(rank)
            first = rank + 1
    parts: list[list[Piece]] = [[] for _ in range(len(chosen) + 1)]
    for rank, piece in zip(ranks, pieces, strict=True):
        parts[bisect_left(chosen, rank)].append(piece)
    return parts


def _draw_kinds(
    sheet: Sheet, analysis: Analysis, kinds: Sequence[Sequence[Block]], top: float
) -> None:
    """Below the picture, one block of each kind with its layers."""
    if not kinds:
        return
    left = min(sheet.left, 0.0)
    sheet.text(left, top, "Inside the blocks", size=14, class_="strong", anchor="start")
    shown = [_open(k[0], analysis, _title_of_kind(k), above=True) for k in kinds[:KINDS_SHOWN]]
    area = sum((piece.width + BESIDE) * (piece.height + BESIDE) for piece in shown)
    right = left + max(sheet.right - left, (2 * ASPECT * area) ** 0.5, 1000)
    x, y, height = left, top + 18, 0.0
    for piece in shown:
        if x > left and x + piece.width > right:
            x, y, height = left, y + height + BESIDE, 0.0
        piece.draw(sheet, x, y)
        x += piece.width + BESIDE
        height = max(height, piece.height)
    hidden = len(kinds) - KINDS_SHOWN
    if hidden > 0:
        more = f"and {hidden} more kind{'s' if hidden > 1 else ''} of block (--detail layers)"
        sheet.text(left, y + height + 24, more, class_="faint", anchor="start")


def _title_of_kind(kind: Sequence[Block]) -> str:
    """`conv3_1`, and how many others are built as it is."""
    others = len(kind) - 1
    if not others:
        return kind[0].name
    return f"{kind[0].name} (and {others} other{'s' if others > 1 else ''})"


def _shape(name: str, analysis: Analysis) -> str:
    found = analysis.by_name.get(name)
    return words.sizes(found.output_shape) if found else "no output"


def _kind(layers: Sequence[str], kind: str, analysis: Analysis) -> str:
    """The kind, or `broken` where one of the layers has an error or no output."""
    if any(name not in analysis.by_name for name in layers):
        return "broken"
    broken = analysis.broken
    return "broken" if broken and not broken.isdisjoint(layers) else kind
