"""What a counting tool is, and how its figures differ from archspec's.

A tool is a table: for each class of module that the PyTorch backend emits, the rules by which
the tool counts other than archspec does. The tool's figure is archspec's plus what the rules
give, so every term of the difference has a number and a reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from archspec.analysis.costs import LayerCosts
from archspec.layers.base import Shape, Weight
from archspec.layers.window import Window

# The totals of archspec that a tool's figure is set beside.
Own = Literal[
    "macs",
    "flops",
    "training_step_matmul_flops",
    "params",
    "trainable_params",
    "non_trainable_params",
]

# Every class that the PyTorch backend emits for archspec's own layer types (a test keeps this
# list complete): torch.nn's, and its own.
_EMITTED = """
nn.AdaptiveAvgPool2d nn.AvgPool2d nn.BatchNorm1d nn.BatchNorm2d nn.ChannelShuffle nn.Conv2d
nn.ConvTranspose2d nn.Dropout nn.Flatten nn.GELU nn.GroupNorm nn.Hardswish nn.LayerNorm
nn.LeakyReLU nn.Linear nn.MaxPool2d nn.ReLU nn.ReLU6 nn.SiLU nn.Sigmoid nn.Softmax nn.Tanh
nn.Upsample nn.ZeroPad2d
Add BiasedBatchNorm Concat CroppedConvTranspose2d DropoutAtInference FrozenBatchNorm
GlobalAvgPool2d Hardsigmoid LayerNorm2d LocalResponseNorm Multiply PaddedAvgPool2d PaddedConv2d
PaddedMaxPool2d Permute Reshape Scale Split StochasticDepth
"""
MODULES = frozenset(_EMITTED.split())


@dataclass(frozen=True, slots=True)
class Use:
    """Layers that are the same to every tool: `count` of them, with one layer's shapes and costs.

    `module` is the class that computes them in the emitted PyTorch source. `training_only` layers
    lead to auxiliary outputs and are not run at inference.
    """

    module: str
    layer: Any
    inputs: tuple[Shape, ...]
    output: Shape
    window: Window | None
    weights: tuple[Weight, ...]
    costs: LayerCosts
    training_only: bool
    count: int

    @property
    def read(self) -> int:
        """The elements of its first input."""
        return math.prod(self.inputs[0])

    @property
    def elements(self) -> int:
        """The elements of its output."""
        return math.prod(self.output)

    @property
    def biases(self) -> int:
        """The bias additions of a convolution or a dense layer: one an output element."""
        return self.elements if self.costs.macs and len(self.weights) > 1 else 0

    @property
    def affine(self) -> bool:
        """Whether a normalisation has scale and shift."""
        return bool(self.layer.affine)

    @property
    def buffers(self) -> int:
        """The elements of what is no parameter: running statistics."""
        return sum([weight.size for weight in self.weights if weight.buffer])

    @property
    def frozen(self) -> int:
        """The parameters that no optimiser updates."""
        return self.costs.params - self.costs.trainable_params


@dataclass(frozen=True, slots=True)
class Rule:
    """A reason why a tool counts other than archspec, and how much more for one layer.

    `fault` marks what is no convention but a mistake: it contradicts what the tool counts for the
    same computation elsewhere.
    """

    reason: str
    amount: Callable[[Use], int]
    fault: bool = False


Rules = tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Network:
    """What may keep a tool from counting: the layers, and what they and their blocks are called.

    `layers` are the layers' names, `names` all parts of those (`stem` and `conv` of `stem.conv`),
    `outermost` the first ones.
    """

    uses: tuple[Use, ...]
    layers: frozenset[str]
    names: frozenset[str]
    outermost: frozenset[str]


@dataclass(frozen=True, slots=True)
class Quantity:
    """One figure of a tool: archspec's total `own`, and for each layer the rules that differ.

    `covers` says which layers it is about: those that run at `inference`, or `all`. With
    `by_module`, the rules know no modules but MODULES. `impossible` gives the reason why a tool has
    no figure for a network, "" where it has one. `skips` are names of what it says that it leaves
    out, `asides` what it would add if torch.nn's module stood in the place of archspec's.
    """

    name: str
    unit: Literal["MACs", "FLOPs", "params"]
    own: Own
    rules: Callable[[Use], Rules] = lambda use: ()
    covers: Literal["inference", "all"] = "all"
    by_module: bool = False
    impossible: Callable[[Network], str] = lambda network: ""
    skips: Callable[[Use], tuple[str, ...]] = lambda use: ()
    asides: Callable[[Use], Rules] = lambda use: ()


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool, the version whose rules these are, and the figures that it prints."""

    name: str
    version: str
    quantities: tuple[Quantity, ...]
