"""A dropout rate is so high that hardly anything is left.

`rate` is the share that is dropped. Older code gives the share that is kept (`keep_prob` of
TensorFlow 1, p of some papers): a `keep_prob` of 0.9 is a rate of 0.1. With a rate of 0.9 one unit
in ten stays, multiplied by ten, and the variance of what the next layer reads grows tenfold. Half
is the usual rate for dense layers, a tenth to a fifth for convolutions.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    layers:
      - {name: flatten, type: flatten}
      - {name: drop, type: dropout, rate: 0.9}
      - {name: fc, type: dense, units: 10}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    layers:
      - {name: flatten, type: flatten}
      - {name: drop, type: dropout, rate: 0.1}
      - {name: fc, type: dense, units: 10}

References:

    Srivastava et al. (2014): Dropout, figure 9 (https://jmlr.org/papers/v15/srivastava14a.html)
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Fix, Problem
from archspec.layers.dropout import Dropout
from archspec.rules.base import Rule
from archspec.rules.walk import layers

HIGHEST = 0.8  # of what papers use


def _check(analysis: Analysis) -> Iterator[Problem]:
    for node, layer in layers(analysis.graph, Dropout):
        if layer.rate > HIGHEST:
            kept = round(1 - layer.rate, 6)
            yield Problem(
                "extreme-dropout",
                f"{node.name}: a rate of {layer.rate:g} keeps {kept:.3g} of its input in training, "
                f"multiplied by {1 / (1 - layer.rate):.3g}",
                f"`rate` is what is dropped: to keep {layer.rate:g} write `rate: {kept:g}`",
                layer=node.name,
                field="rate",
                fixes=(
                    Fix(
                        f"rate {kept:g}",
                        f"{layer.rate:.3g} of its input is kept",
                        {f"{node.name}.rate": kept},
                    ),
                ),
            )


RULE = Rule("AS210", "extreme-dropout", "warning", check=_check)
