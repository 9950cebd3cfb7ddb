"""Networks as pictures: SVG that depends on nothing, readable in light and in dark."""

from __future__ import annotations

from typing import Literal

from archspec.analysis import Analysis
from archspec.analysis.numbers import printable
from archspec.diagnostics import ArchspecError
from archspec.layers.base import show
from archspec.report.drawing.boxes import Block, Box, boxes_of
from archspec.report.drawing.figure import draw_figure
from archspec.report.drawing.graph import Detail, draw_graph
from archspec.report.drawing.lettering import fitted
from archspec.report.drawing.svg import Sheet
from archspec.report.drawing.volumes import MANY, volumes_of
from archspec.report.markup import Markup
from archspec.spec.fields import INPUT

Style = Literal["figure", "graph", "auto"]

TITLE = 16.0
TITLE_WIDTH = 900.0
DESCRIBED = 40


def draw(
    analysis: Analysis, *, style: Style = "auto", detail: Detail = "auto", alone: bool = True
) -> Markup:
    """The network as one `svg` element.

    The style `figure` is for chains, `graph` for all networks; `auto` takes the figure for a
    chain that is short enough for it. `alone` adds the title and the style sheet, as a file needs
    them; a page has both itself (`theme.style_sheet`).

    Raises ArchspecError for a figure of a network that branches.
    """
    sheet = Sheet()
    items = boxes_of(analysis)
    boxes = [box for item in items for box in (item.boxes if isinstance(item, Block) else [item])]
    branch = _branch(boxes, analysis)
    if style == "figure" and branch:
        raise ArchspecError(
            f"the style `figure` draws chains, and here {branch}; use --style graph"
        )
    volumes = volumes_of(boxes, analysis) if style != "graph" and not branch else []
    if volumes and (style == "figure" or len(volumes) <= MANY):
        draw_figure(sheet, analysis, volumes)
    else:
        draw_graph(sheet, analysis, items, detail)
    title = printable(analysis.graph.title)
    if alone:
        shown = fitted(title, TITLE_WIDTH, TITLE, bold=True)
        y = sheet.top - TITLE
        sheet.text(sheet.left, y, shown, size=TITLE, class_="strong", anchor="start")
    return sheet.svg(title, _description(analysis, boxes), alone=alone)


def _branch(boxes: list[Box], analysis: Analysis) -> str:
    """Where a network is no chain, such as "`add` reads 2", and "" for a chain."""
    before = INPUT
    for box in boxes:
        if box.reads != (before,):
            return f"`{box.layers[0]}` reads {' and '.join(f'`{name}`' for name in box.reads)}"
        before = box.output
    return ""


def _description(analysis: Analysis, boxes: list[Box]) -> str:
    """The picture in words, for those who do not see it."""
    names = [box.name for box in boxes[:DESCRIBED]]
    more = f" and {len(boxes) - DESCRIBED} more" if len(boxes) > DESCRIBED else ""
    last = analysis.by_name.get(analysis.graph.output)
    output = f"an output of {show(last.output_shape)}" if last else "no output"
    return (
        f"{len(analysis.graph.nodes)} layers from an input of {show(analysis.graph.input_shape)} "
        f"(channels x height x width) to {output}: {', '.join(names)}{more}."
    )
