"""Curves over epochs, several runs in each chart, as one picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from archspec.analysis.numbers import counted, printable
from archspec.report.drawing.lettering import fitted, width_of
from archspec.report.drawing.svg import SMALL, Point, Sheet
from archspec.report.drawing.theme import SERIES
from archspec.report.markup import Markup
from archspec.training.options import EpochMetrics
from archspec.training.runs import Run, Runs

WIDTH, HEIGHT = 390.0, 190.0
BETWEEN = 34.0
LABEL = 260.0
# Points of a curve; of a longer run every second epoch is drawn, or every third, and the last.
POINTS = 400
# From this ratio on, the axis of figures above 0 is logarithmic.
WIDE = 50.0
# A run over another shows it between its dashes.
DASHES = ("", "7 6", "2 4", "12 4 2 4")
DOT = 3.2


@dataclass(frozen=True)
class Chart:
    """What one chart shows: a figure of every epoch."""

    title: str
    value: Callable[[EpochMetrics], float]
    shown: Callable[[float], str]
    # The epoch of each run that a point marks.
    marks_best: bool = False


CHARTS = (
    Chart("training loss", lambda row: row.train_loss, lambda value: f"{value:g}"),
    Chart("held-out loss", lambda row: row.val_loss, lambda value: f"{value:g}"),
    Chart("held-out top-1", lambda row: row.val_top1, lambda value: f"{100 * value:g}%", True),
    Chart("learning rate", lambda row: row.lr, lambda value: f"{value:g}"),
)


def draw_curves(runs: Runs, *, alone: bool = True) -> Markup:
    """Loss, accuracy and learning rate of runs over their epochs, as one `svg` element.

    `alone`: with the style sheet, as a file needs it. What is not finite is left out.
    """
    sheet = Sheet()
    _legend(sheet, runs.runs)
    top = sheet.bottom + 30
    for number, chart in enumerate(CHARTS):
        across, down = number % 2, number // 2
        left = across * (WIDTH + BETWEEN + 46)
        _draw(sheet, chart, runs.runs, (left, top + down * (HEIGHT + 76)))
    names = ", ".join(run.name for run in runs.runs)
    return sheet.svg(f"Curves of {names}", _description(runs), alone=alone, identity="curves")


def style(number: int) -> tuple[str, str]:
    """The class of a run's curve, and its dashes."""
    return f"run{number % len(SERIES)}", DASHES[(number + number // len(SERIES)) % len(DASHES)]


def _legend(sheet: Sheet, runs: Sequence[Run]) -> None:
    """A sample of each run's line with its name, in as many rows as they need."""
    right = 2 * WIDTH + BETWEEN + 46
    x = y = 0.0
    for number, run in enumerate(runs):
        name = fitted(run.name, LABEL, SMALL)
        width = 34 + width_of(name, SMALL)
        if x and x + width > right:
            x, y = 0.0, y + 18
        colour, dashes = style(number)
        sheet.line([(x, y), (x + 28, y)], f"curve {colour}", stroke_dasharray=dashes or "none")
        sheet.text(x + 34, y + 4, name, size=SMALL, anchor="start")
        x += width + 20


def _draw(sheet: Sheet, chart: Chart, runs: Sequence[Run], corner: Point) -> None:
    left, top = corner
    curves = [_points(run, chart.value) for run in runs]
    sheet.text(left, top - 10, chart.title, class_="strong", anchor="start")
    values = [value for curve in curves for _, value in curve]
    if not values:
        sheet.text(left + WIDTH / 2, top + HEIGHT / 2, "no epoch has ended", class_="faint")
        sheet.cover((left, top), (left + WIDTH, top + HEIGHT + 40))
        return
    axis = Axis.of(min(values), max(values))
    epochs = Axis.of(1, max(epoch for curve in curves for epoch, _ in curve), whole=True)

    def place(epoch: float, value: float) -> Point:
        return left + WIDTH * epochs.place(epoch), top + HEIGHT * (1 - axis.place(value))

    for tick in axis.ticks:
        _, y = place(epochs.low, tick)
        sheet.line([(left, y), (left + WIDTH, y)], "axis grid")
        sheet.text(left - 6, y + 4, chart.shown(tick), size=SMALL, anchor="end")
    for tick in epochs.ticks:
        x, y = place(tick, axis.low)
        sheet.line([(x, y), (x, y + 4)], "axis")
        sheet.text(x, y + 17, f"{tick:,.0f}", size=SMALL)
    sheet.line([(left, top), (left, top + HEIGHT), (left + WIDTH, top + HEIGHT)], "axis")
    sheet.text(left + WIDTH, top + HEIGHT + 32, "epoch", size=SMALL, class_="faint", anchor="end")
    for number, (run, curve) in enumerate(zip(runs, curves, strict=True)):
        if not curve:
            continue
        colour, dashes = style(number)
        sheet.open(
            f"{run.name}: {chart.shown(curve[-1][1])} after {counted(curve[-1][0], 'epoch')}"
        )
        line = [place(*point) for point in _thinned(curve)]
        sheet.line(line, f"curve {colour}", stroke_dasharray=dashes or "none")
        sheet.close()
        if len(curve) == 1:
            _dot(sheet, line[0], colour, f"{run.name}: {chart.shown(curve[0][1])}")
        elif chart.marks_best and run.best is not None and math.isfinite(run.best.val_top1):
            best = run.best
            words = f"{run.name}: {best.val_top1:.2%} in epoch {best.epoch}"
            _dot(sheet, place(best.epoch, best.val_top1), colour, words)


def _dot(sheet: Sheet, place: Point, colour: str, title: str) -> None:
    x, y = place
    sheet.open(title)
    sheet.box(x - DOT, y - DOT, 2 * DOT, 2 * DOT, f"point {colour}", radius=DOT)
    sheet.close()


def _points(run: Run, value: Callable[[EpochMetrics], float]) -> list[tuple[int, float]]:
    return [(row.epoch, value(row)) for row in run.rows if math.isfinite(value(row))]


def _thinned(curve: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    step = math.ceil(len(curve) / POINTS)
    chosen = list(curve[::step])
    return chosen if chosen[-1] == curve[-1] else [*chosen, curve[-1]]


@dataclass(frozen=True)
class Axis:
    """From the least to the greatest value of an axis, and the values that it names."""

    low: float
    high: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    @classmethod
    def of(cls, least: float, greatest: float, *, whole: bool = False) -> Axis:
        """An axis on which these two have room; `whole`: of whole numbers, which end it."""
        if whole:
            step = max(1.0, _step(greatest - least, 6))
            first = math.ceil(least / step) * step
            ticks = [first + step * i for i in range(int((greatest - first) / step) + 1)]
            # The first epoch has a name, and the next one is far enough from it.
            ticks = [least, *(tick for tick in ticks if tick - least > step / 2)]
            return cls(least, max(greatest, least + 1), tuple(ticks))
        if least > 0 and greatest / least >= WIDE:
            return cls._of_powers(least, greatest)
        # What differs by less than the digits of a tick is one value, with room around it.
        span = greatest - least if greatest - least > 1e-7 * abs(greatest) else 0.0
        step = _step(span, 4) or _step(abs(least), 1) or 1.0
        first, last = math.floor(least / step + 1e-9), math.ceil(greatest / step - 1e-9)
        if last <= first:
            first, last = first - 1, first + 1
        ticks = [_rounded(step * number) for number in range(first, last + 1)]
        return cls(ticks[0], ticks[-1], tuple(ticks))

    @classmethod
    def _of_powers(cls, least: float, greatest: float) -> Axis:
        """From a 1, 2 or 5 to another, with so many of them named as can be read."""
        powers = range(math.floor(math.log10(least)), math.ceil(math.log10(greatest)) + 1)
        ones = [_rounded(factor * 10.0**power) for power in powers for factor in (1, 2, 5)]
        low = max(one for one in ones if one <= least * (1 + 1e-9))
        high = min(one for one in ones if one >= greatest * (1 - 1e-9))
        inside = [one for one in ones if low <= one <= high]
        if len(inside) > 7:
            decades = [10.0**power for power in powers if low <= 10.0**power <= high]
            inside = decades[:: math.ceil(len(decades) / 6)]
        return cls(low, high, tuple(inside), logarithmic=True)

    def place(self, value: float) -> float:
        """Where a value is, from 0 at the low end to 1 at the high one."""
        low, high = self.low, self.high
        if self.logarithmic:
            return math.log(value / low) / math.log(high / low)
        return (value - low) / (high - low)


def _step(span: float, ticks: int) -> float:
    """The least of 1, 2, 5, 10, 20, ... that divides a span into at most so many parts; 0 for 0."""
    if span <= 0:
        return 0.0
    power: float = 10.0 ** math.floor(math.log10(span / ticks))
    return next(f * power for f in (1, 2, 5, 10, 20) if f * power * ticks >= span * (1 - 1e-9))


def _rounded(value: float) -> float:
    """Without the last digits, which binary fractions leave: 0.30000000000000004."""
    return float(f"{value:.10g}")


def _description(runs: Runs) -> str:
    """The picture in words, for those who do not see it."""
    return " ".join(_told(run) for run in runs.runs)


def _told(run: Run) -> str:
    if run.best is None or run.last is None:
        return f"{printable(run.name)}: no epoch has ended."
    return (
        f"{printable(run.name)}: {counted(len(run.rows), 'epoch')}, training loss "
        f"{run.rows[0].train_loss:.4g} to {run.last.train_loss:.4g}, best held-out top-1 "
        f"{run.best.val_top1:.2%} in epoch {run.best.epoch}."
    )
