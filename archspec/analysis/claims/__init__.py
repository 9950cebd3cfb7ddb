"""Claims against computed facts, and the likeliest reason where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from archspec.analysis.claims.facts import Facts
from archspec.analysis.claims.figures import Figure, figure, holds
from archspec.analysis.claims.formulas import Formulas
from archspec.analysis.claims.reasons import CONTRADICTED, Reason, Reasons
from archspec.analysis.costs import LayerCosts, Totals
from archspec.analysis.receptive_field import ReceptiveField
from archspec.analysis.shapes import Shapes
from archspec.diagnostics import Fix, Problem, did_you_mean, shortened
from archspec.graph import Graph
from archspec.spec.claims import NETWORK, TRAINING, Claim, Stated
from archspec.spec.fields import INPUT


@dataclass(frozen=True, slots=True)
class Verdict:
    """One stated figure, what the network really has, and why they differ where they do.

    `about` is empty for arithmetic on its own, whose text is `formula`. `quantity` is the key of
    the claim, with what is meant behind a dot where that is a mapping (`layers.dropout`).
    `index` counts the claims of the spec from 0.
    """

    about: str
    quantity: str
    claimed: Figure
    computed: Figure
    verdict: Literal["holds", "contradicted"]
    source: str | None
    explanation: str
    index: int
    formula: str | None = None
    tolerance: float = 0.0
    bound: Literal["at_least", "at_most"] | None = None
    line: int = 0

    @property
    def subject(self) -> str:
        """What the claim is about, in words: conv1 neurons, stage1 conv2d layers."""
        quantity, _, key = self.quantity.partition(".")
        if self.formula is not None:
            return self.formula
        if quantity == "layers":
            return f"{key} layers" if self.about == NETWORK else f"{self.about} {key} layers"
        return f"{self.about} {key or quantity}"

    @property
    def stated(self) -> str:
        """The claimed figure as people write it: 253,440; at least 10; 60,000,000 ±5%."""
        bound = f"{self.bound.replace('_', ' ')} " if self.bound else ""
        tolerance = f" ±{100 * self.tolerance:.3g}%" if self.tolerance else ""
        return f"{bound}{figure(self.claimed)}{tolerance}"

    def to_json(self) -> dict[str, Any]:
        """The verdict as in the `claims` list of ``analyze --format json``."""
        return {
            "about": self.about or None,
            "quantity": self.quantity,
            "formula": self.formula,
            "claimed": _plain(self.claimed),
            "computed": _plain(self.computed),
            "tolerance": self.tolerance,
            "bound": self.bound,
            "verdict": self.verdict,
            "source": self.source,
            "explanation": self.explanation or None,
            "line": self.line,
        }


def check_claims(
    graph: Graph,
    shapes: Shapes,
    costs: Mapping[str, LayerCosts],
    fields: Mapping[str, ReceptiveField | None],
    sums: Totals,
    batch: int,
) -> tuple[tuple[Verdict, ...], tuple[Problem, ...]]:
    """A verdict for every claim whose layer has a shape, and problems with the claims.

    `batch` is what the activation bytes of `costs` and `sums` are for; a claim's are for one.
    """
    facts = Facts(graph, shapes, costs, fields, sums, batch)
    reasons = Reasons(facts)
    formulas = Formulas(graph, shapes)
    verdicts: list[Verdict] = []
    problems: list[Problem] = []
    failed: list[tuple[Verdict, Stated, Reason]] = []
    for index, claim in enumerate(graph.spec.claims):
        about = claim.about or ""
        if claim.formula is None and not _is_known(about, graph):
            problems.append(_unknown(about, index, graph))
            continue
        for stated in claim.stated():
            computed = (
                formulas.worth(claim.formula, index)
                if claim.formula is not None
                else facts.computed(about, stated, index)
            )
            if isinstance(computed, Problem):
                problems.append(computed)
                continue
            if computed is None:
                continue
            reason = None
            if not holds(claim, stated, computed):
                reason = (
                    formulas.reason(claim.formula, stated.figure, computed)
                    if claim.formula is not None
                    else reasons.of(about, stated, computed)
                )
            verdict = _verdict(claim, index, stated, computed, reason, graph)
            verdicts.append(verdict)
            # What only follows from a rounded size is told in the table, not as a problem again.
            follows = about in shapes.uncertain or (about == NETWORK and shapes.uncertain)
            depends = stated.place[0] not in ("settings", "layers", "weighted_layers")
            if reason is not None and not (follows and depends):
                failed.append((verdict, stated, reason))
    right = {(v.about, v.quantity): v for v in verdicts if v.verdict == "holds"}
    for verdict, stated, reason in failed:
        other = right.get((verdict.about, verdict.quantity))
        if other is not None and reason.rule == CONTRADICTED and not verdict.formula:
            reason = Reason("claims-disagree", f"line {other.line} says so{_source(other)}")
        problems.append(_problem(verdict, stated, reason, graph))
    return tuple(verdicts), tuple(problems)


def _is_known(about: str, graph: Graph) -> bool:
    words = (INPUT, NETWORK, TRAINING)
    return about in words or about in graph.by_name or about in graph.parts


def _unknown(about: str, index: int, graph: Graph) -> Problem:
    return Problem(
        "unknown-input",
        f"a claim is about `{about}`, which is no layer",
        did_you_mean(about, [INPUT, NETWORK, TRAINING, *graph.by_name])
        or "use the name of a layer or a block, `input`, `network` or `training`",
        span=graph.document.root.locate(("claims", index, "about")),
    )


def _verdict(
    claim: Claim,
    index: int,
    stated: Stated,
    computed: Figure,
    reason: Reason | None,
    graph: Graph,
) -> Verdict:
    return Verdict(
        claim.about or "",
        stated.quantity,
        stated.figure,
        computed,
        "holds" if reason is None else "contradicted",
        claim.source,
        reason.text if reason is not None else "",
        index,
        claim.formula,
        claim.tolerance,
        claim.bound,
        graph.document.root.locate(("claims", index)).line,
    )


def _problem(verdict: Verdict, stated: Stated, reason: Reason, graph: Graph) -> Problem:
    source = _source(verdict)
    claimed, computed = figure(verdict.claimed), figure(verdict.computed)
    if verdict.bound:
        claimed = f"{verdict.bound.replace('_', ' ')} {claimed}"
    if verdict.formula is not None:
        message = f"{shortened(verdict.formula, 200)} is claimed to be {claimed}{source}, but it is"
    elif stated.place[0] == "layers":
        layers = f"{stated.key} layer{'s' if verdict.claimed != 1 else ''}"
        message = f"{verdict.about} is claimed to have {claimed} {layers}{source}, but it has"
    else:
        message = f"{verdict.about} is claimed to have {stated.key} {claimed}{source}, but it has"
    message += f" {computed}"
    if reason.text:
        message += f": {reason.text}"
    return Problem(
        reason.rule,
        message,
        span=graph.document.root.locate(("claims", verdict.index, *stated.place)),
        layer=verdict.about if verdict.about in graph.by_name else None,
        fixes=tuple(_fix(verdict.index, fix) for fix in reason.fixes),
    )


def _source(verdict: Verdict) -> str:
    words = " ".join((verdict.source or "").split())
    return f" ({shortened(words, 200)})" if words else ""


def _fix(index: int, fix: Fix) -> Fix:
    """The same fix with the claim's place in front of the keys that it changes."""
    changes = {f"claims.{index}.{key}": value for key, value in fix.changes.items()}
    return Fix(fix.title, fix.effect, changes)


def _plain(value: Figure) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return float(value) if isinstance(value, Fraction) else value


__all__ = ["Figure", "Verdict", "check_claims", "figure"]
