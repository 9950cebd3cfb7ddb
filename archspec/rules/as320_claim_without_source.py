"""A claim does not say who states it.

The verdict on a claim is a verdict on its source: a paper's section, a figure, a URL, "computed".
Without it nobody can look up whether the figure was copied correctly, and a claim that fails
cannot be settled.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {about: conv1, params: 34944}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {about: conv1, params: 34944, source: the summary of a notebook}
"""

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem
from archspec.rules.base import Rule


def _check(analysis: Analysis) -> Iterator[Problem]:
    root = analysis.graph.document.root
    for index, claim in enumerate(analysis.graph.spec.claims):
        if not (claim.source or "").strip():
            yield Problem(
                "claim-without-source",
                f"entry {index + 1} of `claims` does not say who states it",
                "add `source:`, such as `source: section 3.5`",
                span=root.locate(("claims", index)),
            )


RULE = Rule("AS320", "claim-without-source", "note", _check)
