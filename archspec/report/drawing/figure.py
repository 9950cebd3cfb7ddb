"""A chain as the AlexNet paper draws it in its figure 2.

Maps are boxes in perspective: channels to the right, height upwards, width into the page. On
each lies the window of the layer that reads it, with rays to the point that it computes. Where
groups say so, maps stand in towers, one below the other, with rays across where a layer sees
all of them. Dense layers are slabs. Edges grow with the sizes that are written at them, but not
in proportion: 13 and 227 pixels both have to be seen.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from archspec.analysis import Analysis
from archspec.report.drawing import words
from archspec.report.drawing.lettering import fitted, width_of
from archspec.report.drawing.svg import SIZE, SMALL, Point, Sheet
from archspec.report.drawing.volumes import Volume

LARGEST = 170.0  # pixels of the largest height
WIDEST = 1500.0  # of a row
THICKEST = 74.0  # and of the most channels
LEAST = 22.0
SLAB = 13.0
TALLEST_SLAB = 190.0
OBLIQUE = (0.40, -0.30)  # where a pixel of width goes
CAPTION = 100.0  # widest line below a volume
LINE = 15.0
ROOM = 12.0


@dataclass
class _Solid:
    """A volume with its place: its front's left edge, and the middles of its fronts.

    `before` and `behind` are what it needs on both sides of its middle, all text included;
    `left` is the room for the sizes at its left edges.
    """

    volume: Volume
    thickness: float
    height: float
    depth: Point
    lines: list[tuple[str, str]]
    before: float = 0.0
    behind: float = 0.0
    left: float = 0.0
    middles: list[float] = field(default_factory=list)
    x: float = 0.0

    @property
    def right(self) -> float:
        """Where its right face ends."""
        return self.x + self.thickness + self.depth[0]

    @property
    def middle(self) -> float:
        """The middle from the front's left edge to the end of the right face."""
        return (self.x + self.right) / 2


def draw_figure(sheet: Sheet, analysis: Analysis, volumes: Sequence[Volume]) -> None:
    """Draw the volumes of a chain from left to right, in as many rows as a page is wide."""
    known = [volume for volume in volumes if volume.shape is not None]
    solids = [_solid(volume, known) for volume in known]
    for before, solid in itertools.pairwise(solids):
        _make_room(before, solid)
    rows = _rows(solids)
    top = 0.0
    for number, row in enumerate(rows):
        captions = _place(row, top)
        for solid in row:
            layers = solid.volume.layers
            sheet.open(words.tooltip(layers, analysis), data_layers=" ".join(layers))
            for middle in solid.middles:
                _draw_solid(sheet, solid, middle)
            sheet.close()
        for before, solid in itertools.pairwise(row):
            _draw_links(sheet, before, solid)
        for before, solid in itertools.pairwise(row):
            _draw_kernel(sheet, before, solid)
        for solid in row:
            _draw_sizes(sheet, solid)
            _draw_caption(sheet, solid, captions)
        if number:
            _draw_turn(sheet, rows[number - 1][-1], row[0], top - ROOM)
        top = captions + LINE * max(len(solid.lines) for solid in row) + 2 * ROOM
    _draw_missing(sheet, volumes, rows[-1][-1])


def _solid(volume: Volume, known: Sequence[Volume]) -> _Solid:
    shape = volume.shape or (1,)
    lines = _caption(volume)
    if volume.vector:
        most = max(v.shape[0] for v in known if v.shape is not None and v.vector)
        height = LEAST + (TALLEST_SLAB - LEAST) * (shape[0] / most) ** 0.5
        found = _Solid(volume, SLAB, height, (6.0, -6.0), lines)
    else:
        maps = [v.shape for v in known if v.shape is not None and not v.vector]
        most_channels = max(s[0] for s in maps) / volume.towers
        largest = max(max(s[1:]) for s in maps)
        channels = shape[0] / volume.towers
        depth = _edge(shape[2], largest)
        found = _Solid(
            volume,
            5 + (THICKEST - 5) * (channels / most_channels) ** 0.6,
            _edge(shape[1], largest),
            (depth * OBLIQUE[0], depth * OBLIQUE[1]),
            lines,
        )
        found.left = 8 + max(width_of(str(side), SMALL) for side in shape[1:])
    widest = max(width_of(t, _size(style), bold=style == "strong") for t, style in lines)
    widest = max(widest, width_of(_channels(volume), SIZE, bold=True))
    half = (found.thickness + found.depth[0]) / 2
    found.before = max(half + found.left, widest / 2) + ROOM / 2
    found.behind = max(half, widest / 2) + ROOM / 2
    return found


def _edge(side: int, largest: int) -> float:
    return LEAST + (LARGEST - LEAST) * math.pow(side / largest, 0.7)


def _size(style: str) -> float:
    return SIZE if style == "strong" else SMALL


def _make_room(before: _Solid, solid: _Solid) -> None:
    """Leave room behind a volume for the rays and the kernel's size beside the window."""
    window = solid.volume.window
    label = width_of(words.by(window.kernel_size), SMALL) if window else 0.0
    half = (before.thickness + before.depth[0]) / 2
    before.behind = max(before.behind, half + max(label + 8, 30.0))


def _rows(solids: Sequence[_Solid]) -> list[list[_Solid]]:
    """The solids in rows of about one width."""
    total = sum(solid.before + solid.behind for solid in solids)
    count = max(math.ceil(total / WIDEST), 1)
    rows: list[list[_Solid]] = [[]]
    filled = 0.0
    for solid in solids:
        width = solid.before + solid.behind
        if filled + width / 2 > total / count * len(rows) and len(rows) < count:
            rows.append([])
        rows[-1].append(solid)
        filled += width
    return rows


def _place(solids: Sequence[_Solid], top: float) -> float:
    """Give the solids of a row their places below `top`; returns where the captions begin."""
    towers = [solid for solid in solids if solid.volume.towers > 1]
    pitch = max((s.height - s.depth[1] for s in towers), default=0) + 2.6 * LINE
    x = 0.0
    for solid in solids:
        solid.x = x + solid.before - (solid.thickness + solid.depth[0]) / 2
        x += solid.before + solid.behind
        own = solid.volume.towers
        # The middle of the whole solid, its top face with it, stands on the row.
        offsets = [(number - (own - 1) / 2) * pitch for number in range(own)]
        solid.middles = [offset - solid.depth[1] / 2 for offset in offsets]
    highest = min(s.middles[0] - s.height / 2 + s.depth[1] for s in solids)
    for solid in solids:
        solid.middles = [middle + top - highest for middle in solid.middles]
    return max(s.middles[-1] + s.height / 2 for s in solids) + 2.4 * LINE


def _draw_solid(sheet: Sheet, solid: _Solid, middle: float) -> None:
    kind = "image" if solid.volume.head is None else words.kind(solid.volume.head.layer)
    dx, dy = solid.depth
    left, right = solid.x, solid.x + solid.thickness
    top, bottom = middle - solid.height / 2, middle + solid.height / 2
    sheet.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], kind)
    sheet.polygon([(left, top), (left + dx, top + dy), (right + dx, top + dy), (right, top)], kind)
    sheet.polygon(
        [(right, top), (right + dx, top + dy), (right + dx, bottom + dy), (right, bottom)], kind
    )


def _draw_links(sheet: Sheet, before: _Solid, solid: _Solid) -> None:
    """From a volume to the next: a window with rays, or a beam where every element is read."""
    window = solid.volume.window
    for row, start in enumerate(before.middles):
        for other, end in enumerate(solid.middles):
            across = len(before.middles) == len(solid.middles) > 1 and row != other
            if across and not solid.volume.crossing:
                continue
            if window is None or before.volume.vector:
                _draw_beam(sheet, before, start, solid, end)
            else:
                apex = (solid.x + solid.thickness * 0.35, end + solid.depth[1] / 4)
                _draw_rays(sheet, before, start, solid.volume, apex, across=across)


def _draw_beam(sheet: Sheet, before: _Solid, start: float, solid: _Solid, end: float) -> None:
    right = before.x + before.thickness
    dx, dy = before.depth
    half = before.height / 2
    points = [
        (right + dx, start - half + dy),
        (solid.x, end - solid.height / 2),
        (solid.x, end + solid.height / 2),
        (right + dx if dx > dy else right, start + half + dy),
    ]
    sheet.polygon(points, "beam", fill_opacity=0.16)


def _draw_rays(
    sheet: Sheet, before: _Solid, start: float, volume: Volume, apex: Point, *, across: bool
) -> None:
    """The window on the right face, the channels behind it, and rays to the point they give."""
    corners = _window_corners(before, start, volume)
    if across:
        for corner in (corners[1], corners[2]):
            sheet.line([corner, apex], "ray", stroke_width=0.8, stroke_dasharray="3 3")
        return
    back = [(x - before.thickness, y) for x, y in corners]
    for front, behind in zip(corners, back, strict=True):
        sheet.line([behind, front], "ray", stroke_width=0.7, stroke_dasharray="2 2")
    sheet.line([*back, back[0]], "ray", stroke_width=0.7, stroke_dasharray="2 2")
    sheet.polygon(corners, "beam", fill_opacity=0.35)
    sheet.line([*corners, corners[0]], "ray", stroke_width=1.1)
    for corner in corners:
        sheet.line([corner, apex], "ray", stroke_width=0.8)


def _window_corners(before: _Solid, start: float, volume: Volume) -> list[Point]:
    """The corners of the window in the middle of the right face."""
    window, shape = volume.window, before.volume.after
    if window is None or shape is None or len(shape) != 3:
        return []
    dx, dy = before.depth
    tall = min(max(window.height.extent / shape[1], 0.12), 1) * before.height
    wide = min(max(window.width.extent / shape[2], 0.12), 1)
    x = before.x + before.thickness + dx * (1 - wide) / 2
    y = start + dy * (1 - wide) / 2 - tall / 2
    right, up = dx * wide, dy * wide
    return [(x, y), (x + right, y + up), (x + right, y + up + tall), (x, y + tall)]


def _draw_kernel(sheet: Sheet, before: _Solid, solid: _Solid) -> None:
    """The size of the window, beside it: above the rays, or between those to two towers."""
    volume = solid.volume
    if volume.window is None or before.volume.vector or volume.merged > 1:
        return
    corners = _window_corners(before, before.middles[0], volume)
    text = words.by(volume.window.kernel_size)
    between = len(before.middles) == 1 < len(solid.middles)
    y = before.middles[0] + before.depth[1] / 4 + 4 if between else corners[1][1] - 6
    sheet.text(before.right + 3, y, text, size=SMALL, class_="halo", anchor="start")


def _draw_turn(sheet: Sheet, last: _Solid, first: _Solid, y: float) -> None:
    """An arrow from the end of a row to the beginning of the next."""
    right = last.middle + last.behind + ROOM
    left = first.middle - first.before - ROOM
    start, end = last.middles[0], first.middles[0]
    sheet.line(
        [(last.right + 4, start), (right, start), (right, y), (left, y), (left, end)], "link"
    )
    tip = first.x - first.left - 2
    sheet.line([(left, end), (tip - 6, end)], "link")
    sheet.polygon([(tip, end), (tip - 6, end - 4), (tip - 6, end + 4)], "head")


def _draw_sizes(sheet: Sheet, solid: _Solid) -> None:
    """Height and width at their edges, channels below."""
    volume, shape = solid.volume, solid.volume.shape
    assert shape is not None
    for middle in solid.middles:
        bottom = middle + solid.height / 2
        if not volume.vector:
            top = middle - solid.height / 2
            x, y = solid.x + solid.depth[0] / 2 - 4, top + solid.depth[1] / 2 + 1
            # Below the middle, where the rays arrive.
            low = middle + solid.height * 0.3 + 4
            sheet.text(solid.x - 4, low, str(shape[1]), size=SMALL, class_="halo", anchor="end")
            sheet.text(x, y, str(shape[2]), size=SMALL, class_="halo", anchor="end")
        sheet.text(
            solid.x + solid.thickness / 2, bottom + 14, _channels(volume), class_="strong halo"
        )


def _channels(volume: Volume) -> str:
    assert volume.shape is not None
    return str(volume.shape[0] // volume.towers)


def _draw_caption(sheet: Sheet, solid: _Solid, top: float) -> None:
    for number, (text, style) in enumerate(solid.lines):
        sheet.text(solid.middle, top + LINE * number, text, size=_size(style), class_=style)


def _caption(volume: Volume) -> list[tuple[str, str]]:
    """The name, the operation, what follows it, and the size that this leaves."""
    block, dot, last = volume.name.rpartition(".")
    wide = width_of(volume.name, SIZE, bold=True) > CAPTION
    names = [block + dot, last] if dot and wide else [volume.name]
    lines = [(fitted(name, CAPTION, SIZE, bold=True), "strong") for name in names]
    lines += [(line, "") for line in _wrapped(volume.operations, ", ")]
    lines += [(line, "faint") for line in _wrapped(volume.follows, " · ")]
    return lines


def _wrapped(parts: Sequence[str], between: str) -> list[str]:
    """The parts on as few lines as fit below a volume, broken at blanks where one is too long."""
    lines: list[str] = []
    for part in ", ".join(parts).split(", "):
        joint = " " if part.startswith("→") else between
        longer = f"{lines[-1]}{joint}{part}" if lines else ""
        if lines and width_of(longer, SMALL) <= CAPTION:
            lines[-1] = longer
            continue
        lines.append("")
        for word in part.split(" "):
            longer = f"{lines[-1]} {word}".strip()
            if lines[-1] and width_of(longer, SMALL) > CAPTION:
                lines.append(word)
            else:
                lines[-1] = longer
    return [fitted(line, CAPTION, SMALL) for line in lines]


def _draw_missing(sheet: Sheet, volumes: Sequence[Volume], last: _Solid) -> None:
    """A box for the layers that have no output."""
    missing = [volume for volume in volumes if volume.shape is None]
    if not missing:
        return
    layers = [name for volume in missing for name in volume.layers]
    x, y = last.middle + last.behind + 2 * ROOM, last.middles[0] - 40
    sheet.open("no output: " + ", ".join(layers), data_layers=" ".join(layers))
    sheet.box(x, y, 120, 80, "broken training")
    sheet.text(x + 60, y + 34, "no output", class_="strong")
    sheet.text(x + 60, y + 52, fitted(layers[0], 110, SMALL), size=SMALL)
    more = f" and {len(layers) - 1} more" if len(layers) > 1 else ""
    if more:
        sheet.text(x + 60, y + 68, more.strip(), size=SMALL)
    sheet.close()
