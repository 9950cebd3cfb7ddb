"""What a command imports: analysis needs no framework, and `import archspec` next to nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FRAMEWORKS = {
    *("torch", "tensorflow", "keras", "jax", "onnx", "onnxruntime"),
    *("numpy", "PIL", "sklearn", "grain"),
}
SOURCES = {
    "torch": "alexnet_torch.py",
    "keras": "alexnet_keras.py",
    "onnx": "alexnet.onnxtxt",
}


def imported(statements: str, folder: Path) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after some statements."""
    script = f"{statements}\nimport sys\nprint('LOADED', *sorted(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    line = run.stdout.splitlines()[-1]
    assert line.startswith("LOADED ")
    return {name.partition(".")[0] for name in line.split()[1:]}


def command(*arguments: str) -> str:
    """Statements that run the command and go on whatever its exit status."""
    return (
        "import sys\n"
        f"sys.argv = ['archspec', *{arguments!r}]\n"
        "from archspec import cli\n"
        "try:\n"
        "    cli.main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("analyze", "alexnet"),
        ("analyze", "alexnet", "--format", "json"),
        ("analyze", "alexnet", "--conventions"),
        ("check", "alexnet"),
        ("diff", "alexnet", "caffenet"),
        ("explain", "AS101"),
        ("specs",),
        ("schema",),
        ("--version",),
    ],
    ids=" ".join,
)
def test_no_framework_is_imported_to_analyse(arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert imported(command(*arguments), tmp_path) & FRAMEWORKS == set()


@pytest.mark.parametrize("backend", SOURCES)
def test_no_framework_is_imported_to_write_source(backend: str, tmp_path: Path) -> None:
    loaded = imported(command("build", "--source-only", "--backend", backend), tmp_path)
    assert loaded & (FRAMEWORKS - {"numpy"}) == set()
    assert (tmp_path / SOURCES[backend]).exists()


def test_importing_archspec_costs_nothing(tmp_path: Path) -> None:
    loaded = imported("import archspec\nassert archspec.__version__", tmp_path)
    assert loaded & (FRAMEWORKS | {"pydantic", "yaml", "typer", "rich", "click"}) == set()


def test_analysing_in_python_needs_neither_typer_nor_rich(tmp_path: Path) -> None:
    statements = "import archspec\nassert archspec.analyze('alexnet').totals.params"
    loaded = imported(statements, tmp_path)
    assert loaded & (FRAMEWORKS | {"typer", "rich", "click"}) == set()


@pytest.mark.parametrize(
    ("backend", "others"),
    [
        ("torch", {"tensorflow", "keras", "jax", "onnx"}),
        ("numpy", {"tensorflow", "keras", "jax", "torch", "onnx"}),
        ("onnx", {"tensorflow", "keras", "jax", "torch"}),
    ],
)
def test_a_backend_imports_no_other(backend: str, others: set[str], tmp_path: Path) -> None:
    statements = command("build", "alexnet-small", "--backend", backend)
    assert imported(statements, tmp_path) & others == set()
