"""Totals and claims of an analysis as sections, for the terminal, Markdown and pages alike."""

from __future__ import annotations

from archspec.analysis import Analysis
from archspec.analysis.claims import figure
from archspec.analysis.numbers import printable, short_bytes, short_count
from archspec.analysis.section import Column, Section


def totals(analysis: Analysis) -> Section:
    """The sums over the layers, and what each of them counts."""
    sums, memory = analysis.totals, analysis.memory
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
        ("saved", short_bytes(memory.saved), f"what PyTorch keeps for backward{batch}"),
        (
            "training peak",
            short_bytes(memory.training_peak),
            f"with {memory.optimizer}, an estimate{batch}",
        ),
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


def silenced(analysis: Analysis) -> Section | None:
    """What the spec calls meant, with its reasons; None where it does not."""
    if not analysis.silenced:
        return None
    rows = [
        (
            f"{found.diagnostic.code} {found.diagnostic.name}",
            str(found.diagnostic.line),
            printable(found.reason),
        )
        for found in analysis.silenced
    ]
    columns = (Column("silenced", folds=True), Column("line", "right"), Column("why", folds=True))
    return Section("findings that the spec says are meant", columns, tuple(rows))


def sections(analysis: Analysis) -> tuple[Section, ...]:
    """What stands below the table of layers: totals, claims, what is meant, reports asked for."""
    stated = claims(analysis)
    meant = silenced(analysis)
    asked = [section for report in analysis.reports for section in report.sections()]
    below = [section for section in (stated, meant) if section is not None]
    return (totals(analysis), *below, *asked)
