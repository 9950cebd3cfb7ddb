"""`archspec check`: what it prints and writes, and its exit status."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from pages import blocks

from archspec import api, catalog, cli

ROOT = Path(__file__).parents[1]
Run = Callable[..., tuple[int, str, str]]

WRONG = """\
archspec: 1
name: mine   # kept
input: {channels: 3, height: 224, width: 224}
layers:
  - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["archspec", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return command


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(WRONG)
    return path


def test_a_chosen_fix_is_applied_and_said(run: Run, wrong: Path) -> None:
    status, out, err = run("check", "mine.yaml", "--fix", "--choose", "AS101=3")
    assert status == 0
    assert wrong.read_text() == WRONG.replace("stride: 4}", "stride: 4, padding: [1, 2, 1, 2]}")
    assert err == "fixed AS101 at mine.yaml:5: padding [1, 2, 1, 2] (1+2 on each axis)\n"
    assert out == "1 spec: nothing to report\n"


def test_a_diff_changes_nothing(run: Run, wrong: Path) -> None:
    status, out, err = run("check", "mine.yaml", "--diff", "--unsafe-fixes")
    assert status == 0  # as after the fixes
    assert wrong.read_text() == WRONG
    assert [line for line in out.splitlines() if line.startswith(("+", "-"))] == [
        "--- mine.yaml",
        "+++ mine.yaml",
        "-input: {channels: 3, height: 224, width: 224}",
        "+input: {channels: 3, height: 223, width: 223}",
    ]
    assert err.startswith("would fix AS101 at mine.yaml:5: input 223 x 223")


def test_the_status_is_that_of_what_remains(run: Run, wrong: Path) -> None:
    assert run("check", "mine.yaml", "--fix")[0] == 1
    assert run("check", "mine.yaml", "--diff")[:2] == (1, "")
    assert wrong.read_text() == WRONG
    status, _, err = run("check", "mine.yaml", "--fix", "--choose", "AS101=8")
    assert status == 1
    assert "not fixed: AS101 at mine.yaml:5" in err
    assert "there is no fix 8, only 5" in err


@pytest.mark.parametrize("option", [["--choose", "AS101=1"], ["--unsafe-fixes"]])
def test_what_says_which_fixes_needs_fix(run: Run, wrong: Path, option: list[str]) -> None:
    status, out, err = run("check", "mine.yaml", *option)
    assert (status, out) == (2, "")
    assert "add --fix, or --diff" in err


def test_shipped_specs_and_read_only_files_are_checked_and_not_changed(
    run: Run, wrong: Path
) -> None:
    wrong.chmod(0o444)
    status, out, err = run("check", "alexnet", "mine.yaml", "--fix", "--unsafe-fixes")
    assert status == 1
    assert "`alexnet` is a shipped spec" in err
    assert "mine.yaml is read-only and was not changed" in err
    assert "error[AS101]" in out
    assert wrong.read_text() == WRONG


def test_formats_print_one_thing_each(run: Run, wrong: Path) -> None:
    status, out, err = run("check", "mine.yaml", "nothing.yaml", "--format", "github")
    assert (status, err) == (1, "")
    assert [line.split(",")[0] for line in out.splitlines()] == [
        "::error file=mine.yaml",
        "::error file=nothing.yaml",
    ]
    status, out, err = run("check", "mine.yaml", "nothing.yaml", "--format", "sarif")
    assert (status, err) == (1, "")
    results = json.loads(out)["runs"][0]["results"]
    assert [result["ruleId"] for result in results] == ["AS101", "AS001"]
    status, out, _ = run("check", "mine.yaml", "--format", "json")
    assert [found["code"] for found in json.loads(out)] == ["AS101"]


@pytest.mark.parametrize("format", ["json", "github", "sarif"])
def test_a_diff_has_no_other_format(run: Run, wrong: Path, format: str) -> None:
    said = f"archspec: --diff prints a diff; leave out --format {format}\n"
    assert run("check", "mine.yaml", "--diff", "--format", format) == (2, "", said)


def test_a_safe_fix_is_counted(run: Run, wrong: Path) -> None:
    wrong.write_text(WRONG.replace("224", "227") + "  - {name: act, type: gelu}\n")
    assert run("check", "mine.yaml")[1].endswith("1 spec: 1 note (1 fixable with --fix)\n")
    status, out, err = run("check", "mine.yaml", "--fix")
    assert (status, out) == (0, "1 spec: nothing to report\n")
    assert err == "fixed AS408 at mine.yaml:6: approximate: none\n"


def test_what_fix_would_leave_alone_is_not_counted_as_fixable(run: Run, wrong: Path) -> None:
    wrong.write_text(WRONG.replace("224", "227") + "  - {name: act, type: gelu}\n")
    Path("child.yaml").write_text("archspec: 1\nname: child\nextends: mine.yaml\n")
    assert run("check", "child.yaml")[1].endswith("\n1 spec: 1 note\n")
    status, out, err = run("check", "child.yaml", "mine.yaml", "--fix")
    assert (status, out.splitlines()[-1]) == (0, "2 specs: 1 note")
    assert err.startswith("not fixed: AS408 at mine.yaml:6 (approximate: none): it stands in ")
    shipped = next(
        name
        for name in sorted(catalog.shipped())
        if any(fix.safe for found in api.examine(name).diagnostics for fix in found.fixes)
    )
    assert "fixable" not in run("check", shipped)[1].splitlines()[-1]


def test_the_page_configures_what_there_is(run: Run, wrong: Path) -> None:
    snippets = [b for b in blocks(ROOT / "docs" / "checking.md") if b.language == "yaml"]
    _, workflow, configuration = (yaml.safe_load(block.text) for block in snippets)
    *_, last = workflow["jobs"]["check"]["steps"]
    arguments = last["run"].replace("networks/*.yaml", "mine.yaml").split()[1:]
    assert run(*arguments)[0] == 1
    hooks = {hook["id"]: hook["entry"].split() for hook in yaml.safe_load(HOOKS)}
    (used,) = configuration["repos"][0]["hooks"]
    assert run(*hooks[used["id"]][1:], *used["args"], "mine.yaml")[0] == 1


HOOKS = (ROOT / ".pre-commit-hooks.yaml").read_text("utf-8")


@pytest.mark.parametrize(
    "hook",
    yaml.safe_load(HOOKS),
    ids=lambda hook: hook["id"],
)
def test_the_hooks_for_pre_commit_run(hook: dict[str, str], run: Run, wrong: Path) -> None:
    assert {"id", "name", "description", "entry", "language", "files", "types"} == set(hook)
    program, *arguments = shlex.split(hook["entry"])
    assert program == "archspec"
    assert run(*arguments, "mine.yaml")[0] == 1
    Path("good.yaml").write_text(WRONG.replace("224", "227"))
    assert run(*arguments, "good.yaml")[0] == 0
