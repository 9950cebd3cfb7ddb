"""What a weight file of another tool holds, before its tensors have found their layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


# The order of a tensor's axes, a letter each: O output channels (or units), I input channels (or
# features, divided by the groups), H, W. A transposed convolution reads I and gives O. Or
# CANONICAL, or "" where the format does not tell.
Layout = str
# The layout of archspec and PyTorch: O,I,H,W; out,in; transposed convolutions I,O,H,W.
CANONICAL: Layout = "canonical"
Colours = Literal["RGB", "BGR"]
Flatten = Literal["CHW", "HWC"]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One array of a file.

    `name` is what the file calls it, `layer` the part of that name which all tensors of one layer
    share, `role` the canonical name of this one in its layer (``weight``, ``bias``,
    ``running_mean``, ``running_var``), "" where the format does not tell. `axes` is the order of
    the axes (`Layout`). `kind` is the layer type that the format says this is of (``conv2d``,
    ``dense``, ``batch_norm``), "" where it says none. `stored` is the number format in the file
    where NumPy has none such and `value` was widened: ``bfloat16``.
    """

    name: str
    layer: str
    role: str
    value: npt.NDArray[np.generic]
    axes: Layout = ""
    kind: str = ""
    stored: str = ""


@dataclass(frozen=True, slots=True)
class Foreign:
    """The tensors of a file and what is known of its format.

    The tensors of one layer stand together. They are in the order of the network's layers, unless
    `ordered` is false: then by name, and the order says nothing more. `flatten` is the order in
    which a dense layer behind a map reads it, `colours` that of the channels of the first
    convolution (None: not known). `notes` say, in whole sentences, what was left out, or could
    not be known. `metadata` is what the file says of itself, `eps` what it says that normalisations
    add to the variance, by layer.
    """

    format: str
    tensors: tuple[Tensor, ...]
    flatten: Flatten | None = None
    colours: Colours | None = None
    notes: tuple[str, ...] = ()
    ordered: bool = True
    metadata: Mapping[str, str] = field(default_factory=dict)
    eps: Mapping[str, float] = field(default_factory=dict)
