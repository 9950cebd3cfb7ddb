"""The layers that are unrolled so far: what names lead to, and the shapes of their outputs."""

from __future__ import annotations

from dataclasses import replace

from archspec.diagnostics import Problem, ProblemsFound, shortened
from archspec.expand.frames import Expected, Pending, Reference, Written
from archspec.layers.base import Layer, Shape
from archspec.source import Problems
from archspec.spec.fields import INPUT


class Unrolled:
    """The flat list that a network becomes, while it grows.

    `layers` are in the order of the text; `pending` are the names that are looked up when all
    of them are there, `expected` the diagnostics that entries call meant.
    """

    def __init__(self, problems: Problems, input_shape: Shape | None) -> None:
        self.problems = problems
        self.layers: list[Written] = []
        self.pending: list[Pending] = []
        self.expected: list[Expected] = []
        self._shapes: dict[str, Shape | None] = {INPUT: input_shape}
        self._inferred: dict[tuple[int, tuple[Shape, ...]], Shape] = {}
        self._shaped = 0

    def resolve(self, reference: Reference) -> str | None:
        """The layer that a reference leads to (or `input`); None where it leads nowhere."""
        if isinstance(reference, str):
            return reference
        seen: set[int] = set()
        found: Reference | None = reference
        while isinstance(found, Pending):
            if found.layer is not None:
                return found.layer
            if id(found) in seen:
                return None
            seen.add(id(found))
            found = found.frame.find(found.name)
        return found

    def report_unknown(self) -> None:
        """Report every name that leads nowhere, once all layers are there.

        A name may lead to others, where layers are left out; each is followed once.
        """
        followed: set[int] = set()
        for pending in self.pending:
            walk: dict[int, Pending] = {}
            at: Reference | None = pending
            while isinstance(at, Pending) and id(at) not in walk and id(at) not in followed:
                walk[id(at)] = at
                last, at = at, at.frame.find(at.name)
            if at is None:
                self.problems.add(_leads_nowhere(last))
            elif isinstance(at, Pending) and id(at) in walk:
                self.problems.add(_reads_itself(at))
            else:
                layer = at if isinstance(at, str) else at.layer
                for step in walk.values():
                    step.layer = layer
            followed.update(walk)

    def shape(self, reference: Reference) -> Shape | None:
        """The shape of a layer's output, None where it has none."""
        for entry in self.layers[self._shaped :]:
            self._shapes[entry.name] = self._infer(entry)
        self._shaped = len(self.layers)
        layer = self.resolve(reference)
        return self._shapes.get(layer) if layer is not None else None

    def _infer(self, entry: Written) -> Shape | None:
        if entry.layer is None:
            return None
        names: list[str] = []
        read: list[Shape] = []
        for reference in entry.references:
            name = reference if isinstance(reference, str) else self.resolve(reference)
            shape = self._shapes.get(name) if name is not None else None
            if name is None or shape is None:
                return None
            names.append(name)
            read.append(shape)
        shapes = tuple(read)
        key = (id(entry.layer), shapes)
        known = self._inferred.get(key)
        if known is not None:
            return known
        least, most = type(entry.layer).arity
        if len(shapes) < least or (most is not None and len(shapes) > most):
            return None
        try:
            found = self._inferred[key] = entry.layer.infer(shapes).shape
        except ProblemsFound:
            self._report_shape(entry, entry.layer, tuple(names), shapes)
            return None
        return found

    def _report_shape(
        self, entry: Written, layer: Layer, names: tuple[str, ...], shapes: tuple[Shape, ...]
    ) -> None:
        """Report why a layer has no shape; in messages it goes by its own name."""
        named = layer.model_copy(update={"name": entry.name, "inputs": names})
        try:
            named.infer(shapes)
        except ProblemsFound as failed:
            for problem in failed.problems:
                span = problem.span or entry.node.locate((problem.field,) if problem.field else ())
                self.problems.add(replace(problem, span=span, uses=entry.uses))


def _leads_nowhere(pending: Pending) -> Problem:
    reader = pending.reader
    return Problem(
        "unknown-input",
        f"{reader} reads `{shortened(pending.name)}`, which is no layer",
        pending.frame.near(pending.name, but=reader)
        or "name a layer of this spec, or `input`, the image",
        span=pending.span,
        layer=reader,
        uses=pending.uses,
    )


def _reads_itself(pending: Pending) -> Problem:
    """A circle of layers that are all left out, each for another of them."""
    reader = pending.reader
    return Problem(
        "cycle",
        f"{reader} reads `{shortened(pending.name)}`, which is left out and reads it in turn",
        "change the `inputs` of one of them",
        span=pending.span,
        layer=reader,
        uses=pending.uses,
    )
