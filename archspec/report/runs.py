"""Runs beside one another: tables, Markdown, JSON, CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import fields

from rich.console import Console

from archspec.analysis.section import Section
from archspec.report.export import csv_cell, section_lines
from archspec.report.table import print_section
from archspec.training.options import EpochMetrics
from archspec.training.runs import Runs

CSV_COLUMNS = ("run", *(field.name for field in fields(EpochMetrics)))


def print_runs(console: Console, runs: Runs) -> None:
    """How they went and what was different, in at most the console's width."""
    _print(console, runs.sections())


def print_list(console: Console, runs: Runs) -> None:
    """How they went and what they were made on."""
    _print(console, (runs.results, runs.made_on))


def _print(console: Console, sections: Iterable[Section]) -> None:
    for number, section in enumerate(sections):
        if number:
            console.print()
        print_section(console, section)


def to_markdown(runs: Runs) -> str:
    """The same tables as Markdown."""
    return "\n\n".join("\n".join(section_lines(section)) for section in runs.sections())


def to_json(runs: Runs) -> str:
    """One JSON document, schema version 1 (`docs/runs.md`)."""
    return json.dumps(runs.to_json(), indent=2, allow_nan=False)


def to_csv(runs: Runs) -> str:
    """A row for each epoch of each run, with a header; nothing where a figure is not finite."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for run in runs.runs:
        for row in run.to_json()["epochs"]:
            writer.writerow([csv_cell(run.name), *(row[name] for name in CSV_COLUMNS[1:])])
    return stream.getvalue().rstrip("\n")
