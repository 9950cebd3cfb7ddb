"""Writing Python that a person would have written: what all emitters share.

Emitted files must pass ruff's formatter and linter as they stand, so calls are laid out here
by the formatter's own three steps: on one line; the arguments on one indented line; one
argument a line with a trailing comma.
"""

from __future__ import annotations

import ast
import keyword
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

from archspec.analysis.shapes import Shapes, infer_shapes
from archspec.graph import Graph, Node
from archspec.layers.base import Inferred, Shape, Weight
from archspec.spec import initializers as init
from archspec.version import __version__

WIDTH = 88
# The most layers that a paragraph of the emitted source should have: half a screen of lines.
PARAGRAPH = 24


@dataclass(frozen=True, slots=True)
class Call:
    """A call: function, positional and keyword arguments; values are source text or calls."""

    function: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def brackets(self) -> tuple[str, str]:
        """What stands before and behind the arguments."""
        return f"{self.function}(", ")"

    def items(self) -> list[tuple[str, Any]]:
        """Every argument with its keyword ("" for a positional one)."""
        return [("", arg) for arg in self.args] + list(self.kwargs.items())


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of variables."""

    elements: tuple[Raw, ...]
    brackets: ClassVar[tuple[str, str]] = ("[", "]")

    def items(self) -> list[tuple[str, Any]]:
        """Every element, in the form of `Call.items`."""
        return [("", element) for element in self.elements]


def literal(value: Any) -> Any:
    """A value as source: calls stay, everything else goes through `repr`, strings quoted."""
    if isinstance(value, (Call, Listing, Raw)):
        return value
    if isinstance(value, str):
        return Raw('"' + repr(value)[1:-1].replace('"', '\\"') + '"')
    return Raw(repr(value))


@dataclass(frozen=True, slots=True)
class Raw:
    """Source text that is already right."""

    text: str


def call(function: str, *args: Any, **kwargs: Any) -> Call:
    """A call whose arguments are Python values (or calls, or Raw source)."""
    return Call(
        function, tuple(map(literal, args)), {k: literal(v) for k, v in kwargs.items()}
    )


def flat(value: Call | Listing | Raw) -> str:
    """A value on one line."""
    if isinstance(value, Raw):
        return value.text
    opening, closing = value.brackets
    return opening + ", ".join(_keyed(*item) for item in value.items()) + closing


def _keyed(key: str, value: Any) -> str:
    return f"{key}={flat(value)}" if key else flat(value)


def statement(
    prefix: str, value: Call, suffix: str = "", indent: int = 8, comment: str = ""
) -> list[str]:
    """The lines of `prefix` `value` `suffix`, with a comment where the statement ends.

    A comment that does not fit behind a line which fits by itself goes above it.
    """
    margin = " " * indent
    note = f"  # {comment}" if comment else ""
    one = f"{margin}{prefix}{flat(value)}{suffix}"
    if len(one) <= WIDTH < len(one + note):
        return [f"{margin}# {comment}", one]
    # Where not even the opening bracket fits, the formatter puts the call in parentheses.
    opening = value.brackets[0] if value.items() else flat(value)
    crowded = len(one) > WIDTH and len(margin + prefix + opening) > WIDTH
    fits = max(len(margin + prefix + "("), indent + 4 + len(opening)) <= WIDTH
    if crowded and fits and not suffix:
        inside = _layout(margin + "    ", value, "", "", indent + 4)
        return [f"{margin}{prefix}(", *inside, f"{margin}){note}"]
    return _layout(margin + prefix, value, suffix, note, indent)


def _layout(
    prefix: str, value: Call | Listing, suffix: str, note: str, indent: int
) -> list[str]:
    one = f"{prefix}{flat(value)}{suffix}{note}"
    if len(one) <= WIDTH or not value.items():
        return [one]
    inner = " " * (indent + 4)
    opening, closing = value.brackets
    arguments = inner + ", ".join(_keyed(*item) for item in value.items())
    close = " " * indent + closing + suffix + note
    # A list goes from one line to one element a line. Before a second call, `f(...)(x)`, the
    # formatter would rather split that one; a comma after the last argument tells it not to.
    if (
        len(arguments) <= WIDTH
        and isinstance(value, Call)
        and not suffix.startswith("(")
    ):
        return [prefix + opening, arguments, close]
    lines = [prefix + opening]
    for key, argument in value.items():
        start = inner + (f"{key}=" if key else "")
        if isinstance(argument, Raw):
            lines.append(f"{start}{argument.text},")
        else:
            alone = isinstance(argument, Listing) and len(value.items()) == 1
            comma = "" if alone else ","
            lines += _layout(start, argument, comma, "", indent + 4)
    return [*lines, close]


def applied(
    prefix: str,
    function: Call,
    inputs: Sequence[str],
    indent: int = 8,
    comment: str = "",
) -> list[str]:
    """The lines of `prefix` `function` (inputs), several of which make a list."""
    listed = Listing(tuple(map(Raw, inputs)))
    margin, several = " " * indent, len(inputs) > 1
    outer = Call(flat(function), (listed,))
    if several and len(margin + prefix + outer.brackets[0]) <= WIDTH:
        return statement(prefix, outer, "", indent, comment)
    argument = flat(listed) if several else inputs[0]
    short = statement(prefix, function, f"({argument})", indent, comment)
    if len(short[-1]) <= WIDTH:
        return short
    *head, close = statement(prefix, function, "(", indent)
    inner = margin + "    "
    between = (
        [f"{inner}[", *(f"{inner}    {name}," for name in inputs), f"{inner}]"]
        if several
        else [inner + argument]
    )
    return [
        *head,
        close,
        *between,
        f"{margin})  # {comment}" if comment else f"{margin})",
    ]


def items(prefix: str, names: Sequence[str], suffix: str, indent: int) -> list[str]:
    """`prefix` (a, b, c) `suffix`: a tuple, one item a line where it does not fit."""
    inside = ", ".join(names) + ("," if len(names) == 1 else "")
    one = f"{' ' * indent}{prefix}({inside}){suffix}"
    if len(one) <= WIDTH:
        return [one]
    inner = " " * (indent + 4)
    return [
        f"{' ' * indent}{prefix}(",
        *(f"{inner}{name}," for name in names),
        f"{' ' * indent}){suffix}",
    ]


@dataclass(frozen=True, slots=True)
class LayerContext:
    """What an emitter knows of one layer."""

    graph: Graph
    node: Node
    inputs: tuple[Shape, ...]
    inferred: Inferred
    weights: tuple[Weight, ...]

    @property
    def layer(self) -> Any:
        """The layer, whose class the emitter's table entry knows."""
        return self.node.layer

    @property
    def output(self) -> Shape:
        """The output shape."""
        return self.inferred.shape


def contexts(graph: Graph) -> list[LayerContext]:
    """One context a layer, in the order of computation."""
    shapes: Shapes = infer_shapes(graph)
    return [
        LayerContext(
            graph,
            node,
            shapes.inputs(node),
            shapes.layers[node.name],
            node.layer.weights(shapes.inputs(node)),
        )
        for node in graph.nodes
    ]


def portable(weight: Weight) -> init.AnyInitializer:
    """The weight's initialiser, as one that gives the same distribution in every framework.

    The fans of a bias are those of its layer, which the frameworks do not see: PyTorch
    refuses and Keras counts others, so their numbers are filled in. A Gaussian cut at two
    standard deviations of 0 is a constant, where PyTorch divides by zero.
    """
    rule = weight.initializer
    if isinstance(rule, init.TruncatedNormal) and rule.std == 0:
        return init.Constant(type="constant", value=rule.mean)
    if len(weight.shape) > 1:
        return rule
    if isinstance(rule, (init.XavierNormal, init.KaimingNormal)):
        std = rule.std(weight.fan_in, weight.fan_out)
        return init.Normal(type="normal", std=std)
    if isinstance(rule, (init.XavierUniform, init.KaimingUniform)):
        # A uniform variable on [-a, a) has the standard deviation a / sqrt(3).
        bound = math.sqrt(3.0) * rule.std(weight.fan_in, weight.fan_out)
        return init.Uniform(type="uniform", low=-bound, high=bound)
    return rule


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Layers that stand together in the emitted source: those of one block."""

    block: str
    training_only: bool
    layers: tuple[LayerContext, ...]


def paragraphs(graph: Graph, layers: Sequence[LayerContext]) -> list[Paragraph]:
    """The layers in paragraphs, in the order of computation.

    A block is one paragraph, unless it is longer than `PARAGRAPH` layers and made of blocks
    itself. Layers outside of any block have the block "".
    """
    sizes: dict[str, int] = {}
    made_of_blocks = set()
    for node in graph.nodes:
        around = blocks(node.name)
        made_of_blocks.update(around[:-1])
        for block in around:
            sizes[block] = sizes.get(block, 0) + 1
    whole = {b for b in sizes if b not in made_of_blocks or sizes[b] <= PARAGRAPH}

    def place(context: LayerContext) -> tuple[str, bool]:
        name = context.node.name
        around = blocks(name)
        innermost = around[-1] if around else ""
        block = next((block for block in around if block in whole), innermost)
        return block, name in graph.training_only

    return [Paragraph(*key, tuple(run)) for key, run in groupby(layers, place)]


def opening(paragraph: Paragraph) -> list[str]:
    """The blank line and the comment in front of a paragraph."""
    note = "used in training alone" if paragraph.training_only else ""
    words = ", ".join(filter(None, (paragraph.block, note)))
    return ["", f"        # {words}"] if words else [""]


def blocks(name: str) -> list[str]:
    """The blocks that a layer stands in, the outermost first: a, a.b of a.b.conv."""
    ends = [index for index, char in enumerate(name) if char == "."]
    return [name[:end] for end in ends]


def identifiers(names: Iterable[str], reserved: Iterable[str]) -> dict[str, str]:
    """A Python name for each layer: its own, with underscores for dots and where it is taken."""
    return unique({name: name.replace(".", "_") for name in names}, reserved)


def unique(wanted: Mapping[str, str], reserved: Iterable[str]) -> dict[str, str]:
    """The wanted Python names, with underscores added where one is taken."""
    taken = set(reserved)
    found: dict[str, str] = {}
    for name, identifier in wanted.items():
        while identifier in taken or keyword.iskeyword(identifier):
            identifier += "_"
        taken.add(identifier)
        found[name] = identifier
    return found


def class_name(graph: Graph, reserved: Iterable[str]) -> str:
    """The network's name in CapWords, with the capitals that its title uses.

    `alexnet-224` with a title that says "AlexNet" becomes `AlexNet224`.
    """
    words = {
        word.lower(): word for word in re.findall(r"[A-Za-z][A-Za-z0-9]*", graph.title)
    }
    parts = re.split(r"[-_]+", graph.name)
    capped = (words.get(part.lower()) or part for part in parts if part)
    name = "".join(part[:1].upper() + part[1:] for part in capped) or "Network"
    if keyword.iskeyword(name) or name in reserved or not name.isidentifier():
        name += "Network"
    return name if name.isidentifier() else "Network"


def dataflow(
    graph: Graph, found: Sequence[Paragraph], reserved: Iterable[str], chain: str
) -> dict[str, str]:
    """The variable that holds each layer's output (and the input's, under "input").

    A value that only the next layer reads is `chain` ("x"), as in hand-written code. One that
    is read in its own paragraph or the next carries the name that its layer has in the block:
    the next block gives it to another value, and the memory is free. Others carry the whole
    name of their layer. No variable is assigned while the value in it is still to be read.
    """
    taken = frozenset(reserved)
    order = [node.name for node in graph.nodes]
    whole = identifiers(order, taken)
    following = dict(zip(["input", *order], [*order, None], strict=True))
    position = {name: index for index, name in enumerate(order)}
    kept = {a.layer for a in graph.auxiliary}
    if order[-1] != graph.output:
        kept.add(graph.output)
    blocks_of, number_of, number = {}, {}, 0
    for paragraph in found:
        number += not paragraph.training_only
        for context in paragraph.layers:
            blocks_of[context.node.name] = paragraph.block
            number_of[context.node.name] = number

    def passing(name: str) -> bool:
        readers = set(graph.consumers[name])
        alone = readers == {following[name]} or (name == graph.output and not readers)
        return alone and name not in kept

    variables = {"input": chain if passing("input") else "image"}
    read_until: dict[str, int] = {}
    for index, name in enumerate(order):
        if passing(name):
            variables[name] = chain
            continue
        readers = graph.consumers[name]
        near = all(number_of[reader] - number_of[name] <= 1 for reader in readers)
        local = name.removeprefix(f"{blocks_of[name]}.").replace(".", "_")
        if not near or name in kept or local in taken or keyword.iskeyword(local):
            local = whole[name]
        variable = local if read_until.get(local, 0) <= index else whole[name]
        while read_until.get(variable, 0) > index:
            variable += "_"
        variables[name] = variable
        last = max((position[reader] for reader in readers), default=index)
        read_until[variable] = len(order) if name in kept else last
    return variables


def header(graph: Graph, framework: str, layout: str) -> list[str]:
    """The module docstring: what it is, where it comes from, what goes in and out."""
    output = " x ".join(map(str, infer_shapes(graph).of(graph.output)))
    title = safe_text(graph.title) or graph.name
    first = f'"""{title} in {framework}.'
    lines = (
        [first]
        if len(first) <= WIDTH
        else [f'"""{safe_text(graph.name)} in {framework}.', "", title]
    )
    return [
        *lines,
        "",
        f"Written by archspec {__version__} from the spec {graph.name}",
        f"(sha256 {graph.hash}).",
        f"Input: {layout}. Output: N x {output}.",
        '"""',
    ]


def safe_text(text: str) -> str:
    """Text from a spec that may stand inside a docstring: printable, no quotes, one line."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    plain = " ".join(plain.replace("\\", "/").replace('"', "'").split())
    return plain if len(plain) <= WIDTH - 2 else plain[: WIDTH - 5] + "..."


@cache
def definitions(file: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """The classes and functions of a module by name: source text, and the names they use.

    Read as text: emitting needs no framework.
    """
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines()
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            start = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            used = frozenset(n.id for n in ast.walk(node) if isinstance(n, ast.Name))
            found[node.name] = "\n".join(lines[start - 1 : node.end_lineno]), used
    return found


def helper_source(file: Path, wanted: Iterable[str]) -> list[str]:
    """The source of the wanted definitions and of those they use, in the order of the file."""
    known = definitions(file)
    needed: set[str] = set()
    pending = list(wanted)
    while pending:
        name = pending.pop()
        if name in known and name not in needed:
            needed.add(name)
            pending.extend(known[name][1])
    lines: list[str] = []
    for name, (text, _) in known.items():
        if name in needed:
            lines += ["", "", *text.splitlines()]
    return lines
