"""A response normalisation has the paper's constants and a window of the paper's size as a radius.

TensorFlow's `depth_radius` counts the channels on one side, the paper's n = 5 counts the whole
window: n = 2 r + 1. Code that gives the paper's 5 as the radius normalises over 11 channels. With
alpha 1e-4 and beta 0.75, the constants of the paper and of Caffe, a size of 11 is that mistake;
other constants may go with any size.

Example:

    archspec: 1
    name: example
    input: {channels: 16, height: 8, width: 8}
    layers:
      - {name: norm1, type: local_response_norm, size: 11, alpha: 1.0e-4, beta: 0.75, k: 2,
         alpha_mode: sum}

Instead:

    archspec: 1
    name: example
    input: {channels: 16, height: 8, width: 8}
    layers:
      - {name: norm1, type: local_response_norm, size: 5, alpha: 1.0e-4, beta: 0.75, k: 2,
         alpha_mode: sum}

References:

    Krizhevsky, Sutskever and Hinton (2012), section 3.3: n = 5
    tf.nn.local_response_normalization (https://www.tensorflow.org/api_docs/python/tf/nn/local_response_normalization)
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Fix, Problem
from archspec.layers.local_response_norm import LocalResponseNorm
from archspec.rules.base import Rule
from archspec.rules.walk import layers

SIZE, ALPHA, BETA = 5, 1e-4, 0.75  # the paper's


def _check(analysis: Analysis) -> Iterator[Problem]:
    for node, layer in layers(analysis.graph, LocalResponseNorm):
        if layer.size == 2 * SIZE + 1 and (layer.alpha, layer.beta) == (ALPHA, BETA):
            yield Problem(
                "radius-as-size",
                f"{node.name}: its window has {layer.size} = 2 x {SIZE} + 1 channels, with alpha "
                f"{ALPHA:g} and beta {BETA:g} as in the paper, whose window has {SIZE}: was "
                f"{SIZE} given as a radius?",
                f"a radius of {SIZE // 2} is a size of {SIZE}",
                layer=node.name,
                field="size",
                fixes=(Fix(f"size {SIZE}", "the paper's window", {f"{node.name}.size": SIZE}),),
            )


RULE = Rule("AS208", "radius-as-size", "warning", check=_check)
