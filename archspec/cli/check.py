"""Report what is wrong with specs, as a linter does."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archspec.cli.options import RootOption, console, print_json, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.fixing import FixedFile
    from archspec.loading import Examined


class CheckFormat(StrEnum):
    """Formats of `archspec check`."""

    text = "text"
    json = "json"
    github = "github"
    sarif = "sarif"


def check(
    specs: Annotated[list[str], typer.Argument(metavar="SPEC...", help="Spec files or names.")],
    format: Annotated[CheckFormat, typer.Option("--format", help="How to print it.")] = (
        CheckFormat.text
    ),
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too.")] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Apply the safe fixes to the files; see --diff.")
    ] = False,
    unsafe_fixes: Annotated[
        bool,
        typer.Option("--unsafe-fixes", help="With --fix: the first fix of each other finding too."),
    ] = False,
    choose: Annotated[
        list[str] | None,
        typer.Option("--choose", metavar="CODE=N", help="With --fix: fix N of CODE, AS101=2."),
    ] = None,
    diff: Annotated[
        bool, typer.Option("--diff", help="Print what --fix would change and change nothing.")
    ] = False,
    root: RootOption = None,
) -> None:
    """Report what is wrong with specs, as a linter does: exit status 1 when there are errors.

    With --fix, what remains is reported. Examples: archspec check my.yaml;
    archspec check nets/*.yaml --strict --format github; archspec check my.yaml --fix
    """
    from archspec import api
    from archspec.diagnostics import ArchspecError

    if (unsafe_fixes or choose) and not (fix or diff):
        option = "--unsafe-fixes" if unsafe_fixes else "--choose"
        raise ArchspecError(f"{option} says which fixes to apply; add --fix, or --diff")
    if diff and format is not CheckFormat.text:
        raise ArchspecError(f"--diff prints a diff; leave out --format {format.value}")
    if fix or diff:
        examined = _fixed(specs, unsafe_fixes, choose or [], root, only_diff=diff)
    else:
        examined = [api.examine(spec, root) for spec in specs]
    if not diff:
        # What --fix has left is nothing that it can fix.
        _print(examined, format, 0 if fix else _fixable(specs, examined))
    failing = ("error", "warning") if strict else ("error",)
    if any(found.severity in failing for state in examined for found in state.diagnostics):
        raise typer.Exit(1)


def _fixed(
    specs: Sequence[str],
    unsafe: bool,
    choose: Sequence[str],
    root: Path | None,
    *,
    only_diff: bool,
) -> list[Examined]:
    """The specs with the fixes applied; what cannot be written stays as it is."""
    from archspec import api, fixing
    from archspec.diagnostics import ArchspecError, SpecError

    choices = fixing.parse_choices(choose)
    examined = []
    for spec in specs:
        try:
            fixed = fixing.fix_file(spec, unsafe=unsafe, choices=choices, root=root)
            if only_diff:
                print(fixed.diff(), end="")
            elif fixed.after != fixed.before:
                fixing.write(fixed)
        except (ArchspecError, SpecError) as error:
            if isinstance(error, ArchspecError):
                say(f"archspec: {error}")
            examined.append(api.examine(spec, root))
            continue
        _say_what_was_fixed(fixed, "would fix" if only_diff else "fixed")
        examined.append(fixed.state)
    return examined


def _say_what_was_fixed(fixed: FixedFile, verb: str) -> None:
    for repair in fixed.applied:
        found = repair.diagnostic
        say(f"{verb} {found.code} at {found.file}:{found.line}: {repair.fix.title}")
    for repair in fixed.left_out:
        found = repair.diagnostic
        what = f"not fixed: {found.code} at {found.file}:{found.line} ({repair.fix.title})"
        say(f"{what}: {repair.reason}")


def _fixable(specs: Sequence[str], examined: Sequence[Examined]) -> int:
    """How many findings have a safe fix of something that stands in a file of the user's."""
    from archspec import catalog

    safe = [
        (state, [fix for fix in found.fixes if fix.safe])
        for spec, state in zip(specs, examined, strict=True)
        if spec not in catalog.shipped()
        for found in state.diagnostics
    ]
    if not any(fixes for _, fixes in safe):
        return 0  # and nothing more to import
    from archspec.fixing import replacements

    return sum(any(replacements(state, fix) for fix in fixes) for state, fixes in safe)


def _print(examined: Sequence[Examined], format: CheckFormat, fixable: int) -> None:
    diagnostics = [found for state in examined for found in state.diagnostics]
    if format is CheckFormat.json:
        print_json([found.to_json() for found in diagnostics])
    elif format is CheckFormat.github:
        from archspec.report.annotations import to_github

        print(to_github(diagnostics), end="")
    elif format is CheckFormat.sarif:
        from archspec.report.annotations import to_sarif

        print(to_sarif(examined))
    else:
        from archspec.report.diagnostics import counts, print_diagnostics

        out = console()
        print_diagnostics(out, diagnostics)
        if diagnostics:
            out.print()
        files = f"{len(examined)} spec{'s' if len(examined) != 1 else ''}"
        silenced = sum(len(state.silenced) for state in examined)
        meant = f", {silenced} silenced" if silenced else ""
        fix = f" ({fixable} fixable with --fix)" if fixable else ""
        summary = f"{files}: {counts(diagnostics) or 'nothing to report'}{meant}{fix}"
        out.print(summary, highlight=False)
