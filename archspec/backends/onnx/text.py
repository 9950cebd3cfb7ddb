"""Writing models in ONNX's own text syntax, which `onnx.parser` reads."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from archspec.diagnostics import ArchspecError

WIDTH = 100
MARGIN = "   "

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*").fullmatch


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor that has a name: the image, a weight or the output of a layer."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant:
    """Numbers that a node reads: `value` is a number, a list of them or a list of rows.

    `role` says what they are to the node that reads them: "shape", "scales".
    """

    role: str
    value: float | tuple[int, ...] | tuple[float, ...] | tuple[tuple[float, ...], ...]


@dataclass(frozen=True, eq=False, slots=True)
class Op:
    """A node: an operator, what it reads (None: an optional input left out), its attributes.

    One that several others read stands once in the model. Where it has several `outputs`, they
    are read as `Part`s of it.
    """

    type: str
    inputs: tuple[Operand, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: int = 1


@dataclass(frozen=True, slots=True)
class Part:
    """One of the outputs of a node, counted from 0."""

    op: Op
    index: int


Operand = Tensor | Constant | Op | Part | None


def op(type: str, *inputs: Operand, outputs: int = 1, **attributes: Any) -> Op:
    """A node; an attribute is a number, a word, a list of whole numbers or a `Constant`."""
    return Op(type, inputs, attributes, outputs)


def quoted(name: str) -> str:
    """A name as the syntax wants it: in quotation marks unless it is an identifier."""
    return name if _PLAIN(name) else f'"{name}"'


def string(text: str) -> str:
    """Text as a literal; it holds no quotation marks, backslashes or line breaks."""
    return f'"{text}"'


def number(value: int | float) -> str:
    """A number as source. Raises ArchspecError for one that float32 cannot hold.

    What float32 has as zero is written so: older parsers of ONNX refuse it otherwise.
    """
    return repr(value) if isinstance(value, int) or single(value) else "0.0"


def single(value: float) -> float:
    """The float32 next to a number. Raises ArchspecError where it is infinite."""
    try:
        (rounded,) = struct.unpack("<f", struct.pack("<f", value))
    except OverflowError:
        raise ArchspecError(
            f"ONNX holds its numbers in float32, whose largest is 3.4e38, and the spec has {value}"
        ) from None
    return float(rounded)


def tensor_type(shape: Sequence[int | str], dtype: str = "float") -> str:
    """float[N, 96, 55, 55]."""
    return f"{dtype}[{', '.join(map(str, shape))}]"


def nodes(name: str, output: Op, comment: str) -> list[str]:
    """The lines of the nodes that compute `output`, which is called `name`.

    What it reads goes by the names `name/Operator` and `name/role`; no layer's name has a slash.
    """
    layer = _Layer(name)
    layer.write(output, [name], comment)
    return layer.lines


class _Layer:
    """The nodes of one layer, as far as they are written."""

    def __init__(self, name: str) -> None:
        self.lines: list[str] = []
        self._name = name
        self._taken: set[str] = set()
        self._constants: dict[Constant, str] = {}
        self._outputs: dict[Op, list[str]] = {}

    def write(self, node: Op, outputs: list[str], comment: str = "") -> None:
        """Write a node, and before it those that it reads."""
        inputs = [self._reference(operand) for operand in node.inputs]
        while inputs and not inputs[-1]:
            inputs.pop()
        attributes = [
            f"{key} = {_literal(value)}" for key, value in node.attributes.items()
        ]
        target = ", ".join(map(quoted, outputs))
        self.lines += _statement(target, node.type, attributes, inputs, comment)

    def _reference(self, operand: Operand) -> str:
        """What a node calls one of its inputs, which is written first."""
        match operand:
            case None:
                return ""
            case Tensor():
                return quoted(operand.name)
            case Constant():
                return quoted(self._constant(operand))
            case Part():
                return quoted(self._node(operand.op)[operand.index])
            case Op():
                return quoted(self._node(operand)[0])

    def _constant(self, constant: Constant) -> str:
        if constant not in self._constants:
            name = self._constants[constant] = self._free(constant.role)
            value = f"value = {_tensor(constant)}"
            self.lines += _statement(quoted(name), "Constant", [value], [], "")
        return self._constants[constant]

    def _node(self, node: Op) -> list[str]:
        if node not in self._outputs:
            several = [f"{node.type}_{i}" for i in range(node.outputs)]
            wanted = several if node.outputs > 1 else [node.type]
            self._outputs[node] = [self._free(name) for name in wanted]
            self.write(node, self._outputs[node])
        return self._outputs[node]

    def _free(self, role: str) -> str:
        found, count = f"{self._name}/{role}", 1
        while found in self._taken:
            count += 1
            found = f"{self._name}/{role}_{count}"
        self._taken.add(found)
        return found


def _literal(value: Any) -> str:
    if isinstance(value, Constant):
        return _tensor(value)
    if isinstance(value, str):
        return string(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(number, value))}]"
    return number(value)


def _tensor(constant: Constant) -> str:
    """float[2] {2.0, 3.0}; a single number has no axes."""
    value = constant.value
    if not isinstance(value, tuple):
        return f"float {{{number(value)}}}"
    rows = [row for row in value if isinstance(row, tuple)]
    flat: list[Any] = [one for row in rows for one in row] if rows else list(value)
    shape = (len(rows), len(rows[0])) if rows else (len(value),)
    dtype = "float" if isinstance(flat[0], float) else "int64"
    return f"{tensor_type(shape, dtype)} {{{', '.join(map(number, flat))}}}"


def _statement(
    target: str, type: str, attributes: list[str], inputs: list[str], comment: str
) -> list[str]:
    """`target` = Type <attributes> (inputs)  # comment, on as many lines as it takes."""
    listed = f" <{', '.join(attributes)}>" if attributes else ""
    read = f"({', '.join(inputs)})"
    note = f"  # {comment}" if comment else ""
    one = f"{MARGIN}{target} = {type}{listed} {read}{note}"
    if len(one) <= WIDTH:
        return [one]
    inner = MARGIN * 2
    return [
        f"{MARGIN}{target} = {type}",
        *(_filled(attributes, inner + "<", ">") if attributes else []),
        *_filled(inputs, inner + "(", f"){note}"),
    ]


def _filled(items: Sequence[str], opening: str, closing: str) -> list[str]:
    """`opening` a, b, c `closing`, broken behind commas where a line is full."""
    line, *words = (
        (opening + ", ".join(items) + closing).replace(", ", ",\n").split("\n")
    )
    lines = []
    for word in words:
        if len(line) + 1 + len(word) > WIDTH:
            lines.append(line)
            line = " " * len(opening) + word
        else:
            line += " " + word
    return [*lines, line]
