"""When a comparison fails: `--fail-on params`, `--fail-on "macs>5%"`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from archspec.analysis.diff.comparison import QUANTITIES, Comparison
from archspec.diagnostics import ArchspecError, did_you_mean, shortened

# Weights and activations of one image together, in float32.
MEMORY = ("weight_bytes", "activation_bytes")
AMOUNTS = (*QUANTITIES, "memory")
ASPECTS = ("shapes", "layers", "semantics", "names", "recipe", "any")

_UNITS = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
_CONDITION = re.compile(r"([A-Za-z_]+)\s*(?:>\s*(.*))?")
_LIMIT = re.compile(r"\+?([0-9]+(?:\.[0-9]+)?(?:[eE]\+?[0-9]{1,2})?)\s*([A-Za-z]*|%)")


@dataclass(frozen=True, slots=True)
class Condition:
    """What may not differ, or by how much B may exceed A.

    `limit` is None where nothing may differ; it is a percentage of A's figure with `relative`.
    """

    text: str
    subject: str
    limit: Fraction | None = None
    relative: bool = False

    def broken(self, comparison: Comparison) -> str:
        """What breaks the condition, empty where nothing does."""
        if self.subject in ASPECTS:
            return _aspect(comparison, self.subject)
        keys = MEMORY if self.subject == "memory" else (self.subject,)
        a = sum(comparison.total(key, "a") for key in keys)
        b = sum(comparison.total(key, "b") for key in keys)
        if self.limit is None:
            return f"{a:,} in A, {b:,} in B ({b - a:+,})" if a != b else ""
        allowed = a * self.limit / 100 if self.relative else self.limit
        if b - a <= allowed:
            return ""
        share = f", {100 * (b - a) / a:+.2f} %" if a else ""
        return f"{a:,} in A, {b:,} in B ({b - a:+,}{share})"


def parse(text: str) -> Condition:
    """`params`, `params>5%`, `macs>+1e9`, `memory>64MiB`. Raises ArchspecError."""
    match = _CONDITION.fullmatch(text.strip())
    shown = shortened(text)
    if match is None:
        raise ArchspecError(
            f"--fail-on takes what may not differ, such as params, or by how much it may grow, "
            f"such as `params>5%`, not `{shown}`"
        )
    subject, limit = match[1].lower(), match[2]
    known = (*AMOUNTS, *ASPECTS)
    if subject not in known:
        help_ = did_you_mean(subject, known) or f"it knows {', '.join(known)}"
        raise ArchspecError(f"--fail-on knows no `{shortened(match[1])}`; {help_}")
    if limit is None:
        return Condition(text.strip(), subject)
    if subject in ASPECTS:
        raise ArchspecError(
            f"--fail-on `{shown}`: `{subject}` is no number; only {', '.join(AMOUNTS)} can grow"
        )
    number = _LIMIT.fullmatch(limit)
    unit = number[2] if number else ""
    if number is None or (unit != "%" and unit not in _UNITS):
        raise ArchspecError(
            f"--fail-on `{shown}`: behind > stands a number of at least 0, as 1000000, 1e6, 5% "
            f"or with {', '.join(filter(None, _UNITS))}"
        )
    relative = unit == "%"
    value = Fraction(number[1]) * (1 if relative else _UNITS[unit])
    return Condition(text.strip(), subject, value, relative)


def failures(
    comparison: Comparison, conditions: Iterable[Condition]
) -> tuple[tuple[Condition, str], ...]:
    """The conditions that are broken, and by what."""
    found = ((condition, condition.broken(comparison)) for condition in conditions)
    return tuple((condition, reason) for condition, reason in found if reason)


def _aspect(comparison: Comparison, aspect: str) -> str:
    if aspect == "any":
        return "" if comparison.equal else comparison.verdict
    if aspect == "recipe":
        return _listed([change.what for change in comparison.recipe])
    if aspect == "names":
        return _listed([pair.label for pair in comparison.renamed])
    only = [pair.label for pair in comparison.layers if pair.only]
    if aspect == "layers":
        moved = [pair.label for pair in comparison.matched if pair.moved]
        other = [pair.label for pair, c in comparison.changed("function") if c.what == "type"]
        return _listed([*only, *moved, *other])
    if aspect == "shapes":
        inputs = [change.what for change in comparison.network if change.what == "input"]
        return _listed([*inputs, *(pair.label for pair, _ in comparison.changed("shape"))])
    changed = comparison.changed("edges", "function", "training", "start")
    heads = [change.what for change in comparison.network if change.what != "input"]
    unlike = [pair.label for pair in comparison.layers if pair.only and not pair.pads]
    return _listed([*heads, *unlike, *dict.fromkeys(pair.label for pair, _ in changed)])


def _listed(names: list[str]) -> str:
    """conv1, conv2, conv3 and 4 more."""
    more = f" and {len(names) - 3} more" if len(names) > 4 else ""
    return ", ".join(names[:3] if more else names) + more
