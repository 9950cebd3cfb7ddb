"""What a weight file of another tool holds, before its tensors have found their layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


# The order of a tensor's axes, a letter each: O output channels (or units), I input channels (or
# features), H, W. Transposed convolutions are IOHW where their canonical layout is.
Layout = str


@dataclass(frozen=True, slots=True)
class Tensor:
    """One array of a file.

    `name` is what the file calls it, `layer` the part of that name which all tensors of one layer
    share, `role` the canonical name of this one in its layer (``weight``, ``bias``,
    ``running_mean``, ``running_var``), "" where the format does not tell. `axes` is the order of
    the axes, "" where the format does not tell.
    """

    name: str
    layer: str
    role: str
    value: npt.NDArray[np.generic]
    axes: Layout = ""


@dataclass(frozen=True, slots=True)
class Foreign:
    """The tensors of a file, in the order of its layers, and what is known of its format.

    `flatten` is the order in which a dense layer behind a map reads it (None: not known),
    `colours` that of the channels of the first convolution (None: not known). `notes` say what
    was left out or could not be known.
    """

    format: str
    tensors: tuple[Tensor, ...]
    flatten: Literal["CHW", "HWC"] | None = None
    colours: Literal["RGB", "BGR"] | None = None
    notes: tuple[str, ...] = ()
