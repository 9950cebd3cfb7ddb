"""The decay of a batch normalisation looks like the momentum of another framework.

PyTorch's `momentum: 0.1` is the share of the new batch in the running statistics; Keras' 0.99 and
archspec's `decay` are the share of the old ones. A small number copied as it is makes inference
depend on the last few batches alone: with 0.1, 99 % of the running variance comes from two
batches.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3, bias: false}
      - {name: norm1, type: batch_norm, eps: 1.0e-5, decay: 0.1}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3, bias: false}
      - {name: norm1, type: batch_norm, eps: 1.0e-5, decay: 0.9}

References:

    torch.nn.BatchNorm2d (https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html)
    keras.layers.BatchNormalization (https://keras.io/api/layers/normalization_layers/batch_normalization/)
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Fix, Problem
from archspec.layers.batch_norm import BatchNorm
from archspec.rules.base import Rule
from archspec.rules.walk import layers

# Published networks keep 0.9 to 0.9997 of the old statistics.
LEAST = 0.5


def _check(analysis: Analysis) -> Iterator[Problem]:
    for node, layer in layers(analysis.graph, BatchNorm):
        if layer.decay >= LEAST:
            continue
        batches = max(1, math.ceil(math.log(0.01, layer.decay))) if layer.decay else 1
        decay = round(1 - layer.decay, 12)
        yield Problem(
            "momentum-as-decay",
            f"{node.name}: decay {layer.decay:g} takes 99 % of the running statistics from "
            f"{f'the last {batches} batches' if batches > 1 else 'the last batch'}; a PyTorch "
            f"momentum of {layer.decay:g} is a decay of {decay:g}",
            layer=node.name,
            field="decay",
            fixes=(
                Fix(
                    f"decay {decay:g}",
                    f"{layer.decay:g} of each batch, as PyTorch's momentum {layer.decay:g}",
                    {f"{node.name}.decay": decay},
                ),
            )
            if decay < 1
            else (),
        )


RULE = Rule("AS404", "momentum-as-decay", "warning", check=_check)
