"""The comparison of backends as tables."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence

from rich.console import Console
from rich.text import Text

from archspec.analysis.numbers import printable
from archspec.analysis.section import Column
from archspec.report.grid import Cell, print_grid
from archspec.report.recipe import settings
from archspec.report.table import print_section
from archspec.verification import GradientError, OutputError, Training, Verification
from archspec.verification.bench import REFERENCE
from archspec.verification.edited import Edited
from archspec.verification.errors import Bounded, over
from archspec.verification.steps import DROP

# So many steps of training are printed, besides those around the drop of the learning rate and
# those that differ first.
STEPS = 8
# Bounds above this say that a gradient is nothing but rounding.
LOOSE = 0.01
WRONG = "bold red"


def to_json(found: Verification | Edited) -> str:
    """One JSON document."""
    return json.dumps(found.to_json(), indent=2)


def print_edited(console: Console, found: Edited) -> None:
    """What an edit changed, and the verdict."""
    console.print(Text(printable(found.graph.title), style="bold"))
    console.print(f"float64, batch {found.batch}, seed {found.seed}", highlight=False)
    for section in found.sections():
        console.print()
        print_section(console, section)
    console.print()
    verdict = Text(f"{printable(found.file)} is ")
    if found.equal:
        verdict.append("the network of the spec", style="bold green")
    else:
        verdict.append("NOT the network of the spec", style=WRONG)
    console.print(verdict, soft_wrap=True)


def print_verification(console: Console, found: Verification) -> None:
    """The errors of each layer's output, of each gradient and of each step, and the verdict."""
    console.print(Text(printable(found.graph.title), style="bold"))
    console.print(
        f"{found.dtype}, batch {found.batch}, seed {found.seed}; errors relative to the "
        "largest value of the layer",
        highlight=False,
    )
    for remark in _remarks(found):
        console.print(Text(remark), soft_wrap=False, highlight=False)
    console.print()
    _print_errors(console, "output of", found, found.outputs, lambda e: e.layer)
    if found.gradients:
        console.print()
        _print_errors(console, "gradient of", found, found.gradients, lambda e: e.parameter)
    loose = {e.parameter for e in found.gradients if e.bound > LOOSE}
    if loose:
        gradients = (
            f"{len(loose)} of these gradients" if len(loose) > 1 else "one of these gradients"
        )
        console.print(
            Text(
                f"rounding alone moves {gradients} by more than {LOOSE:.0%}, so float32 does not "
                "determine them; compare them in float64, or with a larger --batch",
                style="dim",
            )
        )
    if found.training:
        console.print()
        _print_training(console, found, found.training)
    for section in (section for check in found.checks for section in check.sections()):
        console.print()
        print_section(console, section)
    console.print()
    for backend in found.backends:
        outputs = [e for e in found.outputs if e.backend == backend]
        _verdict(console, f"{backend} outputs against the reference", outputs)
        slopes = [e for e in found.gradients if e.backend == backend]
        if slopes:
            _verdict(console, f"{backend} gradients against {_judge(slopes[0].against)}", slopes)
        if found.training:
            for what, errors in (
                ("losses", found.training.losses),
                ("weights", found.training.weights),
            ):
                mine = [e for e in errors if e.backend == backend]
                against = _judge(found.training.judge)
                if mine:
                    _verdict(console, f"{backend} {what} against {against}", mine)
    for difference in found.differences:
        console.print()
        console.print(Text(difference.message), highlight=False)


def _remarks(found: Verification) -> Iterable[str]:
    for name, packages in found.missing.items():
        yield f"{name} is left out: {', '.join(packages)} not installed"
    for name, reason in found.unable.items():
        yield f"{name} is left out: {reason}"
    for name, dtype in found.dtypes.items():
        if dtype != found.dtype:
            yield f"{name} computes in {dtype}, which its outputs are held to"
    trained = {e.backend for e in found.gradients} | {found.judge}
    outputs_only = [name for name in found.backends if name not in trained]
    if found.judge is None:
        yield "gradients are not compared: they need a second framework, because the reference"
        yield "lacks a derivative"
    elif outputs_only:
        yield f"{', '.join(outputs_only)} tells outputs alone: no gradients and no training"
    if found.judge not in (None, REFERENCE.name):
        yield (
            f"{found.judge} judges gradients and training: the reference lacks the derivative of a "
            "layer"
        )
    if found.silenced:
        some = ", ".join(found.silenced[:3]) + (", ..." if len(found.silenced) > 3 else "")
        yield f"gradients and training without what is random there: {some} off"


def _judge(name: str) -> str:
    return "the reference" if name == REFERENCE.name else name


def _print_errors(
    console: Console,
    what: str,
    found: Verification,
    errors: Sequence[OutputError] | Sequence[GradientError],
    key: Callable[..., str],
) -> None:
    """A row for each layer or parameter: each backend's error, the absolute one, the bound.

    The bounds are left out where all are the same: the verdict has it. With backends in two
    precisions, which have two bounds, the column has that of the coarser one.
    """
    backends = list(dict.fromkeys(e.backend for e in errors))
    rows: dict[str, dict[str, Bounded]] = {}
    for error in errors:
        rows.setdefault(key(error), {})[error.backend] = error
    derived = "float32" in {found.dtypes[name] for name in backends}
    columns = [Column(what, folds=True), *(Column(name, "right") for name in backends)]
    columns.append(Column("absolute", "right"))
    if derived:
        columns.append(Column("bound", "right"))
    cells: list[tuple[Cell, ...]] = []
    for name, row in rows.items():
        absolute = max(e.absolute for e in row.values())
        bound = max(e.bound for e in row.values())
        cells.append(
            (
                (name, ""),
                *(_cell(row.get(backend)) for backend in backends),
                (_figure(absolute), ""),
                *([(_figure(bound), "")] if derived else []),
            )
        )
    print_grid(console, columns, cells)


def _print_training(console: Console, found: Verification, training: Training) -> None:
    """A row for each of some steps: the loss, and each backend's errors of loss and weights."""
    steps = len(training.rates)
    recipe = "archspec's own recipe" if training.default else "the spec's recipe"
    rule = training.recipe.optimizer
    told = ", ".join([rule.type, *settings(rule)])
    drop = ", over its whole schedule" if training.scheduled else ""
    if training.dropped is not None:
        drop += f", the learning rate divided by {DROP} before step {training.dropped}"
    console.print(
        Text(f"{steps} steps of {recipe} ({told}){drop}"),
        highlight=False,
    )
    backends = list(dict.fromkeys(e.backend for e in training.losses))
    losses = {(e.step, e.backend): e for e in training.losses}
    weights = {(e.step, e.backend): e for e in training.weights}
    derived = "float32" in {found.dtypes[name] for name in backends}
    columns = [Column("step", "right"), Column("loss", "right")]
    for what in ("loss", "weights"):
        columns += [Column(f"{name} {what}", "right") for name in backends]
        columns += [Column("bound", "right")] if derived else []
    rows: list[tuple[Cell, ...]] = []
    for step in _shown(training):
        row = [(str(step), ""), (f"{training.expected[step - 1]:.4g}", "")]
        for errors in (losses, weights):
            mine = [errors[step, name] for name in backends]
            row += [_cell(error) for error in mine]
            row += [(_figure(max(e.bound for e in mine)), "")] if derived else []
        rows.append(tuple(row))
    print_grid(console, columns, rows)


def _shown(training: Training) -> list[int]:
    """The steps that are printed: the first ones, some, those at the drop, the first wrong ones."""
    count = len(training.rates)
    chosen = {1, 2, count, *range(count // STEPS or 1, count + 1, count // STEPS or 1)}
    if training.dropped is not None:
        chosen |= {training.dropped - 1, training.dropped}
    for errors in (training.losses, training.weights):
        wrong = next((e.step for e in errors if not e.within), None)
        chosen |= {wrong} if wrong is not None else set()
    return sorted(chosen)


def _cell(error: Bounded | None) -> Cell:
    if error is None:
        return ("", "")
    return (_figure(error.relative), "" if error.within else WRONG)


def _figure(value: float) -> str:
    return f"{value:.1e}" if math.isfinite(value) else "inf"


def _verdict(console: Console, what: str, errors: Sequence[Bounded]) -> None:
    """The error that fills the most of its bound, or is the furthest out of it."""
    wrong = [e for e in errors if not e.within]
    worst = max(wrong or errors, key=lambda e: over(e.relative, e.bound))
    text = Text(f"{what}: largest error {_figure(worst.relative)}, bound {_figure(worst.bound)}, ")
    text.append("NOT EQUAL" if wrong else "equal", style=WRONG if wrong else "bold green")
    console.print(text, soft_wrap=True)
