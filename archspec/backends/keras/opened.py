"""A Keras model taken apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras

from archspec.backends.keras import canonical, first, last, precision
from archspec.backends.keras.emit import TABLE, layer_names
from archspec.backends.opened import Opened, Part, Replay, Tensor, plain
from archspec.backends.source import contexts
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.spec.fields import INPUT

if TYPE_CHECKING:
    from archspec.backends.base import Array, TrainableBackend, Weights

# What Keras says of a layer that is compared otherwise, or not at all.
_BESIDE_THE_POINT = ("name", "dtype", "trainable", "seed")


class KerasOpened(Opened):
    """A layer of the graph is the Keras layer of its name with those that prepare its input.

    `helpers` are the names of the latter, which the emitted source gives them.
    """

    def __init__(
        self,
        backend: TrainableBackend,
        graph: Graph,
        model: Any,
        helpers: set[str] | None,
    ) -> None:
        if not getattr(model, "inputs", None):
            raise ArchspecError(
                f"{type(model).__name__} is no functional model: its __init__ must end with "
                "super().__init__(inputs=..., outputs=...)"
            )
        self._backend, self._graph, self._model = backend, graph, model
        self._names = {called: name for name, called in layer_names(graph).items()}
        self._layers = {
            layer.name: layer
            for layer in model.layers
            if not isinstance(layer, (keras.Model, keras.layers.InputLayer))
        }
        self.helpers = (
            set(self._layers) - set(self._names) if helpers is None else helpers
        )
        self._contexts = {c.node.name: c for c in contexts(graph)}

    def _named(self) -> dict[str, Any]:
        """The layers by the graph's names, or by their own; without those that only prepare."""
        return {
            self._names.get(called, called): layer
            for called, layer in self._layers.items()
            if called not in self.helpers
        }

    def _chain(self, layer: Any) -> list[Any]:
        """A layer with those that prepare its input, in the order of computation."""
        found = [layer]
        for tensor in keras.tree.flatten(layer.input):
            before = tensor._keras_history.operation
            if before.name in self.helpers:
                found = [*self._chain(before), *found]
        return found

    def parts(self) -> dict[str, Part]:
        found = {}
        for name, layer in self._named().items():
            chain = self._chain(layer)
            settings = {
                (key if one is layer else f"{type(one).__name__}.{key}"): value
                for one in chain
                for key, value in _settings(one).items()
            }
            kind = " behind ".join(type(one).__name__ for one in reversed(chain))
            found[name] = Part(kind, self._tensors(name, layer), settings)
        return found

    def _variables(
        self, name: str, layer: Any
    ) -> dict[str, tuple[Any, tuple[int, ...]]]:
        """The variables by canonical names, with the axes from canonical to Keras."""
        found = {}
        context = self._contexts.get(name)
        if context is not None:
            places = TABLE.tensors(context.layer)
            for weight in context.weights:
                same = weight.name, tuple(range(len(weight.shape)))
                attribute, axes = places.get(weight.name, same)
                variable = getattr(layer, attribute, None)
                if variable is not None and len(variable.shape) == len(axes):
                    found[weight.name] = variable, axes
        known = [id(variable) for variable, _ in found.values()]
        for variable in layer.weights:
            if id(variable) not in known and "seed_generator" not in variable.path:
                found[variable.name] = variable, tuple(range(len(variable.shape)))
        return found

    def _tensors(self, name: str, layer: Any) -> dict[str, Tensor]:
        learning = [id(variable) for variable in self._model.trainable_variables]
        return {
            key: Tensor(canonical(variable, axes), id(variable) in learning)
            for key, (variable, axes) in self._variables(name, layer).items()
        }

    def rename(self, found: str, name: str) -> bool:
        called = layer_names(self._graph)[name]
        layer = self._layers.pop(found)
        layer.name = called
        self._layers[called] = layer
        return True

    def load(self, weights: Weights) -> None:
        for name, layer in self._named().items():
            for key, (variable, axes) in self._variables(name, layer).items():
                weight = weights.get(f"{name}.{key}")
                if weight is not None:
                    value = weight.transpose(axes)
                    if value.shape == tuple(variable.shape):
                        variable.assign(value)

    def _sources(self, layer: Any) -> list[tuple[str | None, Any]]:
        """The tensors that a layer computes from, and the layers that they are outputs of.

        Nothing counts as a layer that only prepares the input, or that is an operation.
        """
        return list(dict(self._walk(keras.tree.flatten(layer.input))).values())

    def _walk(
        self, tensors: Sequence[Any]
    ) -> Iterator[tuple[int, tuple[str | None, Any]]]:
        named = {id(layer): name for name, layer in self._named().items()}
        for tensor in tensors:
            history = tensor._keras_history
            operation = history.operation
            if isinstance(operation, keras.layers.InputLayer):
                yield id(tensor), (INPUT, tensor)
            elif id(operation) in named:
                yield id(tensor), (named[id(operation)], tensor)
            else:
                node = operation._inbound_nodes[history.node_index]
                yield from self._walk(node.input_tensors)

    def _computed(
        self,
        sources: Sequence[Any],
        outputs: Any,
        inputs: Sequence[Array],
        training: bool,
    ) -> list[Array]:
        """What a part of the network makes of other numbers."""
        with precision(str(inputs[0].dtype)):
            given = [keras.ops.convert_to_tensor(last(x)) for x in inputs]
            found = keras.Model(list(sources), outputs)(given, training=training)
            return [
                first(keras.ops.convert_to_numpy(x)) for x in keras.tree.flatten(found)
            ]

    def replay(self, images: Array, values: Mapping[str, Array]) -> Replay:
        values = {INPUT: images, **values}
        named = self._named()
        outputs: dict[str, Array] = {}
        reads: dict[str, list[str | None]] = {}
        for name, layer in named.items():
            sources = self._sources(layer)
            reads[name] = [source for source, _ in sources]
            if sources and all(source in values for source in reads[name]):
                inputs = [
                    values[source] for source in reads[name] if source is not None
                ]
                tensors = [tensor for _, tensor in sources]
                (outputs[name],) = self._computed(tensors, layer.output, inputs, False)
        results: list[Array] = []
        for tensor in self._model.outputs:
            found = list(dict(self._walk([tensor])).values())
            names = [name for name, _ in found]
            if not all(name in values for name in names):
                continue
            inputs = [values[str(name)] for name in names]
            if len(found) == 1 and found[0][1] is tensor:
                results += inputs
            else:
                before = [tensor for _, tensor in found]
                results += self._computed(before, tensor, inputs, False)
        return Replay(outputs, reads, results)

    def in_training(self, name: str, inputs: Sequence[Array]) -> dict[str, Array]:
        layer = self._named()[name]
        _quiet(self._chain(layer))
        tensors = [tensor for _, tensor in self._sources(layer)]
        inputs = list({id(x): x for x in inputs}.values())
        if len(tensors) != len(inputs):
            return {}
        (output,) = self._computed(tensors, layer.output, inputs, True)
        after = {
            f"{key} after a batch": tensor.value
            for key, tensor in self._tensors(name, layer).items()
            if not tensor.learns
        }
        return {"output": output, **after}

    def outputs(self, images: Array) -> list[Array]:
        with precision(str(images.dtype)):
            every = keras.Model(self._model.inputs, self._model.outputs)
            found = every(keras.ops.convert_to_tensor(last(images)), training=False)
        return [first(keras.ops.convert_to_numpy(x)) for x in keras.tree.flatten(found)]

    def gradients(self, images: Array, cotangents: Sequence[Array]) -> dict[str, Array]:
        _quiet(self._layers.values())
        return self._backend.gradients(self._graph, self._model, images, cotangents)


def _settings(layer: Any) -> dict[str, Any]:
    """The configuration of one of Keras' own layers, the attributes of another's."""
    own = type(layer).__module__.startswith("keras.")
    found = plain(layer.get_config() if own else vars(layer))
    return {
        key: value
        for key, value in found.items()
        if key not in _BESIDE_THE_POINT and not key.endswith("_initializer")
    }


def _quiet(layers: Any) -> None:
    """Let nothing be dropped."""
    for layer in layers:
        if isinstance(getattr(layer, "rate", None), float):
            layer.rate = 0.0
