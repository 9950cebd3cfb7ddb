"""Explain a diagnostic: AS101."""

from __future__ import annotations

from typing import Annotated

import typer


def explain(
    code: Annotated[str, typer.Argument(help="A diagnostic's code or name: AS101.")],
) -> None:
    """Explain a diagnostic: what it says, why it matters, an example, and what to do instead."""
    from archspec import rules
    from archspec.diagnostics import ArchspecError, did_you_mean

    known = rules.rules()
    by_code = {rule.code: rule for rule in known.values()}
    rule = by_code.get(code.upper()) or known.get(code.lower())
    if rule is None:
        suggestion = did_you_mean(code, [*by_code, *known])
        raise ArchspecError(
            f"there is no diagnostic `{code}`; {suggestion or 'codes look like AS101'}"
        )
    print(f"{rule.code} {rule.name} ({rule.severity})\n\n{rules.page(rule)}")
