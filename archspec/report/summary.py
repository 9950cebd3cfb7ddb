"""Totals and claims of an analysis as sections, for the terminal, Markdown and pages alike."""

from __future__ import annotations

from archspec.analysis import Analysis
from archspec.analysis.claims import figure
from archspec.analysis.numbers import printable, short_bytes, short_count
from archspec.analysis.section import Column, Section


def totals(analysis: Analysis) -> Section:
    """The sums over the layers, and what each of them counts."""
    sums = analysis.totals
    batch = f", batch {analysis.batch}" if analysis.batch != 1 else ""
    rows = [("params", f"{sums.params:,}", f"{short_bytes(sums.weight_bytes)} in float32")]
    buffers = sums.non_trainable_params - (sums.params - sums.trainable_params)
    if buffers:
        rows.append(("buffers", f"{buffers:,}", "running statistics, not counted in params"))
    if sums.params != sums.trainable_params:
        rows.append(("trainable", f"{sums.trainable_params:,}", "frozen layers left out"))
    rows += [
        ("MACs", f"{sums.macs:,}", f"{short_count(sums.macs)}, one image"),
        ("FLOPs", f"{sums.flops:,}", "2 x MACs + biases, pools, norms, activations"),
        ("backward FLOPs", f"{sums.backward_flops:,}", "weight and input gradients, 2 x MACs each"),
        ("neurons", f"{sums.neurons:,}", "outputs of convolutions and dense layers"),
        ("connections", f"{sums.connections:,}", "neurons x (weights each sees + its bias)"),
        ("activations", short_bytes(sums.activation_bytes), f"every output, float32{batch}"),
    ]
    columns = (Column(""), Column("", "right"), Column("", folds=True))
    return Section("totals", columns, tuple(rows))


def claims(analysis: Analysis) -> Section | None:
    """Every claim with its verdict, None where the spec makes none; below, why some fail."""
    if not analysis.claims:
        return None
    rows = tuple(
        (
            printable(claim.subject),
            printable(claim.stated),
            printable(figure(claim.computed)),
            claim.verdict,
            printable(claim.source or ""),
        )
        for claim in analysis.claims
    )
    columns = (
        Column("claim", folds=True),
        Column("stated", "right"),
        Column("computed", "right"),
        Column("verdict"),
        Column("source", folds=True),
    )
    notes = tuple(
        f"{printable(claim.subject)}: {printable(claim.explanation)}"
        for claim in analysis.claims
        if claim.explanation
    )
    return Section("claims", columns, rows, notes)


def sections(analysis: Analysis) -> tuple[Section, ...]:
    """What stands below the table of layers: totals, claims, then the reports asked for."""
    stated = claims(analysis)
    asked = [section for report in analysis.reports for section in report.sections()]
    return (totals(analysis), *([stated] if stated else []), *asked)
