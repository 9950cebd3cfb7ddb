"""The comparison of backends as a table."""

from __future__ import annotations

import json

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from archspec.report.table import print_section
from archspec.verification import GradientError, OutputError, Verification


def to_json(found: Verification) -> str:
    """One JSON document."""
    return json.dumps(found.to_json(), indent=2)


def print_verification(console: Console, found: Verification) -> None:
    """The largest error of each layer's output and gradients, and the verdict."""
    console.print(Text(found.graph.title, style="bold"))
    console.print(
        f"{found.dtype}, batch {found.batch}, seed {found.seed}; errors relative to the "
        "largest value of the layer",
        highlight=False,
    )
    for name, packages in found.missing.items():
        console.print(f"{name} is left out: {', '.join(packages)} not installed", highlight=False)
    console.print()
    console.print(_table(found))
    console.print()
    for backend in found.backends:
        worst = max(error.relative for error in found.outputs if error.backend == backend)
        _verdict(console, f"{backend} outputs against the reference", worst, found.output_bound)
    for pair in dict.fromkeys((e.backend, e.against) for e in found.gradients):
        errors = [e.relative for e in found.gradients if (e.backend, e.against) == pair]
        _verdict(
            console,
            f"{pair[0]} gradients against {pair[1]}",
            max(errors),
            found.gradient_bound,
        )
    if len(found.backends) < 2:
        console.print("gradients need two frameworks to compare", highlight=False)
    for section in (section for check in found.checks for section in check.sections()):
        console.print()
        print_section(console, section)


def _table(found: Verification) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("layer", overflow="fold")
    for backend in found.backends:
        table.add_column(f"{backend} output", justify="right", no_wrap=True)
    against = found.backends[1:]
    for backend in against:
        table.add_column(f"{backend} gradient", justify="right", no_wrap=True)
    outputs = {(error.layer, error.backend): error for error in found.outputs}
    gradients: dict[tuple[str, str], GradientError] = {}
    for error in found.gradients:
        key = (error.parameter.rpartition(".")[0], error.backend)
        if key not in gradients or error.relative > gradients[key].relative:
            gradients[key] = error
    for node in found.graph.nodes:
        cells = [
            _cell(outputs.get((node.name, backend)), found.output_bound)
            for backend in found.backends
        ]
        cells += [
            _cell(gradients.get((node.name, backend)), found.gradient_bound) for backend in against
        ]
        table.add_row(Text(node.name), *cells)
    return table


def _cell(error: OutputError | GradientError | None, bound: float) -> Text:
    if error is None:
        return Text("")
    return Text(f"{error.relative:.1e}", style="" if error.relative <= bound else "bold red")


def _verdict(console: Console, what: str, worst: float, bound: float) -> None:
    equal = worst <= bound
    text = Text(f"{what}: largest error {worst:.1e}, bound {bound:.0e}, ")
    text.append("equal" if equal else "NOT EQUAL", style="bold green" if equal else "bold red")
    console.print(text, soft_wrap=True)
