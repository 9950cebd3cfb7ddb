"""The padding of a pool is so wide that a window would hold nothing else.

The largest value of a window without any pixel is minus infinity, and its mean without the
padding is a division by zero. PyTorch refuses more than half of the kernel; archspec refuses what
has no meaning: padding on one side of at least the size of the window.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: pool, type: max_pool2d, kernel_size: 2, stride: 1, padding: 2}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: pool, type: max_pool2d, kernel_size: 2, stride: 1, padding: 1}

References:

    torch.nn.MaxPool2d (https://pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html)
"""

from archspec.rules.base import Rule

RULE = Rule("AS108", "padding-covers-window", "error")
