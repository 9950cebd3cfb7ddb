"""Where in a file, and where in the language, the thing stands that Pydantic complains about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from archspec.diagnostics import Span
from archspec.source import Node


@dataclass(frozen=True, slots=True)
class Place:
    """The place that a Pydantic location means.

    `path` leads there in the file and `node` is the value, None where there is none; `parent`
    is the mapping or list that it stands in (or would), described by `model` if that is a part
    of the language. `annotation` is the type of the value. With `is_key`, the key itself is
    meant and not its value. `broken`: a problem with it, or with what it stands in, is known.
    """

    path: tuple[str | int, ...] = ()
    node: Node | None = None
    parent: Node = field(kw_only=True)
    model: type[BaseModel] | None = None
    annotation: Any = None
    is_key: bool = False
    broken: bool = False

    @property
    def span(self) -> Span:
        """What to point at: the value, its key, or the mapping that lacks it."""
        if self.is_key:
            return self.parent.locate((self.key,), key=True)
        return self.node.span if self.node is not None else self.parent.span

    @property
    def key(self) -> str:
        """The last step of the path, empty at the root."""
        return str(self.path[-1]) if self.path else ""

    @property
    def models(self) -> list[type[BaseModel]]:
        """The parts of the language that the value may be."""
        return models(self.annotation)

    @property
    def options(self) -> list[str]:
        """The words that the value may be: those of a `Literal`, or the tags of a union."""
        words = [tag(model) for model in self.models]
        for member in members(self.annotation):
            if get_origin(member) is Literal:
                words += map(str, get_args(member))
        return words

    def at_type(self) -> Place:
        """The `type` that names a member of a union; the value itself where that is the name."""
        kind = self.node.get("type") if self.node is not None else None
        if self.node is None or kind is None:
            return self
        path = (*self.path, "type")
        return replace(
            self, path=path, node=kind, parent=self.node, broken=self.broken or kind.broken
        )


def find(model: type[BaseModel], node: Node, location: Sequence[str | int]) -> Place:
    """The place of a Pydantic location in `node`, which `model` describes.

    A location also names what Pydantic tried on its way and a file does not have: the member of
    a union ("normal" in ``weight_init.normal.std``) and "[key]" for the key itself. They are
    told from keys by walking the types along with the values.
    """
    place = Place(node=node, parent=node, annotation=model, broken=node.broken)
    for step in location:
        if place.node is None:
            break
        place = _step(place, place.node, step)
    return place


def _step(place: Place, current: Node, step: str | int) -> Place:
    described = place.models
    if step == "[key]" and current.get(step) is None:
        return replace(place, is_key=True)  # the path has led there already
    if len(described) > 1:  # a union: the step says which member the rest is about
        return replace(place, annotation=next(m for m in described if tag(m) == step))
    child: Node | None
    owner: type[BaseModel] | None = None
    if isinstance(step, int):
        child = current.items[step] if current.items else None
        annotation = _item_type(place.annotation)
    elif described:
        child = current.get(step)
        owner = described[0]
        known = owner.model_fields.get(step)
        annotation = known.annotation if known else None
    elif _value_type(place.annotation) is not None:
        child = current.get(step)
        annotation = _value_type(place.annotation)
    else:  # a union of plain types: the path has led there already
        return place
    return Place(
        (*place.path, step),
        child,
        parent=current,
        model=owner,
        annotation=annotation,
        broken=place.broken or (child is not None and child.broken),
    )


def members(annotation: Any) -> Iterator[Any]:
    """The types that a value may have, without unions, `Annotated` and `None`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from members(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for argument in get_args(annotation):
            yield from members(argument)
    elif annotation is not NoneType:
        yield annotation


def models(annotation: Any) -> list[type[BaseModel]]:
    """The models among the types that a value may have."""
    return [m for m in members(annotation) if isinstance(m, type) and issubclass(m, BaseModel)]


def tag(model: type[BaseModel]) -> str:
    """What `type` says in a file where this member of a union is meant."""
    kind = model.model_fields.get("type")
    return str(get_args(kind.annotation)[0]) if kind else ""


def _item_type(annotation: Any) -> Any:
    """The type of a list's items."""
    return next((get_args(m)[0] for m in members(annotation) if get_origin(m) is tuple), None)


def _value_type(annotation: Any) -> Any:
    """The type of a dictionary's values."""
    return next((get_args(m)[1] for m in members(annotation) if get_origin(m) is dict), None)
