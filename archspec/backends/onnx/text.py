"""Writing models in ONNX's own text syntax, which `onnx.parser` reads."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
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
    lines: list[str] = []
    names: dict[int, list[str]] = {}
    constants: dict[Constant, str] = {}
    taken: set[str] = set()

    def free(wanted: str) -> str:
        found, count = wanted, 1
        while found in taken:
            count += 1
            found = f"{wanted}_{count}"
        taken.add(found)
        return found

    def reference(operand: Operand) -> str:
        match operand:
            case None:
                return ""
            case Tensor():
                return quoted(operand.name)
            case Constant():
                if operand not in constants:
                    constants[operand] = free(f"{name}/{operand.role}")
                    target = quoted(constants[operand])
                    lines.extend(
                        _statement(
                            target, "Constant", [f"value = {_tensor(operand)}"], [], ""
                        )
                    )
                return quoted(constants[operand])
            case Part():
                write(operand.op)
                return quoted(names[id(operand.op)][operand.index])
            case Op():
                write(operand)
                return quoted(names[id(operand)][0])

    def write(node: Op, called: str = "", note: str = "") -> None:
        if id(node) in names:
            return
        inputs = [reference(operand) for operand in node.inputs]
        while inputs and not inputs[-1]:
            inputs.pop()
        one = f"{name}/{node.type}"
        several = (
            [f"{one}_{i}" for i in range(node.outputs)] if node.outputs > 1 else [one]
        )
        names[id(node)] = [called] if called else [free(wanted) for wanted in several]
        target = ", ".join(map(quoted, names[id(node)]))
        attributes = [
            f"{key} = {_literal(value)}" for key, value in node.attributes.items()
        ]
        lines.extend(_statement(target, node.type, attributes, inputs, note))

    write(output, name, comment)
    return lines


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
    return list(_wrapped(_words(items, opening, closing), " " * len(opening)))


def _words(items: Sequence[str], opening: str, closing: str) -> Iterator[str]:
    """The pieces between which a line may be broken."""
    text = opening + ", ".join(items) + closing
    # Behind a comma; names have none, and neither have the few words that are attributes.
    yield from re.split(r"(?<=,) ", text)


def _wrapped(words: Iterator[str], margin: str) -> Iterator[str]:
    line = next(words)
    for word in words:
        if len(line) + 1 + len(word) > WIDTH:
            yield line
            line = margin + word
        else:
            line += " " + word
    yield line
