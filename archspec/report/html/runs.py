"""Runs as one page that stands alone: curves, figures, recipes and what differs in them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from archspec.analysis.diff.sections import sections as diff_sections
from archspec.analysis.numbers import counted, printable
from archspec.report.drawing.curves import draw_curves
from archspec.report.html.shell import Card, Part, page
from archspec.report.html.tables import scrolling, section_table
from archspec.report.markup import Markup, element, joined
from archspec.training.runs import Runs, said

# Runs that the heading names.
NAMED = 4


def to_html(runs: Runs) -> str:
    """The page of ``runs compare --format html``."""
    names = [run.name for run in runs.runs]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    title = ", ".join(names[:NAMED]) + more
    about = counted(len(names), "run") + f" of {_several(run.record.network for run in runs.runs)}"
    return page(
        f"{title}: runs",
        [element("h1", title), element("p", about, class_="about")],
        _cards(runs),
        list(_parts(runs)),
        footer="from what the runs have left in their folders",
    )


def _several(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(map(printable, names)))


def _cards(runs: Runs) -> Iterable[Card]:
    """The best run, the fastest, and how far they are."""
    done = [(run, run.best, run.last) for run in runs.runs if run.best and run.last]
    if done:
        run, best, _ = max(done, key=lambda one: one[1].val_top1)
        yield "best held-out top-1", f"{best.val_top1:.2%}", f"{run.name}, epoch {best.epoch}"
        every = [(run, row) for run, *_ in done for row in run.rows if math.isfinite(row.val_loss)]
        run, least = min(every, key=lambda one: one[1].val_loss, default=(run, best))
        yield "least held-out loss", f"{least.val_loss:.4g}", f"{run.name}, epoch {least.epoch}"
        run, _, last = max(done, key=lambda one: one[2].images_per_second)
        yield "fastest", f"{last.images_per_second:,.0f}", f"images/s, {run.name}"
    ended = sum(len(run.rows) >= run.record.recipe.epochs for run in runs.runs)
    yield "ended", f"{ended} of {len(runs.runs)}", "have trained all their epochs"


def _parts(runs: Runs) -> Iterable[Part]:
    yield "curves", "Curves", scrolling(draw_curves(runs, alone=False), "curves", "scroll picture")
    tables = [section_table(runs.results, "Results"), section_table(runs.made_on)]
    yield "results", "Results", joined(tables)
    if len(runs.runs) > 1:
        yield "differences", "Differences", _differences(runs)
    for number, other in enumerate(runs.others, start=1):
        words = f"A is the network of {runs.runs[0].name}, B that of {', '.join(other.runs)}."
        content = [
            element("p", element("b", other.comparison.verdict)),
            element("p", words, class_="note"),
            *map(section_table, diff_sections(other.comparison)),
        ]
        heading = "Networks" if len(runs.others) == 1 else f"Networks, {number}"
        yield f"networks{number}", heading, joined(content)
    yield "settings", "Recipes", _settings(runs)


def _differences(runs: Runs) -> Markup:
    if not runs.differences:
        words = "Data, recipe and backend are the same in all."
        return element("p", words)
    rows = [(difference.what, difference.values) for difference in runs.differences]
    heads = ("setting", *(run.name for run in runs.runs))
    return scrolling(_table(heads, rows), "what differs", "scroll facts")


def _settings(runs: Runs) -> Markup:
    """What the runs were made with and is the same in all; recipes as a spec writes them."""
    shared = [(key, (value,)) for key, value in runs.shared.items()]
    words = "The same in all" if len(runs.runs) > 1 else "All settings"
    whole = scrolling(_table(("setting", "value"), shared), words, "scroll facts tall")
    return joined([element("h3", words), whole])


def _table(heads: Sequence[str], rows: Sequence[tuple[str, Sequence[Any]]]) -> Markup:
    return element(
        "table",
        element("thead", element("tr", *(element("th", head, scope="col") for head in heads))),
        element(
            "tbody",
            *(
                element(
                    "tr",
                    element("th", key, scope="row"),
                    *(element("td", said(value)) for value in values),
                )
                for key, values in rows
            ),
        ),
    )
