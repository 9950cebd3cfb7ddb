"""From the initial weights no image can be told from another at the output, or all overflow.

Each layer multiplies the size of its input by about sqrt(fan_in/2) times the deviation of its
weights. Where that is not 1, depth makes a power of it: the logits of all images are the same to
many digits, and so are gradients zero, or they are so large that the loss has nothing to work
with. VGG was such a case: with a deviation of 0.01 its authors trained the network of 11 layers
and began those of 13 to 19 with its weights; from such a beginning of their own, the logits of
those differ by 1e-4 to 5e-7. `kaiming_normal`, which knows the fan-in, or normalisation keeps the
size.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    defaults: {weight_init: {type: normal, std: 0.005}}
    blocks:
      conv:
        layers:
          - {name: conv, type: conv2d, filters: 64, kernel_size: 3, padding: 1}
          - {name: relu, type: relu}
    layers:
      - {name: body, block: conv, repeat: 9}
      - {name: pool, type: global_avg_pool2d}
      - {name: fc, type: dense, units: 10}
    training:
      epochs: 10
      batch_size: 32
      optimizer: {type: sgd, learning_rate: 0.01, momentum: 0.9}
      preprocessing: {mean: data, std: data}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    defaults: {weight_init: kaiming_normal}
    blocks:
      conv:
        layers:
          - {name: conv, type: conv2d, filters: 64, kernel_size: 3, padding: 1}
          - {name: relu, type: relu}
    layers:
      - {name: body, block: conv, repeat: 9}
      - {name: pool, type: global_avg_pool2d}
      - {name: fc, type: dense, units: 10}
    training:
      epochs: 10
      batch_size: 32
      optimizer: {type: sgd, learning_rate: 0.01, momentum: 0.9}
      preprocessing: {mean: data, std: data}

References:

    He et al. (2015): Delving Deep into Rectifiers (https://arxiv.org/abs/1502.01852)
    Simonyan and Zisserman (2015), section 3.1 (https://arxiv.org/abs/1409.1556)
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.analysis.signal import Signals
from archspec.diagnostics import Problem
from archspec.layers.base import WeightedLayer
from archspec.rules.base import Rule

# How much the logits of two images must differ, and how large they may be.
LEAST, MOST = 1e-4, 1e4


def _check(analysis: Analysis) -> Iterator[Problem]:
    signals = analysis.signals
    if signals is None:
        return
    logits = signals.forward[signals.logits]
    apart = math.sqrt(max(logits.second - logits.cross, 0.0))
    if apart < LEAST:
        found = f"the logits of two images differ by about {apart:.1g}: the signal vanishes"
    elif logits.rms > MOST:
        found = f"the logits are about {logits.rms:.1g}: the signal explodes"
    else:
        return
    worst = _worst(analysis, signals, grows=logits.rms > MOST)
    if worst is None:
        return
    name, factor = worst
    yield Problem(
        "signal-lost",
        f"with the initial weights {found}; {name} alone multiplies it by {factor:.2g}",
        "draw weights with `kaiming_normal`, which keeps the size behind a ReLU, or normalise",
        layer=name,
        field="weight_init",
    )


def _worst(analysis: Analysis, signals: Signals, *, grows: bool) -> tuple[str, float] | None:
    """The layer that changes the size the most, and by what."""
    factors = {}
    for node in analysis.graph.nodes:
        before = signals.forward[node.inputs[0]].rms
        if isinstance(node.layer, WeightedLayer) and before > 0:
            factors[node.name] = signals.forward[node.name].rms / before
    if not factors:
        return None
    name = (max if grows else min)(factors, key=factors.__getitem__)
    return name, factors[name]


RULE = Rule("AS504", "signal-lost", "warning", check=_check)
