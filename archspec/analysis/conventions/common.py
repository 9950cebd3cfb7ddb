"""Rules that several tools share."""

from __future__ import annotations

from collections.abc import Set

from archspec.analysis.conventions.base import Rule

BIAS = Rule("bias: one MAC an output element", lambda use: use.biases)
FROZEN = Rule("frozen parameters: not counted", lambda use: -use.frozen)
UNKNOWN_CONVOLUTION = Rule(
    "unevenly padded or cropped convolutions: not counted, as their class derives from torch.nn's",
    lambda use: -use.costs.macs,
    fault=True,
)


def breaks(names: Set[str], taken: Set[str]) -> str:
    """Why a tool fails where a layer or a block has one of the names that it gives to others."""
    found = sorted(names & taken)
    return f"it fails where a layer or a block is called `{found[0]}`" if found else ""
