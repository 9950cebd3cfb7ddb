"""What a layer keeps from its forward pass for its backward pass, and what it shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Whether an output is its input's own memory, seen in another way: never, always, or only where
# the elements of each image lie one after another in the order channels, height, width; else they
# are copied.
Sharing = Literal["no", "always", "in order"]


# What of a layer's inputs and output is kept: of the inputs all, or none.
Kept = tuple[Literal["inputs", "output"], ...]

# The axes of a map, the slowest first: 0 for channels, 1 for height, 2 for width.
Axes = tuple[int, int, int]
IN_ORDER: Axes = (0, 1, 2)
CHANNELS_LAST: Axes = (1, 2, 0)
# How a layer lays out its output: as its input lies; so if that is channels last, else in order;
# always in order; always channels last.
Arranging = Literal["alike", "usual", "in order", "channels last"]


@dataclass(frozen=True, slots=True)
class Layout:
    """How the elements of an output lie in memory.

    `gaps` are what lies between them where the output is a part of something larger.
    """

    axes: Axes = IN_ORDER
    gaps: Literal["none", "between images", "within images"] = "none"

    @property
    def in_one_piece(self) -> bool:
        """Whether PyTorch calls it contiguous: in order or channels last, and without gaps."""
        return self.gaps == "none" and self.axes in (IN_ORDER, CHANNELS_LAST)


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
