"""Diagnostics for continuous integration: GitHub's workflow commands, and SARIF 2.1.0."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from archspec import rules
from archspec.diagnostics import Diagnostic, Fix
from archspec.fixing import replacements
from archspec.loading import Examined
from archspec.rules.base import Rule
from archspec.source.text import place
from archspec.version import __version__

_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def to_github(diagnostics: Iterable[Diagnostic]) -> str:
    """One workflow command a diagnostic; GitHub shows them beside the lines of a pull request.

    https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
    """
    lines = []
    for found in diagnostics:
        properties = {
            "file": Path(found.file).as_posix(),
            "line": found.line,
            "endLine": found.end_line,
            "title": f"{found.code} {found.name}",
        }
        if found.line == found.end_line:  # GitHub takes columns within one line alone
            columns = {"col": found.column, "endColumn": max(found.end_column, found.column)}
            properties |= columns
        shown = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items())
        lines.append(f"::{_COMMANDS[found.severity]} {shown}::{_data(_text(found))}\n")
    return "".join(lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _text(found: Diagnostic) -> str:
    """The message and what to do, in lines."""
    lines = [found.message, *([f"help: {found.help}"] if found.help else [])]
    lines += [_described(fix) for fix in found.fixes]
    return "\n".join(lines)


def _described(fix: Fix) -> str:
    return f"- {fix.title}: {fix.effect}" if fix.effect else f"- {fix.title}"


def to_sarif(examined: Sequence[Examined]) -> str:
    """One run in the Static Analysis Results Interchange Format, version 2.1.0.

    Every rule is listed with its page; what a spec calls meant is a suppressed result. A fix
    stands with its result where it is a replacement of text in the file that was checked.
    https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
    """
    known = list(rules.rules().values())
    indices = {rule.code: index for index, rule in enumerate(known)}
    results = []
    for state in examined:
        findings: list[tuple[Diagnostic, str | None]]
        findings = [(found, None) for found in state.diagnostics]
        findings += [(silenced.diagnostic, silenced.reason) for silenced in state.silenced]
        results += [
            {**_result(found, indices[found.code], state), "suppressions": _suppressions(reason)}
            for found, reason in findings
        ]
    driver = {
        "name": "archspec",
        "semanticVersion": __version__,
        "rules": [_rule(rule) for rule in known],
    }
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    document = {
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    }
    return json.dumps(document, indent=2)


def _suppressions(reason: str | None) -> list[dict[str, str]]:
    """That the spec's `ignore` silences a finding; empty where nothing does.

    Where one result of a run has such a list, all must have one (section 3.27.23).
    """
    return [{"kind": "inSource", "justification": reason}] if reason is not None else []


def _rule(rule: Rule) -> dict[str, Any]:
    page = rules.page(rule)
    summary, _, rest = page.partition("\n\n")
    explanation = " ".join(rest.partition("\n\n")[0].split())
    return {
        "id": rule.code,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": " ".join(summary.split())},
        "fullDescription": {"text": explanation},
        "help": {"text": page, "markdown": _markdown(page)},
        "defaultConfiguration": {"level": rule.severity},
    }


def _markdown(page: str) -> str:
    """The page with its specs as blocks of code."""
    blocks = re.sub(
        r"^(Example|Instead):\n\n((?:    .*\n?|\n)+)",
        lambda found: f"{found[1]}:\n\n```yaml\n{_dedented(found[2])}\n```\n\n",
        page + "\n",
        flags=re.MULTILINE,
    )
    return re.sub(r"^    ", "- ", blocks, flags=re.MULTILINE).strip() + "\n"


def _dedented(block: str) -> str:
    return re.sub(r"^    ", "", block, flags=re.MULTILINE).strip("\n")


def _result(found: Diagnostic, index: int, state: Examined) -> dict[str, Any]:
    text = found.message + (f"\nhelp: {found.help}" if found.help else "")
    region = _region(found.line, found.column, found.end_line, found.end_column)
    if found.source_line is not None and found.line == found.end_line:
        region["snippet"] = {"text": found.source_line[found.column - 1 : found.end_column - 1]}
    result: dict[str, Any] = {
        "ruleId": found.code,
        "ruleIndex": index,
        "level": found.severity,
        "message": {"text": text},
        "locations": [_location(found.file, region)],
    }
    if found.uses:
        result["relatedLocations"] = [
            {
                **_location(use.file, _region(use.line, use.column, use.line, use.end_column)),
                "id": number,
                "message": {"text": "used here"},
            }
            for number, use in enumerate(found.uses, 1)
        ]
    fixes = [fix for fix in (_fix(fix, state) for fix in found.fixes) if fix is not None]
    if fixes:
        result["fixes"] = fixes
    return result


def _fix(fix: Fix, state: Examined) -> dict[str, Any] | None:
    edits = replacements(state, fix)
    if not edits:
        return None
    parts = []
    for edit in edits:
        start, end = place(state.text, edit.start), place(state.text, edit.end)
        region = _region(start.line, start.column, end.line, end.column)
        parts.append({"deletedRegion": region, "insertedContent": {"text": edit.text}})
    change = {"artifactLocation": {"uri": _uri(state.name)}, "replacements": parts}
    return {"description": {"text": _described(fix)[2:]}, "artifactChanges": [change]}


def _region(line: int, column: int, end_line: int, end_column: int) -> dict[str, Any]:
    """A region, whose columns count characters from 1 and whose end is exclusive."""
    return {
        "startLine": line,
        "startColumn": column,
        "endLine": end_line,
        "endColumn": end_column,
    }


def _location(file: str, region: dict[str, Any]) -> dict[str, Any]:
    return {"physicalLocation": {"artifactLocation": {"uri": _uri(file)}, "region": region}}


def _uri(file: str) -> str:
    """A file's name as a URI reference: relative to where the command ran, or absolute."""
    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
