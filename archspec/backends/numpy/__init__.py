"""The reference backend: NumPy, plain and slow, the definition of what a spec computes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.backends.base import Backend
from archspec.backends.numpy.layers import LAYERS
from archspec.backends.source import (
    Call,
    Raw,
    call,
    class_name,
    contexts,
    definitions,
    header,
    helper_source,
    opening,
    paragraphs,
    statement,
)
from archspec.backends.table import Table
from archspec.graph import Graph
from archspec.layers.base import Weight, show

if TYPE_CHECKING:
    import numpy as np

    from archspec.backends.base import Array

FUNCTIONS = Path(__file__).with_name("functions.py")
TABLE = Table("numpy", LAYERS, FUNCTIONS, {"math", "np"})
INITIAL = Path(__file__).with_name("initial.py")


class NumpyBackend(Backend):
    """Emits and runs the forward pass at inference, in the precision of the weights."""

    name = "numpy"
    extra = "torch"
    packages = ("numpy",)

    def class_name(self, graph: Graph) -> str:
        return class_name(graph, {*TABLE.definitions(graph), *definitions(INITIAL)})

    def emit(self, graph: Graph) -> str:
        layers = contexts(graph)
        weights: list[str] = []
        body: list[str] = []
        used: set[str] = set()
        found = paragraphs(graph, layers)
        for paragraph in found:
            body += opening(paragraph) if len(found) > 1 else []
            for context in paragraph.layers:
                node = context.node
                for weight in context.weights:
                    name = f"{node.name}.{weight.name}"
                    draw = _draw(name, weight)
                    used.add(draw.function)
                    weights += statement(f'"{name}": ', draw, ",", indent=12)
                inputs = [Raw(f'out["{name}"]') for name in node.inputs]
                value = TABLE.entry(node.layer)(context, inputs)
                used.add(value.function)
                used.update(getattr(arg, "function", "") for arg in value.args)
                target = f'out["{node.name}"] = '
                body += statement(target, value, comment=show(context.output))
        body += [""] if len(found) > 1 else []
        network = self.class_name(graph)
        shape = graph.input_shape
        initial = helper_source(INITIAL, used)
        functions = TABLE.helper_source(graph, used)
        text = "\n".join([*initial, *functions])
        table = (
            ["self.weights = {", *weights, "        }"]
            if weights
            else ["self.weights = {}"]
        )
        uses_weights = any('w["' in line for line in body)
        lines = [
            *header(graph, "NumPy", f"N x {show(shape)}"),
            "",
            *(["import math"] if "math." in text else []),
            *(["import zlib"] if "zlib." in text else []),
            *([""] if "math." in text or "zlib." in text else []),
            "import numpy as np",
            *initial,
            *functions,
            "",
            "",
            f"class {network}:",
            '    """The network; `weights` holds every tensor by its canonical name."""',
            "",
            "    def __init__(self, seed: int = 0) -> None:",
            f"        {table[0]}",
            *table[1:],
            "",
            "    def outputs(self, x: np.ndarray) -> dict[str, np.ndarray]:",
            '        """Compute every layer\'s output, by layer name."""',
            *(["        w = self.weights"] if uses_weights else []),
            '        out = {"input": x}',
            *body,
            "        return out",
            "",
            "    def __call__(self, x: np.ndarray) -> np.ndarray:",
            f'        return self.outputs(x)["{graph.output}"]',
            "",
            "",
            "def main() -> None:",
            '    """Print the shape of every layer\'s output for one image."""',
            f"    model = {network}()",
            f"    for name, out in model.outputs(np.zeros((1, {_commas(shape)}))).items():",
            '        print(f"{name:<24} {out.shape}")',
            "    parameters = sum(weight.size for weight in model.weights.values())",
            '    print(f"{parameters:,} numbers in weights and buffers")',
            "",
            "",
            'if __name__ == "__main__":',
            "    main()",
        ]
        return "\n".join(lines) + "\n"

    def load_weights(
        self, graph: Graph, model: Any, weights: Mapping[str, Array]
    ) -> None:
        model.weights = {name: weights[name] for name in model.weights}

    def save_weights(self, graph: Graph, model: Any) -> dict[str, np.ndarray]:
        return dict(model.weights)

    def activations(
        self, graph: Graph, model: Any, images: Array
    ) -> dict[str, np.ndarray]:
        """Every layer's output, by layer name."""
        out: dict[str, np.ndarray] = model.outputs(images)
        return out


def _draw(name: str, weight: Weight) -> Call:
    """How the weight called `name` begins."""
    function, numbers = weight.drawing
    if function == "constant":
        return call("np.full", weight.shape, numbers["value"])
    return call(function, Raw("seed"), name, weight.shape, **numbers)


def _commas(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))


BACKEND = NumpyBackend()
