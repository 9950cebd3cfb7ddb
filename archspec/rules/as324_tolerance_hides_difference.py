"""A claim holds only because its tolerance is wide.

A tolerance is for figures that the source rounds: "60 million" is met by 60,965,224 within 2 %.
One that lets a figure pass that is more than a tenth away does not check anything; the claim
reads as if it held. The tolerance of a rounded figure follows from its digits: half of the last
one, 0.008 for 60 million.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {about: conv1, params: 60000, tolerance: 0.5, source: a blog post}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {about: conv1, params: 35000, tolerance: 0.02, source: a blog post}
"""

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.analysis.claims import figure
from archspec.analysis.claims.figures import exact, is_number
from archspec.diagnostics import Problem
from archspec.rules.base import Rule

# Relative: what a source rounds to one digit is at most this far away (1.5 for 1.65).
FAR = 0.1


def _check(analysis: Analysis) -> Iterator[Problem]:
    root = analysis.graph.document.root
    for verdict in analysis.claims:
        claimed, computed = verdict.claimed, verdict.computed
        if verdict.verdict != "holds" or not (is_number(claimed) and is_number(computed)):
            continue
        if verdict.bound or verdict.tolerance <= FAR or not claimed:
            continue
        off = abs(exact(computed) / exact(claimed) - 1)
        if off > FAR:
            yield Problem(
                "tolerance-hides-difference",
                f"{verdict.subject} is claimed to be {verdict.stated} and is {figure(computed)}: "
                f"{100 * float(off):.3g} % away, which only the tolerance allows",
                "lower `tolerance` to what the source rounds",
                span=root.locate(("claims", verdict.index, "tolerance")),
            )


RULE = Rule("AS324", "tolerance-hides-difference", "warning", _check)
