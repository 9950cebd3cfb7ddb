"""Where the expressions of these tests stand: names with values, layers with channels."""

from __future__ import annotations

from collections.abc import Mapping

from archspec.expressions import ExpressionError, Unusable, Value, template


class Names:
    """An environment of given variables and layers; a variable that is None is unusable."""

    def __init__(
        self,
        variables: Mapping[str, Value | None] | None = None,
        layers: Mapping[str, int] | None = None,
    ) -> None:
        self.variables = variables or {}
        self.layers = layers or {}
        self.steps = 0

    def variable(self, name: str, start: int, end: int) -> Value:
        if name not in self.variables:
            raise ExpressionError("unknown-variable", name, start, end)
        value = self.variables[name]
        if value is None:
            raise Unusable
        return value

    def channels(self, name: str, start: int, end: int) -> int:
        if name not in self.layers:
            raise ExpressionError("unknown-input", name, start, end)
        return self.layers[name]

    def spend(self, steps: int) -> None:
        self.steps += steps


def filled(text: str, environment: Names | None = None, /, **variables: Value | None) -> Value:
    """What a text is worth where the variables have these values."""
    found = template(text)
    return text if found is None else found.fill(environment or Names(variables))


def value(expression: str, **variables: Value | None) -> Value:
    return filled(f"$({expression})", **variables)
