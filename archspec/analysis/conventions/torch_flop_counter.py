"""PyTorch's `torch.utils.flop_counter`: 2 FLOPs a MAC of the operators that are carried out.

Convolutions and matrix products, forward and backward; everything else is nothing.
"""

from __future__ import annotations

from archspec.analysis.conventions.base import Network, Quantity, Rule, Rules, Tool, Use

BIAS = Rule("bias additions: not counted", lambda use: 2 * use.costs.macs - use.costs.flops)
OTHER = Rule("all but convolutions and dense layers: not counted", lambda use: -use.costs.flops)
GROUPS = Rule(
    "weight gradients of grouped convolutions: as if there were no groups",
    lambda use: 2 * use.costs.macs * (use.layer.groups - 1),
    fault=True,
)


def _forward(use: Use) -> Rules:
    return (BIAS,) if use.costs.macs else (OTHER,)


def _step(use: Use) -> Rules:
    grouped = use.layer.type in ("conv2d", "conv2d_transpose") and use.layer.groups > 1
    return (GROUPS,) if grouped and use.costs.trainable_params else ()


def _impossible(network: Network) -> str:
    trained = any(use.costs.trainable_params for use in network.uses)
    return "" if trained else "nothing in the network is trained, so nothing goes backward"


TOOL = Tool(
    "torch flop counter",
    "2.13.0",
    (
        Quantity("forward", "FLOPs", "flops", _forward, covers="inference", by_module=True),
        Quantity(
            "step",
            "FLOPs",
            "training_step_matmul_flops",
            _step,
            by_module=True,
            impossible=_impossible,
        ),
    ),
)
