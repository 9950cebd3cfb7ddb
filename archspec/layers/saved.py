"""What a layer keeps from its forward pass for its backward pass, and what it shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Whether an output is its input's own memory, seen in another way: never, always, or only where
# the elements of an image lie in the order channels, height, width; else they are copied.
Sharing = Literal["no", "always", "in order"]


# What of a layer's inputs and output is kept: of the inputs all, or none.
Kept = tuple[Literal["inputs", "output"], ...]

# How the elements of an output lie in memory: in the order channels, height, width, image after
# image; so, but as a part of each image of something larger; channels last; in another order.
Layout = Literal["in order", "part", "channels last", "other"]


@dataclass(frozen=True, slots=True)
class Extra:
    """A tensor that is neither input nor output nor weight, and is kept for backward.

    `per` says what has `elements` of `bytes` bytes: every image, or the batch as a whole.
    """

    what: str
    elements: int
    bytes: int = 4
    per: Literal["image", "batch"] = "image"


@dataclass(frozen=True, slots=True)
class Saved:
    """What PyTorch's eager mode keeps of one layer in training; weights and buffers not counted.

    `inputs` are the numbers of the inputs that are kept, and `output` says whether the output
    is. With `in_one_piece`, an input whose elements do not lie so is copied, and the copy kept.
    """

    inputs: tuple[int, ...] = ()
    output: bool = False
    extra: tuple[Extra, ...] = ()
    in_one_piece: bool = False
