"""The model of a graph in ONNX's text syntax, its weights declared and not filled in."""

from __future__ import annotations

from archspec.analysis.shapes import infer_shapes
from archspec.backends.onnx.layers import LAYERS
from archspec.backends.onnx.text import (
    MARGIN,
    Tensor,
    nodes,
    quoted,
    string,
    tensor_type,
)
from archspec.backends.source import LayerContext, contexts, paragraphs, safe_text
from archspec.backends.table import Table
from archspec.graph import Graph
from archspec.layers.base import Shape, show
from archspec.spec.fields import INPUT
from archspec.version import __version__

TABLE = Table("onnx", LAYERS)

# What PyTorch's exporter writes, too. From 19 on, onnxruntime 1.21 to 1.24 counts the padding of
# an AveragePool wrongly where its sides differ.
OPSET = 18
# The version of the file format that came with that opset.
IR_VERSION = 8


def batch(shape: Shape) -> tuple[int | str, ...]:
    """A shape with the batch axis, whose size is left open."""
    return ("N", *shape)


def weight_names(layers: list[LayerContext]) -> dict[str, Shape]:
    """The shapes of all weights and buffers by canonical name, which is their name in ONNX."""
    return {f"{c.node.name}.{w.name}": w.shape for c in layers for w in c.weights}


def values(graph: Graph) -> dict[str, str]:
    """The tensor that holds each layer's output (and the image, under "input"): its own name.

    A layer that is called as a weight of another, `a.weight`, gets underscores behind its name.
    """
    taken = set(weight_names(contexts(graph)))
    found = {INPUT: INPUT}
    names = {node.name for node in graph.nodes}
    for node in graph.nodes:
        value = node.name
        while value in taken:
            value += "_"
            while value in names:
                value += "_"
        taken.add(value)
        found[node.name] = value
    return found


def emit(graph: Graph) -> str:
    """The text: a graph that reads the image and the weights and gives the network's output."""
    layers = contexts(graph)
    called = values(graph)
    declared = [(INPUT, batch(graph.input_shape)), *weight_names(layers).items()]
    inputs = [
        f"{MARGIN}{tensor_type(shape)} {quoted(name)}" for name, shape in declared
    ]
    output = tensor_type(batch(infer_shapes(graph).of(graph.output)))
    return (
        "\n".join(
            [
                *_header(graph),
                "<",
                f"{MARGIN}ir_version: {IR_VERSION},",
                f'{MARGIN}opset_import: ["" : {OPSET}],',
                f"{MARGIN}producer_name: {string('archspec')},",
                f"{MARGIN}producer_version: {string(__version__)},",
                f"{MARGIN}doc_string: {string(safe_text(graph.title))},",
                f"{MARGIN}metadata_props: [",
                f"{MARGIN * 2}{string('archspec.network')}: {string(graph.name)},",
                f"{MARGIN * 2}{string('archspec.hash')}: {string(graph.hash)}",
                f"{MARGIN}]",
                ">",
                f"{quoted(graph.name)} (",
                ",\n".join(inputs),
                f") => ({output} {quoted(called[graph.output])}) {{",
                *_body(graph, layers, called),
                "}",
            ]
        )
        + "\n"
    )


def _header(graph: Graph) -> list[str]:
    output = show(infer_shapes(graph).of(graph.output))
    title = safe_text(graph.title) or graph.name
    return [
        f"# {title} in ONNX.",
        "#",
        f"# Written by archspec {__version__} from the spec {graph.name}",
        f"# (sha256 {graph.hash}).",
        f"# Input: N x {show(graph.input_shape)}. Output: N x {output}.",
        "#",
        "# The weights are inputs here. `archspec build` writes them into a model.",
    ]


def _body(
    graph: Graph, layers: list[LayerContext], called: dict[str, str]
) -> list[str]:
    found = paragraphs(graph, layers)
    lines: list[str] = []
    for paragraph in found:
        note = "used in training alone" if paragraph.training_only else ""
        words = ", ".join(filter(None, (paragraph.block, note)))
        if len(found) > 1:
            lines += [""] if lines else []
            lines += [f"{MARGIN}# {words}"] if words else []
        for context in paragraph.layers:
            node = context.node
            inputs = [Tensor(called[name]) for name in node.inputs]
            output = TABLE.entry(context.layer)(context, inputs)
            lines += nodes(called[node.name], output, show(context.output))
    return lines
