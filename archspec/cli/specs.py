"""List the shipped specs."""

from __future__ import annotations

from typing import Annotated

import typer

from archspec.cli.options import ListFormat, print_json


def specs(
    format: Annotated[ListFormat, typer.Option("--format", help="How to print it.")] = (
        ListFormat.text
    ),
) -> None:
    """List the shipped specs."""
    from archspec import api, catalog

    rows = []
    for name, path in catalog.shipped().items():
        found = api.analyze(name)
        rows.append(
            {
                "name": name,
                "title": found.graph.title,
                "file": str(path),
                "params": found.totals.params,
            }
        )
    if format is ListFormat.json:
        print_json(rows)
        return
    width = max(len(str(row["name"])) for row in rows)
    for row in rows:
        print(f"{row['name']:<{width}}  {row['params']:>13,}  {row['title']}")
