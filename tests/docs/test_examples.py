"""Every example in README, CONTRIBUTING and docs does what it says.

- A ``console`` block is a list of commands (`$ ...`) with what each prints; `...` stands for
  anything. All blocks of a page run in one folder, in order.
- A block after a line ``<!-- file: NAME -->`` is that file.
- A ``python`` block with `>>>` is a doctest.
- A ``sh`` block sets something up for people (`make demo`) and is not run here.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT, Block, blocks

PAGES = sorted(
    path for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")] if path.is_file()
)
LANGUAGES = {"console", "yaml", "python", "sh", "text", "json", "toml", "markdown"}


def commands(block: Block) -> list[tuple[str, str]]:
    """Each command of a console block and the output that stands below it."""
    found: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            assert found, f"line {block.line}: output before any command"
            found[-1][1].append(line.rstrip())
    return [(command, "\n".join(lines)) for command, lines in found]


def run(command: str, folder: Path) -> str:
    """What a command prints, standard error included, in a terminal of 80 columns.

    What `pip` installs goes into a folder of the page's own, without any network.
    """
    words = shlex.split(command)
    packages = str(folder / "site-packages")
    if words[0] == "archspec":
        words[:1] = [sys.executable, "-m", "archspec"]
    elif words[0] == "python":
        words[0] = sys.executable
    elif words[:2] == ["pip", "install"]:
        offline = ["--no-index", "--no-deps", "--no-build-isolation", "--target", packages]
        words[:2] = [sys.executable, "-m", "pip", "install", "--quiet", *offline]
    else:
        pytest.fail(f"only archspec, python and pip may stand in a console block: {command}")
    environment = dict(os.environ, COLUMNS="80", TF_CPP_MIN_LOG_LEVEL="3", NO_COLOR="1")
    path = [packages, *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(path)
    done = subprocess.run(
        words,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return "\n".join(line.rstrip() for line in done.stdout.splitlines())


def agrees(expected: str, printed: str) -> bool:
    """Whether the output is the expected one.

    `...` matches anything, also several lines. Long lines may be broken in a page, so any run of
    blanks and line ends equals any other.
    """
    parts = (" ".join(part.split()) for part in expected.split("..."))
    pattern = ".*?".join(re.escape(part) for part in parts)
    return re.fullmatch(f"{pattern}", " ".join(printed.split()), re.DOTALL) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_examples_do_what_they_say(page: Path, tmp_path: Path) -> None:
    # The shipped specs are where the commands of the README expect them.
    (tmp_path / "specs").symlink_to(ROOT / "specs")
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{page}:{block.line}: a fence without a language"
        if block.file:
            path = tmp_path / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            for command, expected in commands(block):
                printed = run(command, tmp_path)
                assert agrees(expected, printed), f"{page.name}:{block.line}: {command}\n{printed}"
        elif block.language == "python" and ">>>" in block.text:
            parser, runner = (
                doctest.DocTestParser(),
                doctest.DocTestRunner(optionflags=doctest.ELLIPSIS),
            )
            test = parser.get_doctest(block.text, {}, page.name, str(page), block.line)
            assert runner.run(test).failed == 0, f"{page.name}:{block.line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_inside_the_project_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_comparison_notices_a_difference() -> None:
    assert agrees("a ... c", "a b c")
    assert not agrees("a ... c", "a b d")
    assert not agrees("61,100", "61,101")
