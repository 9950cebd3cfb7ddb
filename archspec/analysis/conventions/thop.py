"""thop (`profile.py`, `vision/basic_hooks.py`): hooks on the modules that its table names.

A module is known by its very class, not by what that derives from. The parameters of one that is
not known, or not run, are not counted either.
"""

from __future__ import annotations

import math

from archspec.analysis.conventions.base import Network, Quantity, Rule, Rules, Tool, Use
from archspec.analysis.conventions.common import UNKNOWN_CONVOLUTION, breaks

TRANSPOSED = Rule(
    "transposed convolution: counted at its output as if it were a convolution",
    lambda use: (
        use.elements * (use.inputs[0][0] // use.layer.groups) * math.prod(use.layer.kernel_size)
        - use.costs.macs
    ),
    fault=True,
)
NORM = Rule(
    "batch and layer norm: 4 an element, 2 without scale and shift",
    lambda use: (4 if use.affine else 2) * use.elements,
)
AVERAGE = Rule("average pool: one an output element", lambda use: use.elements)
ADAPTIVE = Rule(
    "adaptive average pool: input elements to an output element, and 1",
    lambda use: _adaptive(use),
)
SOFTMAX = Rule(
    "softmax: 3 a class less one, at each position",
    lambda use: (3 * use.output[0] - 1) * math.prod(use.output[1:]),
)
UPSAMPLE = Rule(
    "upsampling: one an output element, 11 where bilinear",
    lambda use: (11 if use.layer.mode == "bilinear" else 1) * use.elements,
)

NOT_KNOWN = Rule(
    "modules that it does not know: not counted", lambda use: -use.costs.params, fault=True
)
NOT_RUN = Rule(
    "layers of auxiliary outputs: not counted, since they do not run",
    lambda use: -use.costs.params,
    fault=True,
)

RULES: dict[str, Rules] = {
    "CroppedConvTranspose2d": (UNKNOWN_CONVOLUTION,),
    "PaddedConv2d": (UNKNOWN_CONVOLUTION,),
    "nn.AdaptiveAvgPool2d": (ADAPTIVE,),
    "nn.AvgPool2d": (AVERAGE,),
    "nn.BatchNorm1d": (NORM,),
    "nn.BatchNorm2d": (NORM,),
    "nn.ConvTranspose2d": (TRANSPOSED,),
    "nn.LayerNorm": (NORM,),
    "nn.Softmax": (SOFTMAX,),
    "nn.Upsample": (UPSAMPLE,),
}
# The classes that it has a hook for.
_HOOKED = """
nn.AdaptiveAvgPool2d nn.AvgPool2d nn.BatchNorm1d nn.BatchNorm2d nn.Conv2d nn.ConvTranspose2d
nn.Dropout nn.LayerNorm nn.LeakyReLU nn.Linear nn.MaxPool2d nn.ReLU nn.ReLU6 nn.Softmax
nn.Upsample nn.ZeroPad2d
"""
KNOWN = frozenset(_HOOKED.split())


def _adaptive(use: Use) -> int:
    # Its own arithmetic, in float64 and cut off, where the output does not divide the input.
    _, height, width = use.inputs[0]
    rows, columns = use.output[1:]
    return int((height / rows * (width / columns) + 1.0) * use.elements)


def _params(use: Use) -> Rules:
    if use.training_only:
        return (NOT_RUN,)
    return () if use.module in KNOWN else (NOT_KNOWN,)


def _impossible(network: Network) -> str:
    # The buffers that it adds to every module.
    return breaks(network.names, {"total_ops", "total_params"})


TOOL = Tool(
    "thop",
    "0.1.1.post2209072238",
    (
        Quantity(
            "MACs",
            "MACs",
            "macs",
            lambda use: RULES.get(use.module, ()),
            covers="inference",
            by_module=True,
            skips=lambda use: () if use.module in KNOWN else (use.module,),
            impossible=_impossible,
        ),
        Quantity("params", "params", "params", _params, by_module=True, impossible=_impossible),
    ),
)
