"""Dropout stands between the last layer and the loss.

Dropout makes hidden units do without one another. On the logits it sets whole classes to zero at
random: where the right class is dropped, the loss compares nothing with the others, and the
gradient is noise that no weight can answer. It stands before the last layer, never behind it.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    variables: {classes: 10}
    layers:
      - {name: flatten, type: flatten}
      - {name: fc8, type: dense, units: $classes}
      - {name: drop8, type: dropout, rate: 0.5}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    variables: {classes: 10}
    layers:
      - {name: flatten, type: flatten}
      - {name: drop7, type: dropout, rate: 0.5}
      - {name: fc8, type: dense, units: $classes}

References:

    Krizhevsky, Sutskever and Hinton (2012), section 4.2: dropout in the first two dense layers
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.analysis.numbers import counted, percent
from archspec.diagnostics import Fix, Problem
from archspec.layers.dropout import Dropout
from archspec.rules.base import Rule
from archspec.rules.walk import on_the_logits


def _check(analysis: Analysis) -> Iterator[Problem]:
    for node, tail in on_the_logits(analysis, Dropout):
        rate = node.layer.rate if isinstance(node.layer, Dropout) else 0.0
        if not rate:
            continue
        yield Problem(
            "dropout-on-logits",
            f"{node.name}: in training {percent(rate)} of the "
            f"{counted(tail.classes, 'logit')} of {tail.logits} are set to 0, that of the right "
            "class as often as any other",
            layer=node.name,
            field="type",
            fixes=(Fix(f"remove {node.name}", "the loss gets every logit", {node.name: None}),),
        )


RULE = Rule("AS202", "dropout-on-logits", "warning", check=_check)
