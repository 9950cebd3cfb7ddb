"""What well-known files call layers, where order and shape would not tell them apart.

The shortcut of a residual block stands before its third convolution in Keras' and in Caffe's
ResNets, behind it in torchvision's, and both have one shape. The names on the right are those of
the shipped specs.
"""

from __future__ import annotations

import re

_PARTS = {"0": "shortcut", "1": "reduce", "2": "middle", "3": "expand"}
_BRANCHES = {"1": "shortcut", "2a": "reduce", "2b": "middle", "2c": "expand"}
_KINDS = {"conv": "conv", "bn": "norm", "res": "conv"}

# keras.applications: conv2_block1_0_conv, conv2_block1_0_bn.
_KERAS = re.compile(r"conv([2-5])_block(\d+)_([0-3])_(conv|bn)")
# He's own Caffe models: res2a_branch2a, bn4b22_branch2c. The blocks are a, b, c or a, b1, b2.
_CAFFE = re.compile(r"(res|bn)([2-5])([a-z])(\d*)_branch(1|2[abc])")
_SINGLE = {
    "conv1_conv": "conv1.conv",
    "conv1_bn": "conv1.norm",
    "conv1": "conv1.conv",
    "bn_conv1": "conv1.norm",
    "fc1000": "fc",
}


def alias(name: str) -> str:
    """The name in a shipped spec of what a well-known file calls so; "" for any other."""
    if match := _KERAS.fullmatch(name):
        stage, block, part, kind = match.groups()
        return f"conv{stage}_{block}.{_PARTS[part]}.{_KINDS[kind]}"
    if match := _CAFFE.fullmatch(name):
        kind, stage, letter, number, branch = match.groups()
        block = int(number) + 1 if number else ord(letter) - ord("a") + 1
        return f"conv{stage}_{block}.{_BRANCHES[branch]}.{_KINDS[kind]}"
    return _SINGLE.get(name, "")
