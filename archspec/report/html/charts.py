"""Charts of a page: what layers cost, what is alive when, how far they see."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from archspec.analysis import Analysis, LayerAnalysis
from archspec.analysis.memory import Memory
from archspec.analysis.numbers import short_bytes
from archspec.report.drawing import words
from archspec.report.drawing.lettering import fitted, width_of
from archspec.report.drawing.svg import SMALL, Point, Sheet
from archspec.report.markup import Markup

# More bars than this are no picture: blocks stand for their layers then, or runs of layers.
BARS = 40
BAR = 14.0
ROW = 19.0
CHART = 360.0
LABELS = 110.0
# Points of the timeline; of several moments in one the largest counts.
POINTS = 600
FIELDS = 8

Value = Callable[[LayerAnalysis], int]


@dataclass(frozen=True)
class Group:
    """Layers that share a bar."""

    name: str
    kind: str
    layers: tuple[LayerAnalysis, ...]


def groups(analysis: Analysis, value: Value) -> list[Group]:
    """The layers that cost anything, in order: each by itself, or in the smallest groups that fit.

    Layers of one block are one group, then those of the outermost block, then as many as needed.
    """
    costly = [layer for layer in analysis.layers if value(layer)]
    if len(costly) <= BARS:
        return [_group(layer.name, (layer,), value) for layer in costly]
    sections = analysis.graph.sections
    blocks = {layer.name: sections[layer.name] or layer.name for layer in costly}
    outermost = {layer.name: layer.name.partition(".")[0] for layer in costly}
    for names in (blocks, outermost):
        found = [Group(name, "conv", tuple(run)) for name, run in groupby(costly, _by(names))]
        if len(found) <= BARS:
            return found
    size = math.ceil(len(costly) / BARS)
    cut = [tuple(costly[at : at + size]) for at in range(0, len(costly), size)]
    return [_group(f"{run[0].name} … {run[-1].name}", run, value) for run in cut]


def _group(name: str, layers: tuple[LayerAnalysis, ...], value: Value) -> Group:
    """A group, of the kind of the layer that costs most."""
    return Group(name, words.kind(max(layers, key=value).node.layer), layers)


def _by(names: Mapping[str, str]) -> Callable[[LayerAnalysis], str]:
    return lambda layer: names[layer.name]


def bars(
    analysis: Analysis, title: str, identity: str, value: Value, shown: Callable[[int], str]
) -> Markup:
    """A bar for each group, its figure and its share of the sum beside it."""
    sheet = Sheet()
    found = [(group, sum(map(value, group.layers))) for group in groups(analysis, value)]
    whole = sum(amount for _, amount in found)
    most = max((amount for _, amount in found), default=1)
    texts = [f"{shown(amount)} · {amount / whole:.1%}" for _, amount in found]
    names = [fitted(group.name, LABELS, SMALL) for group, _ in found]
    left = max((width_of(name, SMALL) for name in names), default=0) + 8
    room = CHART - left - max((width_of(text, SMALL) for text in texts), default=0) - 8
    for number, ((group, amount), name, text) in enumerate(zip(found, names, texts, strict=True)):
        y = ROW * number
        length = max(room * amount / most, 1.5)
        count = len(group.layers)
        layers = f" ({count} layers)" if count > 1 else ""
        sheet.open(f"{group.name}{layers}: {amount:,}")
        sheet.text(left - 8, y + 11, name, size=SMALL, anchor="end")
        sheet.box(left, y, length, BAR, f"bar {group.kind}", radius=2)
        sheet.text(left + length + 6, y + 11, text, size=SMALL, class_="faint", anchor="start")
        sheet.close()
    sheet.cover((0, 0), (CHART, ROW))
    largest = sorted(found, key=lambda pair: -pair[1])[:3]
    described = ", ".join(f"{group.name} {amount / whole:.0%}" for group, amount in largest)
    return sheet.svg(title, f"The largest: {described}", alone=False, identity=identity)


def timeline(memory: Memory) -> Markup:
    """What a training step holds: its parts at the peak, and what is alive from moment to moment.

    The second is drawn apart from what is there all the time, which may be far more.
    """
    width, height = 860.0, 200.0
    moments = memory.timeline
    sheet = Sheet()
    parts = [
        ("parameters", memory.parameters + memory.buffers, "conv"),
        ("gradients", memory.gradients, "pool"),
        ("optimizer state", memory.optimizer_state, "join"),
        ("largest moment", memory.peak_at.bytes, "dense"),
    ]
    _draw_parts(sheet, [part for part in parts if part[1]], width)
    base = 92.0
    top = _nice(memory.peak_at.bytes)

    def y(amount: float) -> float:
        return base + height * (1 - amount / top)

    step = max(math.ceil(len(moments) / POINTS), 1)
    across = width / len(moments)
    steps: list[Point] = []
    for at in range(0, len(moments), step):
        level = y(max(moment.bytes for moment in moments[at : at + step]))
        steps += [(at * across, level), (min((at + step) * across, width), level)]
    sheet.open("alive besides weights, gradients of weights and optimizer state")
    sheet.polygon([(0, y(0)), *steps, (width, y(0))], "dense")
    sheet.close()
    for number in range(5):
        tick = top * number // 4
        sheet.line([(-4, y(tick)), (0, y(tick))], "axis")
        sheet.text(-8, y(tick) + 4, _tick(tick, top), size=SMALL, anchor="end")
    sheet.line([(0, y(top)), (0, y(0)), (width, y(0))], "axis")
    turn = sum(moment.phase == "forward" for moment in moments) * across
    sheet.line([(turn, y(top)), (turn, y(0) + 6)], "axis", stroke_dasharray="4 3")
    sheet.text(turn / 2, y(0) + 18, "forward", size=SMALL)
    sheet.text((turn + width) / 2, y(0) + 18, "backward", size=SMALL)
    largest = max(range(len(moments)), key=lambda number: moments[number].bytes)
    x, peak = (largest + 0.5) * across, y(moments[largest].bytes)
    name = fitted(moments[largest].name, LABELS, SMALL)
    text = f"{short_bytes(moments[largest].bytes)} at {name}"
    half = width_of(text, SMALL) / 2
    sheet.polygon([(x, peak - 2), (x - 4, peak - 9), (x + 4, peak - 9)], "head")
    sheet.text(min(max(x, half), width - half), peak - 13, text, size=SMALL, class_="halo")
    described = (
        f"{short_bytes(memory.resident)} all the time, {short_bytes(memory.training_peak)} at the "
        f"peak, which is at {moments[largest].name}, {moments[largest].phase}"
    )
    return sheet.svg("Memory of a training step", described, alone=False, identity="timeline")


def _draw_parts(sheet: Sheet, parts: Sequence[tuple[str, int, str]], width: float) -> None:
    """What is held at the peak as pieces of one bar, with a key below."""
    whole = sum(amount for _, amount, _ in parts)
    sheet.text(0, 0, f"{short_bytes(whole)} at the peak", class_="strong", anchor="start")
    x = key = 0.0
    for name, amount, kind in parts:
        length = width * amount / whole
        sheet.open(f"{name}: {amount:,} bytes")
        sheet.box(x, 10, length, 18, kind, radius=0)
        sheet.close()
        x += length
        text = f"{name} {short_bytes(amount)}"
        sheet.box(key, 37, 11, 11, kind, radius=0)
        sheet.text(key + 17, 47, text, size=SMALL, anchor="start")
        key += 17 + width_of(text, SMALL) + 22


def fields(analysis: Analysis) -> Markup | None:
    """How the receptive field grows, and how large it is on the image; None where nothing sees.

    The squares are the fields of the output in the middle, padding not subtracted.
    """
    steps: list[tuple[str, int, int]] = []
    for layer in analysis.layers:
        field = layer.receptive_field
        if field is not None and (not steps or steps[-1][1:] != field.size):
            steps.append((layer.name, *field.size))
    steps = [step for step in steps if step[1:] != (1, 1)]
    if not steps:
        return None
    _, high, wide = analysis.graph.input_shape
    chosen = steps
    if len(steps) > FIELDS:
        chosen = [steps[round(i * (len(steps) - 1) / (FIELDS - 1))] for i in range(FIELDS)]
    sheet = Sheet()
    side = 250.0
    largest = max(high, wide, min(max(max(step[1:]) for step in steps), 2 * max(high, wide)))
    scale = side / largest
    middle = side / 2
    sheet.box(
        middle - wide * scale / 2,
        middle - high * scale / 2,
        wide * scale,
        high * scale,
        "image",
        radius=0,
    )
    outlines = ("conv", "dense", "pool", "join")
    # Wide enough apart to be told from one another.
    for number, (name, tall, across) in reversed(list(enumerate(chosen))):
        w, h = min(across * scale, side), min(tall * scale, side)
        sheet.open(f"{name}: {tall} × {across}")
        sheet.box(middle - w / 2, middle - h / 2, w, h, f"field {outlines[number % 4]}", radius=0)
        sheet.close()
    x = side + 34
    sheet.box(x, 0, 11, 11, "image", radius=0)
    sheet.text(x + 18, 10, f"image {high} × {wide}", size=SMALL, anchor="start")
    for number, (name, tall, across) in enumerate(chosen, 1):
        y = 21.0 * number
        sheet.box(x, y, 11, 11, f"field {outlines[(number - 1) % 4]}", radius=0)
        beyond = tall > largest or across > largest
        frame = " (beyond the frame)" if beyond else ""
        text = f"{fitted(name, 110, SMALL)}  {tall} × {across}{frame}"
        sheet.text(x + 18, y + 10, text, size=SMALL, anchor="start")
    _draw_growth(sheet, steps, (high, wide), sheet.right + 24)
    described = ", ".join(f"{name} {tall} x {across}" for name, tall, across in chosen)
    return sheet.svg("Receptive fields", described, alone=False, identity="fields")


def _draw_growth(
    sheet: Sheet, steps: Sequence[tuple[str, int, int]], image: tuple[int, int], left: float
) -> None:
    """The larger side of the field against depth, and the image's for comparison."""
    width, height = 300.0, 220.0
    top = _nice_count(max(max(max(step[1:]) for step in steps), *image))
    left += width_of(f"{top:,}", SMALL) + 8

    def y(size: float) -> float:
        return height * (1 - size / top)

    for number in range(5):
        amount = top * number // 4
        sheet.line([(left - 4, y(amount)), (left, y(amount))], "axis")
        sheet.text(left - 8, y(amount) + 4, f"{amount:,}", size=SMALL, anchor="end")
    sheet.line([(left, 0), (left, height), (left + width, height)], "axis")
    across = width / len(steps)
    points: list[Point] = [(left, y(1))]
    for number, (_, tall, wide) in enumerate(steps):
        size = max(tall, wide)
        points += [(left + across * number, y(size)), (left + across * (number + 1), y(size))]
    own = y(max(image))
    sheet.line([(left, own), (left + width, own)], "axis", stroke_dasharray="4 3")
    sheet.line(points, "trace")
    first, last = (fitted(steps[number][0], 120, SMALL) for number in (0, -1))
    sheet.text(left, height + 18, first, size=SMALL, class_="faint", anchor="start")
    sheet.text(left + width, height + 18, last, size=SMALL, class_="faint", anchor="end")
    sheet.text(left + width / 2, height + 36, "pixels (dashed: the image), by depth", size=SMALL)


def _nice(amount: int) -> int:
    """The next number of bytes that four ticks divide well."""
    unit: int = 1024 ** max((max(amount, 1).bit_length() - 3) // 10, 0)
    return _nice_count(math.ceil(amount / unit)) * unit


def _tick(amount: int, top: int) -> str:
    """0.5 GiB: an amount in the unit of the top of its axis."""
    number, unit = short_bytes(top).split()
    return f"{float(number) * amount / top:g} {unit}"


def _nice_count(amount: int) -> int:
    """The next of 4, 8, 12, 20, 40, 60, 80, 100, 120, 200, ... that is not smaller."""
    power = 1
    while True:
        for factor in (4, 8, 12, 16, 20, 24, 28, 32, 36):
            if factor * power >= amount:
                return factor * power
        power *= 10
