"""Every example in README, CONTRIBUTING and docs does what it says.

- A ``console`` block is a list of commands (`$ ...`) with what each prints; `...` stands for
  anything. All blocks of a page run in one folder, in order.
- A block after a line ``<!-- file: NAME -->`` is that file.
- A ``python`` block with `>>>` is a doctest.
- A ``sh`` block sets something up for people (`make demo`) and is not run here.

The pages of docs/frameworks/ have many scripts that import every framework. `python SCRIPT` runs
in one warm process there, see `warm.py`; `make test-all` runs each in a process of its own.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pages import ROOT, Block, blocks
from warm import run_script, warm_process

PAGES = sorted(
    path for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")] if path.is_file()
)
SCRIPTED = [page for page in PAGES if page.parent == ROOT / "docs" / "frameworks"]
COMMON = [page for page in PAGES if page not in SCRIPTED]
# What a page sees: a terminal of 80 columns, and no chatter of TensorFlow.
ENVIRONMENT = {"COLUMNS": "80", "TF_CPP_MIN_LOG_LEVEL": "3", "NO_COLOR": "1"}
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


def run(command: str, folder: Path, errors: int = subprocess.STDOUT) -> str:
    """What a command prints, standard error included unless `errors` sends it elsewhere.

    What `pip` installs goes into a folder of the page's own, without any network.
    """
    words = shlex.split(command)
    packages = str(folder / "site-packages")
    if words[0] == "archspec":
        words[:1] = [sys.executable, "-m", "archspec"]
    elif words[0] == "python":
        words[0] = sys.executable
    elif words[0] == "torchrun":
        words[:1] = [sys.executable, "-m", "torch.distributed.run"]
    elif words[:2] == ["pip", "install"]:
        offline = ["--no-index", "--no-deps", "--no-build-isolation", "--target", packages]
        words[:2] = [sys.executable, "-m", "pip", "install", "--quiet", *offline]
    else:
        pytest.fail(
            f"only archspec, python, torchrun and pip may stand in a console block: {command}"
        )
    environment = {**os.environ, **ENVIRONMENT}
    path = [packages, *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(path)
    done = subprocess.run(
        words,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        timeout=300,
        check=False,
    )
    return done.stdout


def agrees(expected: str, printed: str) -> bool:
    """Whether the output is the expected one.

    `...` matches anything, also several lines. Long lines may be broken in a page, so any run of
    blanks and line ends equals any other.
    """
    parts = (" ".join(part.split()) for part in expected.split("..."))
    pattern = ".*?".join(re.escape(part) for part in parts)
    return re.fullmatch(f"{pattern}", " ".join(printed.split()), re.DOTALL) is not None


@pytest.fixture(scope="session")
def run_warm() -> Iterator[Callable[[str, Path], str]]:
    """`run`, but `python SCRIPT` in the one process that has imported the frameworks."""
    with warm_process(ENVIRONMENT) as process:

        def run_here(command: str, folder: Path) -> str:
            words = shlex.split(command)
            if words[0] != "python":
                return run(command, folder)
            (script,) = words[1:]
            return process.submit(run_script, folder / script).result(timeout=300)

        yield run_here


def check_examples(page: Path, folder: Path, run: Callable[[str, Path], str]) -> None:
    """Write a page's files, run its commands, and compare what they print with what it shows."""
    # The shipped specs are where the commands of the README expect them.
    (folder / "specs").symlink_to(ROOT / "specs")
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{page}:{block.line}: a fence without a language"
        if block.file:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            for command, expected in commands(block):
                printed = run(command, folder)
                assert agrees(expected, printed), f"{page.name}:{block.line}: {command}\n{printed}"
        elif block.language == "python" and ">>>" in block.text:
            parser, runner = (
                doctest.DocTestParser(),
                doctest.DocTestRunner(optionflags=doctest.ELLIPSIS),
            )
            test = parser.get_doctest(block.text, {}, page.name, str(page), block.line)
            assert runner.run(test).failed == 0, f"{page.name}:{block.line}"


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", COMMON, ids=name_of)
def test_examples_do_what_they_say(page: Path, tmp_path: Path) -> None:
    check_examples(page, tmp_path, run)


@pytest.mark.xdist_group("frameworks")
@pytest.mark.parametrize("page", SCRIPTED, ids=name_of)
def test_examples_about_frameworks_do_what_they_say(
    page: Path, tmp_path: Path, run_warm: Callable[[str, Path], str]
) -> None:
    check_examples(page, tmp_path, run_warm)


@pytest.mark.full
@pytest.mark.parametrize("page", SCRIPTED, ids=name_of)
def test_they_do_so_in_processes_of_their_own(page: Path, tmp_path: Path) -> None:
    def run_alone(command: str, folder: Path) -> str:
        # On standard error, TensorFlow and PyTorch say what they think of the machine.
        script = command.startswith("python ")
        return run(command, folder, subprocess.DEVNULL if script else subprocess.STDOUT)

    check_examples(page, tmp_path, run_alone)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_inside_the_project_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_a_script_runs_as_if_alone(tmp_path: Path) -> None:
    here, path = Path.cwd(), list(sys.path)
    (tmp_path / "beside_it.py").write_text("text = 'found'\n")
    (tmp_path / "first.py").write_text("import beside_it\nprint(__name__, beside_it.text)\nx = 1\n")
    (tmp_path / "second.py").write_text("print(open('beside_it.py').read())\nprint(x)\n")
    assert run_script(tmp_path / "first.py") == "__main__ found\n"
    printed = run_script(tmp_path / "second.py")
    assert printed.startswith("text = 'found'\n\nTraceback")
    assert printed.endswith("NameError: name 'x' is not defined\n")
    assert (Path.cwd(), sys.path) == (here, path)


def test_the_comparison_notices_a_difference() -> None:
    assert agrees("a ... c", "a b c")
    assert not agrees("a ... c", "a b d")
    assert not agrees("61,100", "61,101")
