"""A normalisation stands between the last layer and the loss.

Normalised logits have the same mean and the same spread for every batch or every image, so the
network cannot be more certain of one image than of another: what softmax needs to grow is divided
away. Batch normalisation makes the prediction for one image depend on the others besides.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    variables: {classes: 10}
    layers:
      - {name: flatten, type: flatten}
      - {name: fc8, type: dense, units: $classes, bias: false}
      - {name: norm8, type: batch_norm, eps: 1e-5, decay: 0.9}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    variables: {classes: 10}
    layers:
      - {name: flatten, type: flatten}
      - {name: norm7, type: batch_norm, eps: 1e-5, decay: 0.9}
      - {name: fc8, type: dense, units: $classes}
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.analysis.numbers import counted
from archspec.diagnostics import Fix, Problem
from archspec.layers.affine import AffineLayer
from archspec.layers.local_response_norm import LocalResponseNorm
from archspec.rules.base import Rule
from archspec.rules.walk import on_the_logits


def _check(analysis: Analysis) -> Iterator[Problem]:
    for node, tail in on_the_logits(analysis, AffineLayer, LocalResponseNorm):
        yield Problem(
            "norm-on-logits",
            f"{node.name}: {node.layer.type} takes the {counted(tail.classes, 'logit')} of "
            f"{tail.logits} to one spread, so that no image can be surer than another",
            layer=node.name,
            field="type",
            fixes=(Fix(f"remove {node.name}", "the loss gets the logits", {node.name: None}),),
        )


RULE = Rule("AS203", "norm-on-logits", "warning", check=_check)
