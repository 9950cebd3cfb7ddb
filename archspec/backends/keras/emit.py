"""The Keras source of a graph."""

from __future__ import annotations

import builtins
from dataclasses import replace
from pathlib import Path

from archspec.analysis.shapes import infer_shapes
from archspec.backends.keras.layers import LAYERS, TENSORS
from archspec.backends.source import (
    Call,
    LayerContext,
    Listing,
    Raw,
    applied,
    class_name,
    contexts,
    dataflow,
    header,
    identifiers,
    items,
    literal,
    opening,
    paragraphs,
    statement,
)
from archspec.backends.table import Table
from archspec.graph import Graph
from archspec.layers.base import Shape, show

MODULES = Path(__file__).with_name("modules.py")
TABLE = Table(
    "keras", LAYERS, MODULES, {"Callable", "keras", "layers", "math", "ops"}, TENSORS
)

# Names that the emitted source uses itself.
_TAKEN = "keras initializers layers ops inputs x image self super kwargs main Sides"
RESERVED = frozenset(_TAKEN.split())


def network_class(graph: Graph) -> str:
    """The name of the emitted class."""
    taken = {"Callable", "Sides", *TABLE.definitions(graph), *dir(builtins)}
    return class_name(graph, taken)


def layer_names(graph: Graph) -> dict[str, str]:
    """Keras' name of each layer: its own, with underscores for dots.

    On PyTorch, no name of a layer with weights may have a dot.
    """
    return identifiers([node.name for node in graph.nodes], ())


def channels_last(shape: Shape) -> Shape:
    """(C, H, W) as (H, W, C); a vector stays."""
    return (*shape[1:], shape[0])


def emit(graph: Graph) -> str:
    """The source of a file with the network as a functional model and a `main` that runs it."""
    layers = contexts(graph)
    reserved = {*RESERVED, *TABLE.definitions(graph)}
    found = paragraphs(graph, layers)
    variables = dataflow(graph, found, reserved, "x")
    variables["input"] = "inputs"
    names = layer_names(graph)
    taken = set(names.values())
    body: list[str] = []
    used: set[str] = set()
    for paragraph in found:
        body += opening(paragraph) if len(found) > 1 else []
        for context in paragraph.layers:
            lines, functions = _layer(context, variables, names, taken)
            body += lines
            used |= functions
    body += [""] if len(found) > 1 else []
    helpers = TABLE.helper_source(graph, used)
    text = "\n".join([*helpers, *body])
    network = network_class(graph)
    shape = channels_last(graph.input_shape)
    output = infer_shapes(graph).of(graph.output)
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
        f'    """{show(shape)} in, {show(channels_last(output))} out."""',
        "",
        "    def __init__(self, **kwargs: object) -> None:",
        f'        inputs = keras.Input({shape}, name="input")',
        *body,
        *_outputs(graph, [variables[name] for name in graph.outputs]),
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


def _outputs(graph: Graph, outputs: list[str]) -> list[str]:
    """The end of `__init__`, and the methods that leave auxiliary outputs to training."""
    if not graph.auxiliary:
        return [
            f"        super().__init__(inputs=inputs, outputs={outputs[0]}, **kwargs)"
        ]
    listed = Listing(tuple(map(Raw, outputs)))
    weights = ["1.0", *(str(a.loss_weight) for a in graph.auxiliary)]
    return [
        *statement(
            "super().__init__", Call("", (Raw("inputs"), listed, Raw("**kwargs")))
        ),
        f"        self.inference = keras.Model(inputs, {outputs[0]})",
        "",
        *_CALL.splitlines(),
        *items("weights = ", weights, "", 8),
        *_LOSSES.splitlines(),
    ]


_CALL = '''
    def call(
        self, inputs: keras.KerasTensor, training: bool | None = None
    ) -> keras.KerasTensor | list[keras.KerasTensor]:
        """Compute the output, in training a list of it and the auxiliary outputs."""
        if training:
            return super().call(inputs, training=True)
        return self.inference(inputs, training=False)

    def compute_loss(
        self,
        x: object = None,
        y: keras.KerasTensor | None = None,
        y_pred: keras.KerasTensor | list[keras.KerasTensor] | None = None,
        sample_weight: keras.KerasTensor | None = None,
        training: bool = True,
    ) -> keras.KerasTensor:
        """Add to the output's loss in training those of the auxiliary outputs, weighted."""
        if not isinstance(y_pred, list):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        total = 0.0
'''.lstrip("\n")
_LOSSES = '''
        for weight, output in zip(weights, y_pred, strict=True):
            loss = super().compute_loss(x, y, output, sample_weight, training)
            total = total + weight * loss
        return total

    def compute_metrics(
        self,
        x: object,
        y: keras.KerasTensor,
        y_pred: keras.KerasTensor | list[keras.KerasTensor],
        sample_weight: keras.KerasTensor | None = None,
    ) -> dict[str, object]:
        """Measure the output alone."""
        output = y_pred[0] if isinstance(y_pred, list) else y_pred
        return super().compute_metrics(x, y, output, sample_weight)
'''.lstrip("\n")


def _standard_library(text: str) -> list[str]:
    lines = ["import math"] if "math." in text else []
    lines += ["from collections.abc import Callable"] if "Callable" in text else []
    return [*lines, ""] if lines else []


def _layer(
    context: LayerContext,
    variables: dict[str, str],
    names: dict[str, str],
    taken: set[str],
) -> tuple[list[str], set[str]]:
    """The lines of one layer, and the functions and classes that they use."""
    node, called = context.node, names[context.node.name]
    target = variables[node.name]
    inputs = [variables[name] for name in node.inputs]
    *before, last = TABLE.entry(node.layer)(context)
    lines: list[str] = []
    for preparation in before:
        name = _free(f"{called}_{_verb(preparation)}", taken)
        lines += applied(f"{target} = ", _named(preparation, name), inputs)
        inputs = [target]
    comment = show(channels_last(context.output))
    lines += applied(f"{target} = ", _named(last, called), inputs, comment=comment)
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
