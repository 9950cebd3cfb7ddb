"""The PyTorch source of a graph."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from pathlib import Path

from archspec.backends.source import (
    Call,
    LayerContext,
    Raw,
    call,
    class_name,
    contexts,
    dataflow,
    definitions,
    flat,
    header,
    helper_source,
    identifiers,
    items,
    portable,
    statement,
)
from archspec.backends.torch.layers import LAYERS
from archspec.graph import Graph
from archspec.layers.affine import AffineLayer
from archspec.layers.base import Weight, show
from archspec.spec import initializers as init

MODULES = Path(__file__).with_name("modules.py")

# What an attribute of a module may not be called: nn.Module's own (a test keeps this list
# complete), and the names that the emitted source uses itself.
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
reset_parameters x image layer self torch nn F Sides main
"""
RESERVED = frozenset(_TAKEN.split())


def network_class(graph: Graph) -> str:
    """The name of the emitted class."""
    return class_name(graph, {"F", "Sides", *definitions(MODULES), *dir(builtins)})


def attributes(graph: Graph) -> dict[str, str]:
    """The module's attribute for each layer: its name, unless that is taken.

    A name that begins with an underscore counts as taken: nn.Module has many of those.
    """
    names = [node.name for node in graph.nodes]
    return identifiers(names, RESERVED.union(n for n in names if n.startswith("_")))


def emit(graph: Graph) -> str:
    """The source of a file with the network as a class and a `main` that runs it."""
    layers = contexts(graph)
    names = attributes(graph)
    modules = {c.node.name: LAYERS[c.node.layer.type](c) for c in layers}
    helpers = helper_source(MODULES, {module.function for module in modules.values()})
    frozen = [
        names[c.node.name]
        for c in layers
        if any(not (weight.trainable or weight.buffer) for weight in c.weights)
    ]
    network = network_class(graph)
    shape = graph.input_shape
    reset = _reset(layers, names)
    body = [
        f"class {network}(nn.Module):",
        f'    """{show(shape)} in, {show(layers[-1].output)} out."""',
        "",
        "    def __init__(self) -> None:",
        "        super().__init__()",
        *_modules(modules, names),
        *(f"        self.{name}.requires_grad_(False)" for name in frozen),
        *(["        self.reset_parameters()", "", *reset] if reset else []),
        "",
        *_forward(graph, layers, names),
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


def _modules(modules: dict[str, Call], names: dict[str, str]) -> list[str]:
    lines: list[str] = []
    for name, module in modules.items():
        lines += statement(f"self.{names[name]} = ", module)
    return lines


def _forward(
    graph: Graph, layers: list[LayerContext], names: dict[str, str]
) -> list[str]:
    variables = dataflow(graph, names, "x")
    image = variables["input"]
    lines = [f"    def forward(self, {image}: torch.Tensor) -> torch.Tensor:"]
    for context in layers:
        node = context.node
        value = call(
            f"self.{names[node.name]}", *(Raw(variables[name]) for name in node.inputs)
        )
        target = variables[node.name]
        if node.name == graph.output:
            target = "x"
        lines += statement(f"{target} = ", value, comment=show(context.output))
    return [*lines, "        return x"]


def _reset(layers: list[LayerContext], names: dict[str, str]) -> list[str]:
    """`reset_parameters`: layers with the same initialisers share a loop."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for context in layers:
        if isinstance(context.layer, AffineLayer):
            continue  # ones and zeros already
        lines = tuple(_draw(weight) for weight in context.weights)
        if lines:
            groups.setdefault(lines, []).append(names[context.node.name])
    if not groups:
        return []
    body = [
        "    def reset_parameters(self) -> None:",
        '        """Draw the weights anew."""',
    ]
    for lines, members in groups.items():
        if len(members) == 1:
            body.append(f"        layer = self.{members[0]}")
            body += [f"        {line}" for line in lines]
        else:
            body += items("for layer in ", [f"self.{m}" for m in members], ":", 8)
            body += [f"            {line}" for line in lines]
    return body


def _draw(weight: Weight) -> str:
    function, arguments = _initializer(portable(weight))
    target = Raw(f"layer.{weight.name}")
    return flat(call(f"nn.init.{function}", target, **arguments))


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
