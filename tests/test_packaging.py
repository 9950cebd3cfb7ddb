"""The built wheel in a fresh virtual environment, used from another folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packaging")]


@dataclass(frozen=True)
class Installed:
    """A virtual environment that has the wheel and the core dependencies, no framework."""

    bin: Path
    folder: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        # Nothing of this checkout or of the tests' own environment may be found.
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_"))}
        return subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--wheel-dir",
            str(folder),
            str(ROOT),
        ],
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("archspec_nn-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home / "venv", with_pip=True)
    binaries = home / "venv" / ("Scripts" if os.name == "nt" else "bin")
    subprocess.run(
        [
            binaries / "python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-c",
            ROOT / "constraints.txt",
            wheel,
        ],
        check=True,
        capture_output=True,
    )
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    return Installed(binaries, elsewhere)


def test_the_wheel_holds_the_specs_their_schema_and_what_pages_need(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "specs").rglob("*.*"):
        assert f"archspec/{path.relative_to(ROOT)}" in names
    assert "archspec/py.typed" in names
    for name in ("style.css", "script.js"):
        assert f"archspec/report/html/{name}" in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]


def test_analyze_works_by_name_from_any_folder(installed: Installed) -> None:
    done = installed.run("archspec", "analyze", "alexnet", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["totals"]["params"] == 60965224
    assert installed.run("python", "-m", "archspec", "analyze").stdout.startswith("AlexNet")
    timed = installed.run("archspec", "analyze", "--device", "t4")
    assert "roofline: NVIDIA T4, float32, batch 1" in timed.stdout, timed.stderr


def test_pages_and_pictures_are_made_from_any_folder(installed: Installed) -> None:
    done = installed.run("archspec", "analyze", "--format", "html", "--output", "page.html")
    assert done.returncode == 0, done.stderr
    assert "<style>:root" in (installed.folder / "page.html").read_text("utf-8")
    assert installed.run("archspec", "draw").returncode == 0
    assert (installed.folder / "alexnet.svg").read_text("utf-8").startswith("<svg")


def test_specs_are_listed(installed: Installed) -> None:
    listed = json.loads(installed.run("archspec", "specs", "--format", "json").stdout)
    assert {row["name"] for row in listed} == {p.stem for p in (ROOT / "specs").rglob("*.yaml")}
    assert all(set(row) == {"name", "title", "file", "params"} for row in listed)


@pytest.mark.parametrize("backend", ["torch", "keras"])
@pytest.mark.parametrize("command", ["build", "train"])
def test_a_missing_framework_is_one_line_and_exit_2(
    installed: Installed, backend: str, command: str
) -> None:
    done = installed.run("archspec", command, "--backend", backend)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert f"pip install 'archspec-nn[{backend}]'" in line


def test_verify_without_numpy_says_what_to_install(installed: Installed) -> None:
    done = installed.run("archspec", "verify")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "pip install" in line


def test_source_needs_no_framework_to_be_written(installed: Installed) -> None:
    done = installed.run("archspec", "build", "--backend", "keras", "--source-only")
    assert done.returncode == 0, done.stderr
    assert "class AlexNet(keras.Model)" in (installed.folder / "alexnet_keras.py").read_text()


def test_a_path_that_names_a_shipped_spec_gets_a_suggestion(installed: Installed) -> None:
    done = installed.run("archspec", "analyze", "specs/alexnet.yaml")
    assert done.returncode == 1
    assert "`alexnet` is a shipped spec" in done.stderr
