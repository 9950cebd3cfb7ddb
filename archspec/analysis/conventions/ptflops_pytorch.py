"""ptflops with its `pytorch` backend (`pytorch_ops.py`): hooks on modules and on functions.

A module is known by its very class, not by what that derives from. Some functions of
`torch.nn.functional` are counted whoever calls them, so a module that is known and calls one of
them is counted twice.
"""

from __future__ import annotations

import math

from archspec.analysis.conventions.base import Network, Quantity, Rule, Rules, Tool, Use
from archspec.analysis.conventions.common import BIAS, FROZEN, UNKNOWN_CONVOLUTION, breaks

ACTIVATION = Rule("ReLU, ReLU6, GELU, leaky ReLU: one an element", lambda use: use.elements)
FUNCTION = Rule("SiLU, softmax, hard sigmoid: one an element", lambda use: use.elements)
POOL = Rule("pools: one an input element", lambda use: use.read)
PADDED_POOL = Rule(
    "pools: one an input element",
    lambda use: use.inputs[0][0] * _padded_area(use),
)
PADDED_COUNT = Rule(
    "unevenly padded average pools: the map of ones that they divide by",
    lambda use: _padded_area(use),
)
UPSAMPLE = Rule("upsampling: one an output element", lambda use: use.elements)
NORM = Rule(
    "batch and group norm: 2 an element, 1 without scale and shift",
    lambda use: (2 if use.affine else 1) * use.elements,
)
LAYER_NORM = Rule("layer norm: 1 an element", lambda use: use.elements)
AFFINE_LAYER_NORM = Rule(
    "layer norm: 1 an element too with scale and shift, which go by another name",
    lambda use: use.elements,
    fault=True,
)
# torch.nn.LocalResponseNorm multiplies twice and adds once by functions that count, and pools over
# channels that are padded by size - 1.
RESPONSE = Rule(
    "local response norm",
    lambda use: 4 * use.elements + (use.layer.size - 1) * math.prod(use.output[1:]),
)


def _padded_area(use: Use) -> int:
    assert use.window is not None
    top, bottom, left, right = use.window.reach
    _, height, width = use.inputs[0]
    return (top + height + bottom) * (left + width + right)


def _twice(rule: Rule) -> Rules:
    what = rule.reason.partition(":")[0]
    again = f"{what}: again, for the function that the module calls"
    return rule, Rule(again, rule.amount, fault=True)


RULES: dict[str, Rules] = {
    "CroppedConvTranspose2d": (UNKNOWN_CONVOLUTION,),
    "Hardsigmoid": (FUNCTION,),
    "PaddedAvgPool2d": (PADDED_POOL, PADDED_COUNT),
    "PaddedConv2d": (UNKNOWN_CONVOLUTION,),
    "PaddedMaxPool2d": (PADDED_POOL,),
    "nn.AdaptiveAvgPool2d": _twice(POOL),
    "nn.AvgPool2d": _twice(POOL),
    "nn.BatchNorm1d": (NORM,),
    "nn.BatchNorm2d": (NORM,),
    "nn.Conv2d": (BIAS,),
    "nn.ConvTranspose2d": (BIAS,),
    "nn.GELU": _twice(ACTIVATION),
    "nn.GroupNorm": (NORM,),
    "nn.LeakyReLU": (ACTIVATION,),
    "nn.Linear": (BIAS,),
    "nn.MaxPool2d": _twice(POOL),
    "nn.ReLU": _twice(ACTIVATION),
    "nn.ReLU6": (ACTIVATION,),
    "nn.SiLU": (FUNCTION,),
    "nn.Softmax": (FUNCTION,),
    "nn.Upsample": _twice(UPSAMPLE),
}


def _rules(use: Use) -> Rules:
    if use.module == "nn.LayerNorm":
        return (AFFINE_LAYER_NORM if use.affine else LAYER_NORM,)
    return RULES.get(use.module, ())


def _skips(use: Use) -> tuple[str, ...]:
    rules = _rules(use)
    return () if rules and UNKNOWN_CONVOLUTION not in rules else (use.module,)


def _asides(use: Use) -> Rules:
    of_torch = use.module == "LocalResponseNorm" and use.layer.groups == 1
    return (RESPONSE,) if of_torch else ()


# The methods that it adds to the network, and the one that it adds to every module.
_ADDED = "compute_average_flops_cost reset_flops_count start_flops_count stop_flops_count"


def _impossible(network: Network) -> str:
    return breaks(network.outermost, set(_ADDED.split())) or breaks(
        network.names, {"accumulate_flops"}
    )


TOOL = Tool(
    "ptflops (pytorch)",
    "0.7.5",
    (
        Quantity(
            "MACs",
            "MACs",
            "macs",
            _rules,
            covers="inference",
            by_module=True,
            skips=_skips,
            asides=_asides,
            impossible=_impossible,
        ),
        Quantity("params", "params", "params", lambda use: (FROZEN,), impossible=_impossible),
    ),
)
