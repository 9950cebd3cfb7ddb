"""What differs between two layers that are one, between two recipes, between two networks.

A difference in what is written is no difference in what is computed: `padding: same` may be the
pixels that another spec writes out, and alpha over the sum is alpha times the size over the mean.
So layers are compared twice, as they are written and in the lowest terms that `Layer.computed`
gives, and what differs in words alone is kept apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from archspec.analysis.numbers import counted
from archspec.layers.base import Layer, Shape, Weight, show
from archspec.spec.recipe import Recipe

# `shape`: the output; `edges`: what it reads; `function`: what it computes, given weights;
# `training`: what it does in training alone; `start`: how its weights are drawn; `words`:
# nothing that is computed.
Kind = Literal["shape", "edges", "function", "training", "start", "words"]

_NOT_FIELDS = ("name", "type", "inputs", "weight_init", "bias_init")
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs: a field, or `type`, `output`, `inputs`; of a recipe a dotted key.

    `a` and `b` are plain values as a spec writes them, None where it writes none. `effect` says
    what they amount to where that is not what is written.
    """

    what: str
    kind: Kind
    a: Any
    b: Any
    effect: str = ""

    def to_json(self) -> dict[str, Any]:
        """The change as in ``diff --format json``."""
        return {
            "what": self.what,
            "kind": self.kind,
            "a": self.a,
            "b": self.b,
            "effect": self.effect or None,
        }


def of_fields(
    a: Layer, b: Layer, reads_a: tuple[Shape, ...] | None, reads_b: tuple[Shape, ...] | None
) -> Iterator[Change]:
    """What differs in two layers' types, fields and initialisers, what only reads otherwise last.

    `reads_a` and `reads_b` are the shapes that they read; without them the fields are compared
    as they are written.
    """
    if a.type != b.type:
        yield Change("type", "function", a.type, b.type)
        return
    written = {
        key: (getattr(a, key), getattr(b, key))
        for key in type(a).model_fields
        if key not in _NOT_FIELDS
    }
    other = {key: values for key, values in written.items() if values[0] != values[1]}
    known = reads_a is not None and reads_b is not None
    effects = _effects(a, b, reads_a, reads_b, other) if other and known else None
    training = a.training_fields & b.training_fields
    in_words = []
    for key, values in other.items():
        if effects is None or key in effects:
            amounts = effects[key] if effects else None
            kind: Kind = "training" if key in training else "function"
            yield _change(key, kind, values, amounts)
        elif None not in values and plain(values[0]) != plain(values[1]):
            in_words.append(Change(key, "words", plain(values[0]), plain(values[1])))
    if known:
        starts = {weight.name: weight for weight in a.weights(reads_a or ())}
        for weight in b.weights(reads_b or ()):
            if weight.name in starts:
                found = _start(starts[weight.name], weight)
                if found is not None and found.kind == "words":
                    in_words.append(found)
                elif found is not None:
                    yield found
    yield from in_words


@dataclass(frozen=True, slots=True)
class _Amounts:
    """What two values amount to, under the name that `Layer.computed` has for it."""

    name: str
    a: Any
    b: Any


def _effects(
    a: Layer,
    b: Layer,
    reads_a: tuple[Shape, ...] | None,
    reads_b: tuple[Shape, ...] | None,
    other: Mapping[str, Any],
) -> dict[str, _Amounts | None]:
    """The fields among `other` that change what is computed, with what they amount to.

    That is None where the layers have nothing to compare there.
    """
    one, two = a.computed(reads_a or ()), b.computed(reads_b or ())
    found: dict[str, _Amounts | None] = {}
    for key in [*one, *(key for key in two if key not in one)]:
        before, after = one.get(key, _ABSENT), two.get(key, _ABSENT)
        if before == after:
            continue
        fields = [field for field in a.computed_from.get(key, (key,)) if field in other]
        if len(fields) > 1:
            acting = [
                field
                for field in fields
                if _acts(a, field, other[field][1], key, reads_a)
                or _acts(b, field, other[field][0], key, reads_b)
            ]
            fields = acting or fields
        for field in fields:
            if found.get(field) is None:
                both = before is not _ABSENT and after is not _ABSENT
                found[field] = _Amounts(key, plain(before), plain(after)) if both else None
    return found


def _acts(layer: Layer, field: str, value: Any, key: str, reads: tuple[Shape, ...] | None) -> bool:
    """Whether another value of this field alone changes an entry of what a layer computes."""
    other = layer.model_copy(update={field: value})
    return bool(other.computed(reads or ()).get(key) != layer.computed(reads or ()).get(key))


def _change(field: str, kind: Kind, values: tuple[Any, Any], amounts: _Amounts | None) -> Change:
    """A field that differs, with its effect where that is not what is written."""
    a, b = map(plain, values)
    effect = ""
    if amounts is not None and amounts.name == field:  # what is left out has a value too
        a, b = (amounts.a if a is None else a), (amounts.b if b is None else b)
    # A number says what it amounts to, a word does not, and neither does another field.
    if amounts is not None and (amounts.name != field or isinstance(a, str) or isinstance(b, str)):
        name = amounts.name.replace("_", " ")
        before, after = text(amounts.a), text(amounts.b)
        effect = f"{name} {before} -> {after}" if (before, after) != (text(a), text(b)) else ""
    return Change(field, kind, a, b, effect)


def _start(a: Weight, b: Weight) -> Change | None:
    """How two weights start otherwise."""
    if a.initializer == b.initializer:
        return None
    kind: Kind = "words" if _numbers(a) == _numbers(b) else "start"
    return Change(f"{a.name}_init", kind, plain(a.initializer), plain(b.initializer))


def _numbers(weight: Weight) -> tuple[object, ...]:
    """The distribution, its numbers to twelve digits: sqrt(2/n) may be written as a decimal."""
    name, numbers = weight.drawing
    return (name, *(f"{number:.12g}" for number in numbers.values()))


def of_recipes(a: Recipe | None, b: Recipe | None) -> Iterator[Change]:
    """What differs in two recipes, by dotted key: `optimizer.learning_rate`."""
    if a is None or b is None:
        if a is not b:
            yield Change("training", "training", _summary(a), _summary(b))
        return
    one, two = flat(a.model_dump(mode="json")), flat(b.model_dump(mode="json"))
    for key in [*one, *(key for key in two if key not in one)]:
        if one.get(key) != two.get(key):
            yield Change(key, "training", one.get(key), two.get(key))


def _summary(recipe: Recipe | None) -> str | None:
    return f"{counted(recipe.epochs, 'epoch')} of {recipe.optimizer.type}" if recipe else None


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key: `optimizer.learning_rate`."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def plain(value: Any) -> Any:
    """A field's value as JSON has it, sizes and padding in the shortest of their forms."""
    if isinstance(value, BaseModel):
        said = value.model_dump(mode="json", exclude_defaults=True)
        return {"type": getattr(value, "type", None), **said}
    if value == "valid":
        return 0
    if isinstance(value, tuple):
        if len(value) in (2, 4) and len(set(value)) == 1:
            return value[0]
        if len(value) == 4 and value[0] == value[1] and value[2] == value[3]:
            return [value[0], value[2]]
        return list(value)
    return value


def text(value: Any, kind: Kind = "function") -> str:
    """A plain value for people."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        words = [f"{key} {text(item)}" for key, item in value.items() if key != "type"]
        kind_of = str(value.get("type", ""))
        return (
            f"{kind_of} ({', '.join(words)})" if kind_of and words else kind_of or ", ".join(words)
        )
    if isinstance(value, list):
        if kind == "shape":
            return show(tuple(value))
        return ", ".join(map(text, value)) or "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
