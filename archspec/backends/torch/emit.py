"""The PyTorch source of a graph."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from archspec.analysis.shapes import infer_shapes
from archspec.backends.source import (
    WIDTH,
    Call,
    LayerContext,
    Paragraph,
    Raw,
    call,
    class_name,
    contexts,
    dataflow,
    flat,
    header,
    items,
    paragraphs,
    portable,
    statement,
    unique,
)
from archspec.backends.table import Table
from archspec.backends.torch.layers import LAYERS
from archspec.graph import Graph, blocks_around
from archspec.layers.affine import AffineLayer
from archspec.layers.base import Weight, show
from archspec.spec import initializers as init

MODULES = Path(__file__).with_name("modules.py")
TABLE = Table("torch", LAYERS, MODULES, {"F", "nn", "torch"})

# What an attribute of a module may not be called: nn.Module's own (a test keeps this list
# complete), and what the emitted class has itself.
_TAKEN = """
T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda
double dump_patches eval extra_repr float forward get_buffer get_extra_state get_parameter
get_submodule half ipu load_state_dict modules mtia named_buffers named_children
named_modules named_parameters parameters register_backward_hook register_buffer
register_forward_hook register_forward_pre_hook register_full_backward_hook
register_full_backward_pre_hook register_load_state_dict_post_hook
register_load_state_dict_pre_hook register_module register_parameter
register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ set_extra_state
set_submodule share_memory state_dict to to_empty train training type xpu zero_grad
reset_parameters
"""
RESERVED = frozenset(_TAKEN.split())
# What a variable of `forward` may not be called.
_OTHER_VARIABLES = frozenset(["x", "image", "block", "self", "torch"])

# A loop over more layers than this is one over their class, where it can be.
_MANY = 12
# A paragraph with more layers of one block than this calls the block `block`.
_FEW = 2


def network_class(graph: Graph) -> str:
    """The name of the emitted class."""
    return class_name(graph, {"F", "Sides", *TABLE.definitions(graph), *dir(builtins)})


def modules(graph: Graph) -> dict[str, str]:
    """The class of each layer's module by the layer's name: `nn.Conv2d`, `PaddedConv2d`.

    Raises ArchspecError for a layer type that PyTorch has no entry for.
    """
    return {c.node.name: TABLE.entry(c.layer)(c).function for c in contexts(graph)}


def attributes(graph: Graph) -> dict[str, str]:
    """The path of each layer's module: `stage2.block1.conv1`, its name where it can be.

    So PyTorch's names of the weights are the canonical ones. A name that begins with an
    underscore counts as taken: nn.Module has many of those.
    """
    paths = _paths(graph)
    return {node.name: paths[node.name] for node in graph.nodes}


def _paths(graph: Graph) -> dict[str, str]:
    """The path of each layer, and under their names with a dot behind that of each block."""
    members: dict[str, dict[str, str]] = {"": {}}
    for node in graph.nodes:
        *around, last = node.name.split(".")
        scope = ""
        for part in around:
            block = f"{scope}{part}."
            members[scope][block] = part
            members.setdefault(block, {})
            scope = block
        members[scope][node.name] = last
    paths: dict[str, str] = {}
    for scope, wanted in members.items():  # outer blocks come first
        before = f"{paths[scope]}." if scope else ""
        taken = RESERVED.union(p for p in wanted.values() if p.startswith("_"))
        for name, identifier in unique(wanted, taken).items():
            paths[name] = before + identifier
    return paths


def emit(graph: Graph) -> str:
    """The source of a file with the network as a class and a `main` that runs it."""
    layers = contexts(graph)
    paths = _paths(graph)
    modules = {c.node.name: TABLE.entry(c.node.layer)(c) for c in layers}
    helpers = TABLE.helper_source(
        graph, {module.function for module in modules.values()}
    )
    frozen = [
        paths[c.node.name]
        for c in layers
        if any(not (weight.trainable or weight.buffer) for weight in c.weights)
    ]
    network = network_class(graph)
    shape, output = graph.input_shape, infer_shapes(graph).of(graph.output)
    reset = _reset(layers, paths, modules)
    body = [
        f"class {network}(nn.Module):",
        f'    """{show(shape)} in, {show(output)} out."""',
        "",
        "    def __init__(self) -> None:",
        "        super().__init__()",
        *_modules(graph, layers, modules, paths),
        *(f"        self.{path}.requires_grad_(False)" for path in frozen),
        *(["        self.reset_parameters()", "", *reset] if reset else []),
        "",
        *_forward(graph, layers, paths),
    ]
    text = "\n".join(helpers)
    return (
        "\n".join(
            [
                *header(graph, "PyTorch", f"N x {show(shape)}"),
                "",
                "import torch",
                *(["import torch.nn.functional as F"] if "F." in text else []),
                "from torch import nn",
                *(["", "Sides = tuple[int, int, int, int]"] if "Sides" in text else []),
                *helpers,
                "",
                "",
                *body,
                "",
                "",
                *_main(network, shape),
            ]
        )
        + "\n"
    )


def _modules(
    graph: Graph,
    layers: list[LayerContext],
    modules: dict[str, Call],
    paths: dict[str, str],
) -> list[str]:
    """A module for each layer, and an empty one for each block, which holds its layers."""
    lines: list[str] = []
    made = {""}
    found = paragraphs(graph, layers)
    for paragraph in found:
        if len(found) > 1:
            lines.append("")
        place = _Place(paragraph, paths)
        if place.called and paragraph.block in made:
            lines.append(f"        block = {place.block}")
        for context in paragraph.layers:
            name = context.node.name
            for block in blocks_around(name):
                if block not in made:
                    made.add(block)
                    alias = place.called and block == paragraph.block
                    target = (
                        f"block = {place.block}" if alias else place.of(f"{block}.")
                    )
                    lines.append(f"        {target} = nn.Module()")
            lines += statement(f"{place.of(name)} = ", modules[name])
    # What follows is about all of them.
    return [*lines, ""] if len(found) > 1 else lines


class _Place:
    """How the modules of a paragraph are written: `self.stem`, or `block.conv` in a block."""

    def __init__(self, paragraph: Paragraph, paths: dict[str, str]) -> None:
        self._paths, self._within = paths, f"{paragraph.block}."
        self.called = paragraph.block != "" and len(paragraph.layers) > _FEW
        self.block = f"self.{paths[self._within]}" if self.called else ""

    def of(self, name: str) -> str:
        """A layer, or a block, whose name has a dot behind it."""
        path = f"self.{self._paths[name]}"
        if self.called and name.startswith(self._within):
            return "block" + path[len(self.block) :]
        return path


def _forward(
    graph: Graph, layers: list[LayerContext], paths: dict[str, str]
) -> list[str]:
    found = paragraphs(graph, layers)
    variables = dataflow(graph, found, _OTHER_VARIABLES, "x")
    image, auxiliary = variables["input"], graph.auxiliary
    returns = "torch.Tensor" + (" | tuple[torch.Tensor, ...]" if auxiliary else "")
    lines = [f"    def forward(self, {image}: torch.Tensor) -> {returns}:"]
    if auxiliary:
        lines += [
            '        """Compute the output, in training followed by the auxiliary outputs.',
            "",
            "        Their losses are added to that of the output, multiplied by",
            *(f"        {a.layer}: {a.loss_weight}" for a in auxiliary),
            '        """',
        ]
    training = False
    for number, paragraph in enumerate(found):
        lines += [""] if number else []
        if paragraph.training_only and not training:
            lines.append("        if self.training:")
        training = paragraph.training_only
        indent = 12 if training else 8
        place = _Place(paragraph, paths)
        if place.called:
            lines.append(f"{' ' * indent}block = {place.block}")
        for context in paragraph.layers:
            node = context.node
            inputs = (Raw(variables[name]) for name in node.inputs)
            value = call(place.of(node.name), *inputs)
            target = f"{variables[node.name]} = "
            comment = show(context.output)
            lines += statement(target, value, indent=indent, comment=comment)
    if auxiliary:
        outputs = [variables[name] for name in graph.outputs]
        lines += ["", "        if self.training:"]
        one = f"            return {', '.join(outputs)}"
        lines += [one] if len(one) <= WIDTH else items("return ", outputs, "", 12)
    return [*lines, f"        return {variables[graph.output]}"]


def _reset(
    layers: list[LayerContext], paths: dict[str, str], modules: dict[str, Call]
) -> list[str]:
    """`reset_parameters`: layers with the same initialisers share a loop.

    For many of them it is over all modules of a class. That comes first: the few of the class
    that begin otherwise are drawn again behind it.
    """
    groups: dict[tuple[str, ...], list[LayerContext]] = {}
    draws: dict[tuple[str, ...], list[Call]] = {}
    for context in layers:
        if isinstance(context.layer, AffineLayer):
            continue  # ones and zeros already
        calls = [_draw(weight) for weight in context.weights]
        if calls:
            same = tuple(map(flat, calls))
            draws[same] = calls
            groups.setdefault(same, []).append(context)
    if not groups:
        return []
    # What is drawn of all modules of a class: their weights must be what every one of them has.
    base_of = _bases(layers[0].graph, modules)
    common: dict[str, set[str]] = {}
    for context in chain(*groups.values()):
        names = {weight.name for weight in context.weights}
        base = base_of[context.node.name]
        common[base] = common.get(base, names) & names
    by_class: list[str] = []
    by_name: list[str] = []
    for same, members in groups.items():
        bases = sorted({base_of[c.node.name] for c in members})
        drawn = {weight.name for weight in members[0].weights}
        if len(members) > _MANY and all(drawn <= common.get(b, set()) for b in bases):
            for base in bases:
                del common[base]  # once is enough
            some = bases[0] if len(bases) == 1 else f"({', '.join(bases)})"
            by_class += [
                "        for layer in self.modules():",
                f"            if isinstance(layer, {some}):",
                *_statements(draws[same], 16),
            ]
        elif len(members) == 1:
            by_name.append(f"        layer = self.{paths[members[0].node.name]}")
            by_name += _statements(draws[same], 8)
        else:
            every = [f"self.{paths[c.node.name]}" for c in members]
            by_name += items("for layer in ", every, ":", 8)
            by_name += _statements(draws[same], 12)
    return [
        "    def reset_parameters(self) -> None:",
        '        """Draw the weights anew."""',
        *by_class,
        *by_name,
    ]


def _bases(graph: Graph, modules: dict[str, Call]) -> dict[str, str]:
    """For each module the class of `torch.nn` that its class derives from, or the class itself."""
    bases: dict[str, str] = {}
    for helper, (text, _) in TABLE.definitions(graph).items():
        base = re.match(r"class \w+\((nn\.\w+)\)", text)
        if base and base[1] != "nn.Module":
            bases[helper] = base[1]
    return {
        name: bases.get(module.function, module.function)
        for name, module in modules.items()
    }


def _draw(weight: Weight) -> Call:
    function, arguments = _initializer(portable(weight))
    return call(f"nn.init.{function}", Raw(f"layer.{weight.name}"), **arguments)


def _statements(calls: list[Call], indent: int) -> list[str]:
    return [line for value in calls for line in statement("", value, indent=indent)]


def _initializer(
    rule: init.AnyInitializer,
) -> tuple[str, dict[str, float | str]]:
    """The function of torch.nn.init, and its arguments where they differ from its defaults."""
    arguments: dict[str, float | str] = {}
    match rule:
        case init.Zeros():
            return "zeros_", {}
        case init.Ones():
            return "ones_", {}
        case init.Constant():
            return "constant_", {"val": rule.value}
        case init.Normal():
            return "normal_", {
                **({"mean": rule.mean} if rule.mean else {}),
                "std": rule.std,
            }
        case init.TruncatedNormal():
            low, high = rule.mean - 2 * rule.std, rule.mean + 2 * rule.std
            arguments = {"std": rule.std, "a": low, "b": high}
            return "trunc_normal_", {
                **({"mean": rule.mean} if rule.mean else {}),
                **arguments,
            }
        case init.Uniform():
            return "uniform_", {"a": rule.low, "b": rule.high}
        case init.XavierNormal():
            return "xavier_normal_", {"gain": rule.gain} if rule.gain != 1 else {}
        case init.XavierUniform():
            return "xavier_uniform_", {"gain": rule.gain} if rule.gain != 1 else {}
        case init.KaimingNormal() | init.KaimingUniform():
            if rule.mode == "fan_out":
                arguments["mode"] = "fan_out"
            if rule.negative_slope:
                arguments["a"] = rule.negative_slope
            else:
                arguments["nonlinearity"] = "relu"
            return f"{rule.type}_", arguments


def _main(network: str, shape: Iterable[int]) -> list[str]:
    sizes = ", ".join(map(str, shape))
    return [
        "def main() -> None:",
        '    """Print the modules and the parameters, and run one forward pass."""',
        f"    model = {network}().eval()",
        "    print(model)",
        "    parameters = sum(p.numel() for p in model.parameters())",
        '    print(f"{parameters:,} parameters")',
        "    with torch.no_grad():",
        f"        output = model(torch.rand(1, {sizes}))",
        '    print(f"one random image in, {tuple(output.shape)} out")',
        "",
        "",
        'if __name__ == "__main__":',
        "    main()",
    ]
