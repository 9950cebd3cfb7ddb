"""Arithmetic that a source states on its own: what it is really worth."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from archspec.analysis.claims.figures import Figure, exact, figure, is_number
from archspec.analysis.claims.reasons import Reason
from archspec.analysis.shapes import Shapes
from archspec.diagnostics import Problem, Span, did_you_mean, shortened
from archspec.expand.scope import part
from archspec.expressions import ExpressionError, Value, arithmetic
from archspec.graph import Graph
from archspec.spec.fields import INPUT

# Steps that all the formulas of a spec may take together: far below a second.
MAX_STEPS = 1_000_000
_INNERMOST = re.compile(r"(?<![\w.])\(([^()]*)\)")


@dataclass(slots=True)
class Formulas:
    """Where a formula stands: the spec's variables, and its layers for `channels(conv1)`."""

    graph: Graph
    shapes: Shapes
    steps: int = 0

    def variable(self, name: str, start: int, end: int) -> Value:
        """The value of a variable. Raises ExpressionError."""
        if name not in self.graph.variables:
            message = f"`{shortened(name)}` names no variable"
            near = did_you_mean(name, self.graph.variables)
            raise ExpressionError("unknown-variable", message, start, end, near)
        return self.graph.variables[name]

    def channels(self, name: str, start: int, end: int) -> int:
        """The channels of the input or of a layer's output. Raises ExpressionError."""
        if name != INPUT and name not in self.shapes.layers:
            message = f"there is no layer `{shortened(name)}` with a shape"
            near = did_you_mean(name, [INPUT, *self.shapes.layers])
            raise ExpressionError("unknown-input", message, start, end, near)
        return self.shapes.of(name)[0]

    def spend(self, steps: int) -> None:
        """Count the work. Raises ExpressionError when it is too much."""
        self.steps += steps
        if self.steps > MAX_STEPS:
            message = f"the formulas of the claims take more than {MAX_STEPS:,} steps"
            raise ExpressionError("limit-exceeded", message, 0, 1, "use shorter lists")

    def worth(self, formula: str, index: int) -> Fraction | int | Problem:
        """The exact value of the formula of claim `index`, or what is wrong with it."""
        try:
            return arithmetic(formula, self)
        except ExpressionError as error:
            help_ = error.help
            if "=" in formula:
                help_ = "give what stands behind `=` as `claimed`"
            elif re.search(r"[0-9)] *[x×] *[0-9(]", formula):
                help_ = "write a product with `*`"
            message = f"`formula` in entry {index + 1} of `claims`: {error.message}"
            span = self._place(index, error)
            return Problem(error.rule, message, help_, span=span)

    def _place(self, index: int, error: ExpressionError) -> Span:
        """The characters of a formula that an error is about."""
        claims = self.graph.document.root.get("claims")
        node = claims.items[index].get("formula") if claims and claims.items else None
        assert node is not None  # the claim was read from there
        return part(node, error.start, min(error.end, len(str(node.value))))

    def reason(self, formula: str, claimed: float, computed: Figure) -> Reason:
        """Why a formula is not worth what is claimed: its steps, or a rounding."""
        assert is_number(computed)  # it is what arithmetic gave
        exactly = exact(computed)
        return Reason("wrong-arithmetic", self._text(formula, claimed, exactly))

    def _text(self, formula: str, claimed: float, exactly: Fraction) -> str:
        for word, rounded in (("down", math.floor(exactly)), ("up", math.ceil(exactly))):
            if exactly.denominator > 1 and rounded == claimed:
                return f"{figure(rounded)} is {figure(exactly)} rounded {word}"
        steps = self._without_brackets(formula)
        return f"{steps} = {figure(exactly)}" if steps != formula else ""

    def _without_brackets(self, formula: str) -> str:
        """The formula with the value of each bracket in its place, as far as decimals go."""
        while (inside := _INNERMOST.search(formula)) is not None:
            try:
                value = figure(Fraction(arithmetic(inside[1], self)))
            except ExpressionError:
                break
            if "..." in value or value.startswith("-"):
                break
            formula = formula[: inside.start()] + value + formula[inside.end() :]
        return formula
