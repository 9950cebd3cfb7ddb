"""The reference backend: NumPy, plain and slow, the definition of what a spec computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.backends.base import Backend, layerwise
from archspec.backends.numpy.layers import LAYERS
from archspec.backends.source import (
    Call,
    LayerContext,
    Listing,
    Raw,
    call,
    class_name,
    contexts,
    definitions,
    flat,
    header,
    helper_source,
    literal,
    opening,
    paragraphs,
    statement,
)
from archspec.backends.table import Table
from archspec.graph import Graph
from archspec.layers.base import Weight, show
from archspec.layers.batch_norm import BatchNorm

if TYPE_CHECKING:
    import numpy as np

    from archspec.backends.base import Array, Execution, Predictor, Trainer, Weights
    from archspec.backends.numpy.gradients import Derivative
    from archspec.backends.numpy.tape import Recorded
    from archspec.backends.opened import Opened
    from archspec.spec.recipe import Recipe

FUNCTIONS = Path(__file__).with_name("functions.py")
TABLE = Table("numpy", LAYERS, FUNCTIONS, {"math", "np"})
# Read as text: emitting needs no NumPy.
INITIAL = Path(__file__).parents[1] / "initial.py"


class NumpyBackend(Backend):
    """Emits and runs the forward pass, in the precision of the weights.

    It has derivatives and a trainer too, for comparison: what other backends compute in training
    is judged by them.
    """

    name = "numpy"
    extra = "torch"
    packages = ("numpy",)
    weight_files = (".npz",)

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
                value = _value(context)
                used.update(_functions(value))
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

    def write_weights(self, graph: Graph, weights: Weights, path: Path) -> None:
        """Write the model's dictionary, an array for each canonical name."""
        import numpy as np

        model = self.build(graph)
        self.load_weights(graph, model, weights)
        with path.open("wb") as stream:  # a path, NumPy would give its own ending
            np.savez(stream, **model.weights)

    def loading(self, path: Path) -> str:
        return f"model.weights = dict(np.load({literal(str(path)).text}))"

    def predictor(self, graph: Graph, weights: Weights, device: str) -> Predictor:
        model = self.build(graph)
        self.load_weights(graph, model, weights)
        return layerwise(self, graph, model, device)

    def activations(
        self, graph: Graph, model: Any, images: Array
    ) -> dict[str, np.ndarray]:
        """Every layer's output, by layer name."""
        out: dict[str, np.ndarray] = model.outputs(images)
        return out

    def layer_output(
        self, model: Any, context: LayerContext, inputs: Sequence[Array]
    ) -> np.ndarray:
        """One layer's output, as the emitted line computes it, for other inputs than the model's.

        There is one for each of the layer's inputs, in their order.
        """
        scope = {
            "w": model.weights,
            "out": dict(zip(context.node.inputs, inputs, strict=True)),
        }
        found: np.ndarray = eval(
            flat(_value(context)), type(model).outputs.__globals__, scope
        )
        return found

    def differentiates(self, graph: Graph) -> bool:
        """Whether `gradients` and `trainer` know the derivative of every layer."""
        known = self._derivatives(graph)
        return all(
            _recorded_as(function) in known
            for context in contexts(graph)
            for function in _functions(_value(context))
        )

    def gradients(
        self, graph: Graph, model: Any, images: Array, cotangents: Sequence[Array]
    ) -> dict[str, np.ndarray]:
        """What `TrainableBackend.gradients` promises, and that of the images as "input".

        Raises ArchspecError where `differentiates` says no, and for a network that is random
        in training.
        """
        from archspec.backends.numpy.tape import refuse_noise

        refuse_noise(graph)
        return self.recorded_gradients(graph, model, images, cotangents)

    def recorded_gradients(
        self, graph: Graph, model: Any, images: Array, cotangents: Sequence[Array]
    ) -> dict[str, np.ndarray]:
        """The same with what the source has in the place of noise."""
        recorded = self.record(graph, model, images)
        shares = [cotangent / len(images) for cotangent in cotangents]
        recorded.back(zip(graph.outputs, shares, strict=True))
        return {**recorded.gradients(trained(graph)), "input": recorded.image.slope()}

    def record(self, graph: Graph, model: Any, images: Array) -> Recorded:
        """A forward pass in training, on a tape."""
        from archspec.backends.numpy.tape import Recorded

        still = frozenset(
            node.name
            for node in graph.nodes
            if isinstance(node.layer, BatchNorm) and not node.layer.trainable
        )
        return Recorded(model, images, self._derivatives(graph), still)

    def _derivatives(self, graph: Graph) -> dict[str, Derivative]:
        """Those of archspec's own functions, and of those of the plug-ins that the graph uses."""
        from archspec.backends.numpy.gradients import DERIVATIVES

        return {**DERIVATIVES, **TABLE.derivatives(graph)}

    def trainer(
        self,
        graph: Graph,
        recipe: Recipe,
        weights: Weights,
        execution: Execution,
    ) -> Trainer:
        """The recipe in plain NumPy, which is what other trainers are compared with.

        Raises ArchspecError as `gradients` does, and for a device that is not the CPU.
        """
        from archspec.backends.numpy.trainer import NumpyTrainer

        return NumpyTrainer(self, graph, recipe, weights, execution)

    def open(
        self, graph: Graph, make: Callable[[], Any], like: Opened | None = None
    ) -> Opened:
        from archspec.backends.numpy.opened import NumpyOpened

        return NumpyOpened(self, graph, make())


def trained(graph: Graph) -> list[str]:
    """The canonical names of the parameters that learn."""
    return [
        f"{context.node.name}.{weight.name}"
        for context in contexts(graph)
        for weight in context.weights
        if weight.trainable and not weight.buffer
    ]


def _value(context: LayerContext) -> Call:
    """The call that computes a layer's output from those in `out`."""
    inputs = [Raw(f'out["{name}"]') for name in context.node.inputs]
    return TABLE.entry(context.layer)(context, inputs)


def _functions(value: Call | Listing | Raw) -> Iterator[str]:
    """All that a value calls, as the source has it."""
    if isinstance(value, Raw):
        return
    if isinstance(value, Call):
        yield value.function
    for _, argument in value.items():
        yield from _functions(argument)


def _recorded_as(function: str) -> str:
    """The name of a function on a tape: a method is one of no array."""
    return (
        "." + function.rpartition(".")[2] if function.startswith("out[") else function
    )


def _draw(name: str, weight: Weight) -> Call:
    """How the weight called `name` begins."""
    function, numbers = weight.drawing
    if function == "constant":
        return call("np.full", weight.shape, numbers["value"])
    return call(function, Raw("seed"), name, weight.shape, **numbers)


def _commas(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))


BACKEND = NumpyBackend()
