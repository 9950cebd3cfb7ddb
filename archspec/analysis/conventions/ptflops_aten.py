"""ptflops with its `aten` backend (`aten_ops.py`): the operators that PyTorch carries out.

Convolutions and matrix products, whatever module they stand in, and a bias as one MAC an output
element. Everything else is nothing.
"""

from __future__ import annotations

import math

from archspec.analysis.conventions.base import Network, Quantity, Rule, Rules, Tool, Use
from archspec.analysis.conventions.common import BIAS, FROZEN

CROPPED = Rule(
    "transposed convolutions that are cropped unevenly: the biases of what is cropped away",
    lambda use: _whole(use) - use.elements if use.biases else 0,
)


def _whole(use: Use) -> int:
    """The output elements of a transposed convolution before it is cropped."""
    top, bottom, left, right = use.layer.padding
    filters, height, width = use.output
    return math.prod((filters, top + height + bottom, left + width + right))


def _rules(use: Use) -> Rules:
    return (BIAS, CROPPED) if use.module == "CroppedConvTranspose2d" else (BIAS,)


def _impossible(network: Network) -> str:
    # It calls the whole network so.
    return "it counts a layer called `Global` twice" if "Global" in network.layers else ""


TOOL = Tool(
    "ptflops (aten)",
    "0.7.5",
    (
        Quantity(
            "MACs",
            "MACs",
            "macs",
            _rules,
            covers="inference",
            by_module=True,
            impossible=_impossible,
        ),
        Quantity("params", "params", "params", lambda use: (FROZEN,)),
    ),
)
