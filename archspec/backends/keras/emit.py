"""The Keras source of a graph."""

from __future__ import annotations

import builtins
from dataclasses import replace
from pathlib import Path

from archspec.backends.keras.layers import LAYERS
from archspec.backends.source import (
    Call,
    LayerContext,
    Raw,
    applied,
    class_name,
    contexts,
    dataflow,
    definitions,
    header,
    helper_source,
    identifiers,
    literal,
)
from archspec.graph import Graph
from archspec.layers.base import Shape, show

MODULES = Path(__file__).with_name("modules.py")

# Names that the emitted source uses itself.
_TAKEN = "keras initializers layers ops inputs x image self super kwargs main Sides"
RESERVED = frozenset(_TAKEN.split())


def network_class(graph: Graph) -> str:
    """The name of the emitted class."""
    taken = {"Callable", "Sides", *definitions(MODULES), *dir(builtins)}
    return class_name(graph, taken)


def channels_last(shape: Shape) -> Shape:
    """(C, H, W) as (H, W, C); a vector stays."""
    return (*shape[1:], shape[0])


def emit(graph: Graph) -> str:
    """The source of a file with the network as a functional model and a `main` that runs it."""
    layers = contexts(graph)
    reserved = {*RESERVED, *definitions(MODULES)}
    names = identifiers((node.name for node in graph.nodes), reserved)
    variables = dataflow(graph, names, "x")
    variables["input"] = "inputs"
    taken = {node.name for node in graph.nodes}
    body: list[str] = []
    used: set[str] = set()
    for context in layers:
        target = (
            "x" if context.node.name == graph.output else variables[context.node.name]
        )
        lines, functions = _layer(context, variables, target, taken)
        body += lines
        used |= functions
    helpers = helper_source(MODULES, used)
    text = "\n".join([*helpers, *body])
    network = network_class(graph)
    shape = channels_last(graph.input_shape)
    modules = ["initializers"] if "initializers." in "\n".join(body) else []
    modules += ["layers"]
    modules += ["ops"] if "ops." in text else []
    lines = [
        *header(graph, "Keras", f"N x {show(shape)} (channels last)"),
        "",
        *_standard_library(text),
        "import keras",
        f"from keras import {', '.join(modules)}",
        *(
            ["", "Sides = tuple[tuple[int, int], tuple[int, int]]"]
            if any("Sides" in line for line in helpers)
            else []
        ),
        *helpers,
        "",
        "",
        f"class {network}(keras.Model):",
        f'    """{show(shape)} in, {show(channels_last(layers[-1].output))} out."""',
        "",
        "    def __init__(self, **kwargs: object) -> None:",
        f'        inputs = keras.Input({shape}, name="input")',
        *body,
        "        super().__init__(inputs=inputs, outputs=x, **kwargs)",
        "",
        "",
        "def main() -> None:",
        '    """Print the summary and run one forward pass."""',
        f"    model = {network}()",
        "    model.summary()",
        f"    output = model(keras.random.uniform((1, {', '.join(map(str, shape))})))",
        '    print(f"one random image in, {tuple(output.shape)} out")',
        "",
        "",
        'if __name__ == "__main__":',
        "    main()",
    ]
    return "\n".join(lines) + "\n"


def _standard_library(text: str) -> list[str]:
    lines = ["import math"] if "math." in text else []
    lines += ["from collections.abc import Callable"] if "Callable" in text else []
    return [*lines, ""] if lines else []


def _layer(
    context: LayerContext, variables: dict[str, str], target: str, taken: set[str]
) -> tuple[list[str], set[str]]:
    """The lines of one layer, and the functions and classes that they use."""
    node = context.node
    inputs = [variables[name] for name in node.inputs]
    *before, last = LAYERS[node.layer.type](context)
    lines: list[str] = []
    for preparation in before:
        name = _free(f"{node.name}_{_verb(preparation)}", taken)
        lines += applied(f"{target} = ", _named(preparation, name), inputs)
        inputs = [target]
    comment = show(channels_last(context.output))
    lines += applied(f"{target} = ", _named(last, node.name), inputs, comment=comment)
    used = {last.function}
    used.update(arg.text for arg in last.args if isinstance(arg, Raw))
    return lines, used


def _named(layer: Call, name: str) -> Call:
    return replace(layer, kwargs={**layer.kwargs, "name": literal(name)})


def _verb(preparation: Call) -> str:
    verbs = {"layers.Permute": "order", "layers.Reshape": "cut"}
    return verbs.get(preparation.function, "pad")


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
