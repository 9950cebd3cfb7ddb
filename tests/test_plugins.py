"""Layers and backends of other packages: the one in docs/plugins.md, and ones with mistakes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest
from networks import ruff
from pages import ROOT, blocks

PAGE = ROOT / "docs" / "plugins.md"
SPEC = {
    "archspec": 1,
    "name": "net",
    "input": {"channels": 3, "height": 4, "width": 4},
    "layers": [
        {"name": "conv", "type": "conv2d", "filters": 2, "kernel_size": 1},
        {"name": "mine", "type": "learned_swish"},
    ],
}


def python(folder: Path, packages: Path | None, *arguments: str) -> subprocess.CompletedProcess:
    """A fresh interpreter that sees the packages of a folder, besides this checkout."""
    tests = ROOT / "tests"
    path = [str(ROOT), str(tests), str(tests / "backends"), *([str(packages)] if packages else [])]
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=240,
    )


def archspec(folder: Path, packages: Path, *arguments: str) -> subprocess.CompletedProcess:
    (folder / "net.yaml").write_text(json.dumps(SPEC))
    return python(folder, packages, "-m", "archspec", *arguments)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the page, installed by pip."""
    home = tmp_path_factory.mktemp("example")
    for block in blocks(PAGE):
        if block.file and block.file.startswith("archspec-swish/"):
            path = home / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
    target, source = home / "packages", home / "archspec-swish"
    offline = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    pip = python(home, None, "-m", "pip", "install", *offline, "--target", str(target), str(source))
    assert pip.returncode == 0, pip.stderr
    return target


def test_the_backends_agree_on_the_examples_of_the_page(installed: Path, tmp_path: Path) -> None:
    script = """
        from networks import example_network

        from archspec import verification
        from archspec.layers import layer_type

        for example in layer_type("learned_swish").examples:
            found = verification.verify(example_network("learned_swish", example))
            print(found.equal, found.judge, sorted({e.parameter for e in found.gradients}))
    """
    run = python(tmp_path, installed, "-c", dedent(script))
    assert run.returncode == 0, run.stderr
    first, second = run.stdout.splitlines()
    assert first == "True numpy ['input', 'layer.slope', 'stem.bias', 'stem.weight']"
    assert second == "True numpy ['input', 'stem.bias', 'stem.weight']"  # frozen


def test_the_reference_has_the_derivative_of_the_page(installed: Path, tmp_path: Path) -> None:
    script = """
        from networks import example_network
        from test_gradients import Case

        from archspec.backends.numpy import BACKEND as NUMPY
        from archspec.layers import layer_type

        for example in layer_type("learned_swish").examples:
            case = Case(example_network("learned_swish", example))
            found, expected = case.gradients(), case.gradients("torch")
            largest = max(abs(found[name] - slope).max() for name, slope in expected.items())
            print(NUMPY.differentiates(case.graph), largest < 1e-13, *sorted(expected))
    """
    run = python(tmp_path, installed, "-c", dedent(script))
    assert run.returncode == 0, run.stderr
    first, second = run.stdout.splitlines()
    assert first.startswith("True True ")
    assert "layer.slope" in first
    assert second.startswith("True True ")


def test_without_a_derivative_the_frameworks_are_compared(installed: Path, tmp_path: Path) -> None:
    entries = installed / "archspec_swish" / "entries.py"
    packages = tmp_path / "packages"
    shutil.copytree(installed, packages)
    text = entries.read_text(encoding="utf-8").replace(", derivatives=DERIVATIVES", "")
    (packages / "archspec_swish" / "entries.py").write_text(text, encoding="utf-8")
    script = """
        import archspec
        from archspec.backends.numpy import BACKEND as NUMPY
        from archspec.diagnostics import ArchspecError

        graph = archspec.load("net.yaml")
        print(NUMPY.differentiates(graph))
        try:
            import numpy as np
            NUMPY.gradients(graph, NUMPY.build(graph), np.ones((1, 3, 4, 4)), [])
        except ArchspecError as error:
            print(error)
    """
    (tmp_path / "net.yaml").write_text(json.dumps(SPEC))
    run = python(tmp_path, packages, "-c", dedent(script))
    assert run.returncode == 0, run.stderr
    answer, error = run.stdout.splitlines()
    assert answer == "False"
    assert error.startswith("the NumPy reference knows no derivative of `learned_swish`")


def test_the_emitted_files_stand_alone(installed: Path, tmp_path: Path) -> None:
    sources = {}
    for backend in ("keras", "numpy", "torch"):
        run = archspec(
            tmp_path, installed, "build", "net.yaml", "--backend", backend, "--source-only"
        )
        assert run.returncode == 0, run.stderr
        file = tmp_path / f"net_{backend}.py"
        sources[backend] = file.read_text()
        assert "archspec_swish" not in sources[backend]
        alone = python(tmp_path, None, file.name)
        assert alone.returncode == 0, alone.stderr
    (tmp_path / "ruff").mkdir()
    assert ruff(tmp_path / "ruff", sources) == ""


def test_an_entry_of_onnx_is_an_expression_of_operators(installed: Path, tmp_path: Path) -> None:
    run = archspec(tmp_path, installed, "build", "net.yaml", "--backend", "onnx", "--source-only")
    assert run.returncode == 0, run.stderr
    text = (tmp_path / "net.onnxtxt").read_text()
    assert '"mine/Mul" = Mul (conv, "mine/Unsqueeze")' in text
    script = """
        import numpy as np
        from networks import example_network

        from archspec.backends.numpy import BACKEND as NUMPY
        from archspec.backends.onnx import BACKEND
        from archspec.layers import layer_type

        for example in layer_type("learned_swish").examples:
            graph = example_network("learned_swish", example)
            images = np.ones((2, *graph.input_shape), "float32")
            model = BACKEND.build(graph)
            found = BACKEND.activations(graph, model, images)["layer"]
            numpy = NUMPY.build(graph)
            NUMPY.load_weights(graph, numpy, BACKEND.save_weights(graph, model))
            print(np.allclose(found, numpy(images), rtol=1e-5, atol=1e-6))
    """
    run = python(tmp_path, installed, "-c", dedent(script))
    assert run.stdout == "True\nTrue\n", run.stderr


def test_the_schema_and_the_suggestions_know_the_layer_type(
    installed: Path, tmp_path: Path
) -> None:
    schema = json.loads(archspec(tmp_path, installed, "schema").stdout)
    assert {"$ref": "#/$defs/LearnedSwish"} in schema["$defs"]["Entry"]["oneOf"]
    assert "slope_init" in schema["$defs"]["LearnedSwish"]["properties"]
    wrong = json.dumps(SPEC).replace("learned_swish", "learned_swich")
    (tmp_path / "wrong.yaml").write_text(wrong)
    run = archspec(tmp_path, installed, "check", "wrong.yaml")
    assert "did you mean `learned_swish`?" in run.stdout + run.stderr


def test_a_package_is_imported_only_when_it_is_used(installed: Path, tmp_path: Path) -> None:
    script = "import archspec, sys; archspec.analyze({!r}); print('archspec_swish' in sys.modules)"
    (tmp_path / "net.yaml").write_text(json.dumps(SPEC))
    for spec, expected in (("alexnet", "False"), ("net.yaml", "True")):
        run = python(tmp_path, installed, "-c", script.format(spec))
        assert run.stdout.strip() == expected, run.stderr


def test_other_tools_have_figures_where_the_module_does_not_matter(
    installed: Path, tmp_path: Path
) -> None:
    run = archspec(tmp_path, installed, "analyze", "net.yaml", "--conventions", "--format", "json")
    assert run.returncode == 0, run.stderr
    figures = json.loads(run.stdout)["conventions"]["figures"]
    found = {(figure["tool"], figure["quantity"]): figure for figure in figures}
    macs = found["torchinfo", "mult-adds"]
    assert macs["value"] is None
    reason = "what it counts for `learned_swish` (LearnedSwish) of a plug-in is not known"
    assert macs["impossible"] == reason
    params = 3 * 2 + 2 + 2
    assert found["torchinfo", "params"]["value"] == params
    assert found["Keras summary", "params"]["value"] == params


LAYER = """
    from typing import Literal
    from archspec.layers.base import Layer

    class Mine(Layer):
        '''x.'''
        type: Literal["learned_swish"]
"""
ENTRY = """
    from pathlib import Path
    from archspec.backends.source import call
    from archspec.backends.table import LayerEntry

    ENTRY = LayerEntry(lambda c: call("{helper}"), Path(__file__).with_name("helpers_{name}.py"))
"""


def package(folder: Path, name: str, points: Mapping[str, str], **modules: str) -> None:
    """An installed distribution with these entry points (by group) and modules."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    announced = (f"[{group}]\n{point}\n" for group, point in points.items())
    (info / "entry_points.txt").write_text("\n".join(announced))
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(dedent(text))


def fails(folder: Path, *arguments: str) -> str:
    """The one line that a command with these packages ends in."""
    run = archspec(folder, folder / "packages", *arguments)
    assert run.returncode == 2, run.stdout + run.stderr
    (line,) = run.stderr.strip().splitlines()
    assert "Traceback" not in line
    return line


TYPE = "archspec.layers"


def test_a_layer_type_that_two_packages_add(tmp_path: Path) -> None:
    for name in ("one", "two"):
        points = {TYPE: f"learned_swish = {name}:Mine"}
        package(tmp_path / "packages", name, points, **{name: LAYER})
    line = fails(tmp_path, "analyze", "net.yaml")
    assert "one 1.0 and two 1.0 both announce `learned_swish`" in line


def test_a_layer_type_of_archspecs_own(tmp_path: Path) -> None:
    package(tmp_path / "packages", "other-relu", {TYPE: "relu = other:Relu"})
    line = fails(tmp_path, "analyze", "alexnet")
    assert "`relu` of the plug-in other-relu 1.0 is one of archspec's own" in line


def test_a_package_that_cannot_be_imported_hurts_only_who_uses_it(tmp_path: Path) -> None:
    broken = "import a_package_that_is_not_there\n"
    package(tmp_path / "packages", "mine", {TYPE: "learned_swish = mine:Mine"}, mine=broken)
    line = fails(tmp_path, "analyze", "net.yaml")
    assert "the plug-in mine 1.0 cannot be loaded: mine:Mine: ModuleNotFoundError" in line
    assert "a_package_that_is_not_there" in line
    assert archspec(tmp_path, tmp_path / "packages", "analyze", "alexnet").returncode == 0


@pytest.mark.parametrize(
    "module", ["Mine = 3\n", LAYER.replace("learned_swish", "other_name"), "class Mine: pass\n"]
)
def test_what_is_no_layer_type_of_that_name(module: str, tmp_path: Path) -> None:
    package(tmp_path / "packages", "mine", {TYPE: "learned_swish = mine:Mine"}, mine=module)
    line = fails(tmp_path, "analyze", "net.yaml")
    assert "the plug-in mine 1.0: mine:Mine must be a class derived from" in line
    assert '`type: Literal["learned_swish"]`' in line


def torch_entry(
    folder: Path, helper: str = "Mine", helpers: str = "", entry: str | None = None
) -> str:
    """What building in PyTorch says to a package with such an entry and helpers."""
    points = {
        TYPE: "learned_swish = mine:Mine",
        f"{TYPE}.torch": "learned_swish = entry:ENTRY",
    }
    entry = entry or ENTRY.format(helper=helper, name="mine")
    modules = {"mine": LAYER, "entry": entry, "helpers_mine": helpers}
    package(folder / "packages", "mine", points, **modules)
    return fails(folder, "build", "net.yaml", "--backend", "torch", "--source-only")


def test_a_backend_that_a_package_does_not_know(tmp_path: Path) -> None:
    package(tmp_path / "packages", "mine", {TYPE: "learned_swish = mine:Mine"}, mine=LAYER)
    assert archspec(tmp_path, tmp_path / "packages", "analyze", "net.yaml").returncode == 0
    for backend in ("keras", "numpy", "torch"):
        line = fails(tmp_path, "build", "net.yaml", "--backend", backend, "--source-only")
        assert f"the plug-in mine 1.0 has no entry for the {backend} backend" in line
        assert f"`archspec.layers.{backend}`" in line


def test_an_entry_of_another_kind(tmp_path: Path) -> None:
    line = torch_entry(tmp_path, entry="ENTRY = None\n")
    assert "entry:ENTRY must be an archspec.backends.table.LayerEntry" in line


@pytest.mark.parametrize(
    ("helpers", "said"),
    [
        (
            "import torch\nimport einops\n",
            "line 2 of its helpers helpers_mine.py is `import einops`",
        ),
        ("from torch import fft\n", "is `from torch import fft`"),
        ("LIMIT = 3\n", "is `LIMIT = 3`"),
        ("class Mine(:\n", "helpers_mine.py cannot be read"),
    ],
)
def test_helpers_that_cannot_stand_in_an_emitted_file(
    helpers: str, said: str, tmp_path: Path
) -> None:
    line = torch_entry(tmp_path, helpers=helpers)
    assert "the plug-in mine 1.0" in line
    assert said in line


def test_a_helper_called_as_one_of_archspec(tmp_path: Path) -> None:
    line = torch_entry(tmp_path, helpers="class Scale:\n    pass\n")
    assert "archspec and mine 1.0 both have a helper called `Scale`" in line


def test_backends_with_mistakes(tmp_path: Path) -> None:
    points = {"archspec.backends": "mine = mine:BACKEND\nother = mine:OTHER\nthird = nothing:A"}
    package(tmp_path / "packages", "mine", points, mine="BACKEND = 3\n")
    line = fails(tmp_path, "build", "alexnet", "--backend", "mine")
    assert "mine:BACKEND must be an object of a class derived from" in line
    line = fails(tmp_path, "build", "alexnet", "--backend", "other")
    assert "the plug-in mine 1.0 cannot be loaded: mine:OTHER: AttributeError" in line
    line = fails(tmp_path, "build", "alexnet", "--backend", "third")
    assert "nothing:A: ModuleNotFoundError" in line
    package(tmp_path / "packages", "more", {"archspec.backends": "torch = mine:BACKEND"})
    line = fails(tmp_path, "build", "alexnet", "--backend", "numpy")
    assert "both announce `torch`" in line
    assert "archspec-nn" in line
    assert "more 1.0" in line
