"""Colours of drawings and charts, in light and in dark, as one style sheet.

Plain rules with a media query and no variables: programs for slides that know less of CSS than
browsers do still show the light colours.
"""

from __future__ import annotations

from archspec.report.drawing.lettering import FAMILY

# What stands in a picture, and its fill and outline in light and in dark.
KINDS: dict[str, tuple[str, str, str, str]] = {
    "conv": ("#dbe9fb", "#2f6db5", "#16304f", "#6ea8ee"),
    "dense": ("#fde6cf", "#b5651d", "#46290f", "#e8a464"),
    "pool": ("#dcf2e0", "#2f8546", "#143420", "#6cc58a"),
    "join": ("#efe3fb", "#7d4cc0", "#33204d", "#b98cf0"),
    "plain": ("#eef1f4", "#6e7781", "#21262d", "#8b949e"),
    "image": ("#fdf3c4", "#8a6d00", "#3a3000", "#d8b93a"),
    "broken": ("#ffe3e1", "#c4281c", "#4a1a1c", "#ff8f8a"),
}
# The lines of a chart, in light and in dark: told apart by more than red and green, and 3:1 against
# the paper.
SERIES: tuple[tuple[str, str], ...] = (
    ("#2f6db5", "#6ea8ee"),
    ("#c25a00", "#f0a04b"),
    ("#2f8546", "#6cc58a"),
    ("#7d4cc0", "#b98cf0"),
    ("#c4281c", "#ff8f8a"),
    ("#0f7c8a", "#5cc8d6"),
)
# Paper, ink, faint ink, lines, and the ground of a group of layers.
LIGHT = ("#ffffff", "#1f2328", "#57606a", "#7a828b", "#f6f8fa")
DARK = ("#0d1117", "#e6edf3", "#a0abb6", "#8b949e", "#161b22")


def style_sheet() -> str:
    """The rules for everything inside an element of class `drawing`."""
    common = [
        f".drawing {{ font-family: {FAMILY}; }}",
        ".drawing text { stroke-linejoin: round; }",
        ".drawing .strong { font-weight: 600; }",
        ".drawing .halo { paint-order: stroke; stroke-width: 3px; }",
        ".drawing .link, .drawing .ray, .drawing .axis { fill: none; }",
        ".drawing .link { stroke-width: 1.3px; }",
        ".drawing .curve { fill: none; stroke-width: 2px; stroke-linejoin: round; }",
        ".drawing .trace { fill: none; stroke-width: 2px; }",
        ".drawing .field { fill-opacity: 0; stroke-width: 1.6px; }",
        ".drawing .training { stroke-dasharray: 4 3; }",
    ]
    light = _rules(LIGHT, [(kind, fill, line) for kind, (fill, line, _, _) in KINDS.items()])
    light += _series([line for line, _ in SERIES])
    dark = _rules(DARK, [(kind, fill, line) for kind, (_, _, fill, line) in KINDS.items()])
    dark += _series([line for _, line in SERIES])
    return "\n".join(
        [*common, *light, "@media (prefers-color-scheme: dark) {", *(f"  {r}" for r in dark), "}"]
    )


def _rules(theme: tuple[str, ...], kinds: list[tuple[str, str, str]]) -> list[str]:
    paper, ink, faint, line, ground = theme
    return [
        f".drawing .paper {{ fill: {paper}; }}",
        f".drawing text {{ fill: {ink}; }}",
        f".drawing text.faint {{ fill: {faint}; }}",
        f".drawing text.halo {{ stroke: {paper}; }}",
        f".drawing .link, .drawing .axis {{ stroke: {line}; }}",
        f".drawing .grid {{ stroke: {line}; stroke-opacity: 0.25; }}",
        f".drawing .point {{ stroke: {paper}; }}",
        f".drawing .head {{ fill: {line}; }}",
        f".drawing .trace {{ stroke: {ink}; }}",
        f".drawing .ray {{ stroke: {faint}; }}",
        f".drawing .ground {{ fill: {ground}; stroke: {line}; }}",
        f".drawing .beam {{ fill: {line}; }}",
        *(f".drawing .{kind} {{ fill: {fill}; stroke: {edge}; }}" for kind, fill, edge in kinds),
        *(f".drawing .bar.{kind} {{ fill: {edge}; }}" for kind, _, edge in kinds),
    ]


def _series(lines: list[str]) -> list[str]:
    """The colours of curves and of the points on them."""
    curves = [f".drawing .curve.run{i} {{ stroke: {line}; }}" for i, line in enumerate(lines)]
    points = [f".drawing .point.run{i} {{ fill: {line}; }}" for i, line in enumerate(lines)]
    return [*curves, *points]
