"""torchinfo (`layer_info.py`): every weight times the positions of the layer's output.

Mult-adds are the elements of `weight` and `bias` times the height and width of the output where
"Conv" is in the name of the module's class, and times 1 everywhere else.
"""

from __future__ import annotations

import math

from archspec.analysis.conventions.base import Network, Quantity, Rule, Rules, Tool, Use
from archspec.analysis.conventions.common import BIAS, breaks

TRANSPOSED = Rule(
    "transposed convolution: its weights at every output position, not input position",
    lambda use: use.weights[0].size * math.prod(use.output[1:]) - use.costs.macs,
    fault=True,
)
ONCE = Rule(
    "normalisation and scale: each parameter once, whatever the size of the map",
    lambda use: use.costs.params,
    fault=True,
)


def _rules(use: Use) -> Rules:
    if use.layer.type == "conv2d_transpose":
        return (BIAS, TRANSPOSED)
    return (BIAS,) if use.costs.macs else (ONCE,)


def _impossible(network: Network) -> str:
    # Whatever is called so is read as the size of a kernel.
    return breaks(network.names, {"kernel_size"})


TOOL = Tool(
    "torchinfo",
    "1.8.0",
    (
        Quantity(
            "mult-adds",
            "MACs",
            "macs",
            _rules,
            covers="inference",
            by_module=True,
            impossible=_impossible,
        ),
        Quantity("params", "params", "params", impossible=_impossible),
        Quantity("trainable", "params", "trainable_params", impossible=_impossible),
    ),
)
