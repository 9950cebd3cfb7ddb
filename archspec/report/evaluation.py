"""What a network makes of images whose classes are known: tables, JSON, CSV."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.text import Text

from archspec.analysis.numbers import printable
from archspec.evaluation import Evaluation
from archspec.report.export import csv_cell
from archspec.report.table import print_section


def print_evaluation(console: Console, found: Evaluation) -> None:
    """Figures, classes and confusions, in at most the console's width."""
    network = found.network
    crops = ", ten crops of each" if found.ten_crop else ""
    console.print(Text(printable(network.graph.title), style="bold"))
    for line in (
        f"on {network.predictor.engine}, {network.predictor.device}",
        f"weights {printable(network.weights.path)} ({network.weights.format})",
        f"data {printable(found.data)}: {found.part}{crops}",
    ):
        console.print(Text(line), soft_wrap=True)
    for section in found.sections():
        console.print()
        print_section(console, section)


def to_json(found: Evaluation) -> str:
    """One JSON document (`docs/runs.md`)."""
    return json.dumps(found.to_json(), indent=2, allow_nan=False)


def to_csv(found: Evaluation) -> str:
    """The confusion matrix: a row for each class, a column for what its images are taken for."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = [csv_cell(name) for name in found.classes]
    writer.writerow(["class", *names])
    for name, row in zip(names, found.confusion.tolist(), strict=True):
        writer.writerow([name, *row])
    return stream.getvalue().rstrip("\n")


@contextlib.contextmanager
def bar(console: Console) -> Iterator[Callable[[int, int], None] | None]:
    """A function that moves a bar, which vanishes at the end; None where there is no terminal."""
    if not console.is_terminal:
        yield None
        return
    columns = (BarColumn(bar_width=30), MofNCompleteColumn(), "images", TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("evaluating", total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)
