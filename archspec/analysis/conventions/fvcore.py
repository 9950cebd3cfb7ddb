"""fvcore (`nn/flop_count.py`, `nn/jit_handles.py`): operators of the traced network.

One multiply-add is one of its "flops", and biases are free. An operator without a handle counts as
nothing, and it warns of those that it does not know to be free.
"""

from __future__ import annotations

from archspec.analysis.conventions.base import Quantity, Rule, Rules, Tool, Use

BATCH_NORM = Rule(
    "batch norm: 2 an element, 1 without scale and shift",
    lambda use: (2 if use.affine else 1) * use.elements,
)
NORM = Rule(
    "layer and group norm: 5 an element, 4 without scale and shift",
    lambda use: (5 if use.affine else 4) * use.elements,
)
ADAPTIVE = Rule("adaptive average pool: one an input element", lambda use: use.read)
UPSAMPLE = Rule(
    "upsampling: one an output element, 4 where bilinear",
    lambda use: (4 if use.layer.mode == "bilinear" else 1) * use.elements,
)

RULES: dict[str, Rules] = {
    "nn.AdaptiveAvgPool2d": (ADAPTIVE,),
    "nn.BatchNorm1d": (BATCH_NORM,),
    "nn.BatchNorm2d": (BATCH_NORM,),
    "BiasedBatchNorm": (BATCH_NORM,),
    "FrozenBatchNorm": (BATCH_NORM,),
    "nn.GroupNorm": (NORM,),
    "nn.LayerNorm": (NORM,),
    "LayerNorm2d": (NORM,),
    "nn.Upsample": (UPSAMPLE,),
}

# The operators of each module that it warns of, as PyTorch 2.13 traces them.
SKIPS: dict[str, str] = {
    "Add": "add",
    "CroppedConvTranspose2d": "pad",
    "DropoutAtInference": "mul",
    "GlobalAvgPool2d": "mean",
    "Hardsigmoid": "add div relu6",
    "LocalResponseNorm": "add_ clone mul mul_ pad pow",
    "Multiply": "mul",
    "PaddedAvgPool2d": "avg_pool2d div ones_like pad",
    "PaddedConv2d": "pad",
    "PaddedMaxPool2d": "max_pool2d pad",
    "Scale": "mul",
    "nn.AvgPool2d": "avg_pool2d",
    "nn.ChannelShuffle": "channel_shuffle",
    "nn.GELU": "gelu",
    "nn.Hardswish": "hardswish",
    "nn.LeakyReLU": "leaky_relu",
    "nn.MaxPool2d": "max_pool2d",
    "nn.ReLU6": "hardtanh",
    "nn.SiLU": "silu",
    "nn.Sigmoid": "sigmoid",
    "nn.Softmax": "softmax",
    "nn.Tanh": "tanh",
    "nn.ZeroPad2d": "pad",
}


def _skips(use: Use) -> tuple[str, ...]:
    names = SKIPS.get(use.module, "").split()
    # What adds something only with some fields.
    if (use.module == "Scale" and use.layer.bias) or (
        use.module == "LocalResponseNorm" and use.layer.size > 1
    ):
        names.append("add")
    return tuple([f"aten::{name}" for name in names])


TOOL = Tool(
    "fvcore",
    "0.1.5.post20221221",
    (
        Quantity(
            "flops",
            "MACs",
            "macs",
            lambda use: RULES.get(use.module, ()),
            covers="inference",
            by_module=True,
            skips=_skips,
        ),
        Quantity("params", "params", "params"),
    ),
)
