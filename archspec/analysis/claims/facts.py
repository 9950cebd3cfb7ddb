"""What a network has of each quantity that a claim may state."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from archspec.analysis.claims.figures import Figure
from archspec.analysis.costs import LayerCosts, Totals
from archspec.analysis.receptive_field import ReceptiveField
from archspec.analysis.shapes import Shapes
from archspec.diagnostics import Problem, did_you_mean, listing, shortened
from archspec.graph import Graph, Node
from archspec.layers import layer_type_names
from archspec.layers.base import Weight
from archspec.layers.windowed import WindowedLayer
from archspec.spec.claims import NETWORK, TRAINING, Stated
from archspec.spec.fields import INPUT
from archspec.spec.foreign_names import suggest_layer_type
from archspec.spec.places import models
from archspec.spec.recipe import Recipe

# Parts of the recipe whose keys a claim may name alone.
_PARTS = ("optimizer", "preprocessing", "augmentation")
# Keys of a layer that say which one it is and not what it does.
_NOT_SETTINGS = ("name", "type", "inputs")
# Beside the counts of each type, that of all that are weighted; no type is called so.
_WEIGHTED = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a network. The activation bytes of `costs` are for `batch` images."""

    graph: Graph
    shapes: Shapes
    costs: Mapping[str, LayerCosts]
    fields: Mapping[str, ReceptiveField | None]
    sums: Totals
    batch: int
    counted: dict[str, Counter[str]] = field(default_factory=dict)

    def computed(self, about: str, stated: Stated, index: int) -> Figure | Problem | None:
        """The figure that the network has; None where a layer without a shape leaves it open.

        A problem where there is no such figure. `index` counts the claims from 0.
        """
        quantity = stated.place[0]
        if quantity == "settings":
            return self._setting(about, stated, index)
        if quantity == "layers":
            return self._layers(about, stated, index)
        if quantity == "weighted_layers":
            return self._types(about)[_WEIGHTED]
        output = self.output(about)
        if quantity == "shape":
            return self.shapes.of(output) if self._has_shape(output) else None
        if quantity == "receptive_field":
            return self._receptive_field(about, output, index)
        if quantity == "weight_shape":
            return self._weight_shape(about, index)
        if about == INPUT:
            return math.prod(self.graph.input_shape) if quantity == "neurons" else 0
        all_known = len(self.costs) == len(self.graph.nodes)
        if not all_known and any(node.name not in self.costs for node in self.nodes(about)):
            return None
        return self.count(about, quantity)

    def output(self, about: str) -> str:
        """The layer whose output is that of what is claimed about."""
        if about == NETWORK:
            return self.graph.output
        part = self.graph.parts.get(about)
        return part.output if part else about

    def nodes(self, about: str) -> Sequence[Node]:
        """The layers that are claimed about."""
        if about == NETWORK:
            return self.graph.nodes
        if about == INPUT:
            return ()
        part = self.graph.parts.get(about)
        return [self.graph.by_name[name] for name in (part.layers if part else (about,))]

    def weights(self, node: Node) -> tuple[Weight, ...]:
        """The tensors of a layer, none where it has no shape."""
        known = node.name in self.shapes.layers
        return node.layer.weights(self.shapes.inputs(node)) if known else ()

    def count(self, about: str, quantity: str) -> int:
        """A sum over what is claimed about: a network's, or likewise of a block.

        A network's is without the layers that are used in training alone; those of an auxiliary
        classifier have their own.
        """
        if quantity == "training_step_matmul_flops" and about != NETWORK:
            return 2 * self.count(about, "macs") + self.count(about, "backward_flops")
        found: int
        if about == NETWORK:
            found = getattr(self.sums, quantity)
        else:
            found = sum(
                getattr(self.costs[node.name], quantity)
                for node in self.nodes(about)
                if quantity != "neurons" or node.layer.is_neurons or about == node.name
            )
        return found // self.batch if quantity == "activation_bytes" else found

    def _has_shape(self, layer: str) -> bool:
        return layer == INPUT or layer in self.shapes.layers

    def _types(self, about: str) -> Counter[str]:
        """How many layers of each type there are: of the network those used at inference."""
        if about not in self.counted:
            apart = self.graph.training_only if about == NETWORK else ()
            layers = [node.layer for node in self.nodes(about) if node.name not in apart]
            self.counted[about] = Counter(layer.type for layer in layers)
            self.counted[about][_WEIGHTED] = sum(layer.is_neurons for layer in layers)
        return self.counted[about]

    def _layers(self, about: str, stated: Stated, index: int) -> int | Problem:
        if stated.key not in layer_type_names():
            return Problem(
                "unknown-layer-type",
                f"entry {index + 1} of `claims` counts layers of type `{shortened(stated.key)}`, "
                "which is no layer type",
                suggest_layer_type(stated.key, layer_type_names()),
                span=self._place(index, *stated.place, key=True),
            )
        return self._types(about)[stated.key]

    def _receptive_field(self, about: str, output: str, index: int) -> Figure | Problem | None:
        if output == INPUT:
            return (1, 1)
        if not self._has_shape(output):
            return None
        seen = self.fields[output]
        if seen is None:
            return self._unchecked(
                index,
                "receptive_field",
                f"the receptive field of {about} differs in size from place to place",
            )
        return seen.size

    def _weight_shape(self, about: str, index: int) -> Figure | Problem | None:
        if about not in self.graph.by_name:
            return self._of_no_layer(about, "weight_shape", index)
        if not self._has_shape(about):
            return None
        for weight in self.weights(self.graph.by_name[about]):
            if weight.name == "weight":
                return weight.shape
        type_ = self.graph.by_name[about].layer.type
        return self._unchecked(index, "weight_shape", f"{about} ({type_}) has no weight")

    def _setting(self, about: str, stated: Stated, index: int) -> Figure | Problem | None:
        if about == TRAINING:
            recipe = self.graph.spec.training
            if recipe is None:
                return self._unchecked(index, "settings", "the spec has no `training`")
            return self._of_recipe(recipe, stated, index)
        if about not in self.graph.by_name:
            return self._of_no_layer(about, "settings", index)
        layer = self.graph.by_name[about].layer
        fields = [key for key in type(layer).model_fields if key not in _NOT_SETTINGS]
        if stated.key.partition(".")[0] in fields:
            found, known = _value(layer, stated.key)
            if known:
                return _shown(found, stated.figure)
        return self._unknown_setting(f"{about} ({layer.type})", fields, stated, index)

    def _of_recipe(self, recipe: Recipe, stated: Stated, index: int) -> Figure | Problem:
        """A key of the recipe; those of its `_PARTS` need no name of the part before them."""
        for path in (stated.key, *(f"{part}.{stated.key}" for part in _PARTS)):
            found, known = _value(recipe, path)
            if known:
                return _shown(found, stated.figure)
        parts = (type(part).model_fields for part in (getattr(recipe, name) for name in _PARTS))
        keys = [*type(recipe).model_fields, *(key for fields in parts for key in fields)]
        return self._unknown_setting("the recipe", keys, stated, index)

    def _unknown_setting(
        self, what: str, keys: Sequence[str], stated: Stated, index: int
    ) -> Problem:
        return Problem(
            "unknown-key",
            f"{what} has no key `{shortened(stated.key)}`, as entry {index + 1} of `claims` states",
            did_you_mean(stated.key, keys) or f"its keys are {listing(keys)}",
            span=self._place(index, *stated.place, key=True),
        )

    def _of_no_layer(self, about: str, quantity: str, index: int) -> Problem:
        message = f"entry {index + 1} of `claims`: {about} is not one layer, which has `{quantity}`"
        layers = self.nodes(about)
        help_ = f"name one layer, such as `{layers[0].name}`" if layers else "name one layer"
        return Problem("wrong-value", message, help_, span=self._place(index, "about"))

    def _unchecked(self, index: int, quantity: str, why: str) -> Problem:
        message = f"entry {index + 1} of `claims` cannot be checked: {why}"
        return Problem("claim-unchecked", message, span=self._place(index, quantity, key=True))

    def _place(self, index: int, *path: str, key: bool = False) -> Any:
        return self.graph.document.root.locate(("claims", index, *path), key=key)


def _value(model: BaseModel, path: str) -> tuple[Any, bool]:
    """The value at a dotted path of keys and whether there is one: `weight_init.std`.

    Where that is a key of another type (`std` of a `normal`, and it is `zeros`), or of a part that
    is left out, the value is the one that has the type: it differs in more than the key.
    """
    value: Any = model
    owner, key = model, ""
    for step in path.split("."):
        if not isinstance(value, BaseModel) or step not in type(value).model_fields:
            others = models(type(owner).model_fields[key].annotation) if key else []
            return value, any(step in other.model_fields for other in others)
        owner, key = value, step
        value = getattr(value, step)
    if value is None and isinstance(owner, WindowedLayer) and path == "stride":
        value = owner.strides()
    return value, True


def _shown(value: Any, claimed: Any) -> Figure:
    """A value in the form in which it is claimed: 2 for [2, 2], the type of an initialiser."""
    if isinstance(value, BaseModel):
        return str(getattr(value, "type", ""))
    if isinstance(value, tuple):
        if isinstance(claimed, tuple) and len(claimed) < len(value) == 4:
            # top, bottom, left, right
            value = value[0::2] if value[0::2] == value[1::2] else value
        if not isinstance(claimed, tuple) and len(set(value)) == 1:
            value = value[0]
    return "none" if value is None else value
