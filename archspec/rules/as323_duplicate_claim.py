"""A claim is there twice.

A second claim with the same subject, quantity and figure adds a line to the table and nothing
else. Where two sources state the same, one entry can name both.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {about: conv1, params: 34944, source: a notebook}
      - {about: conv1, params: 34944, source: the same notebook}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {about: conv1, params: 34944, source: "a notebook, twice"}
"""

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem
from archspec.rules.base import Rule


def _check(analysis: Analysis) -> Iterator[Problem]:
    root = analysis.graph.document.root
    first: dict[tuple[object, ...], int] = {}
    for verdict in analysis.claims:
        stated = (verdict.claimed, verdict.tolerance, verdict.bound)
        key = (verdict.about, verdict.quantity, verdict.formula, *stated)
        line = first.setdefault(key, verdict.line)
        if line != verdict.line:
            yield Problem(
                "duplicate-claim",
                f"{verdict.subject} {verdict.stated} is claimed on line {line} already",
                "keep one, whose `source` may name both places",
                span=root.locate(("claims", verdict.index)),
            )


RULE = Rule("AS323", "duplicate-claim", "note", _check)
