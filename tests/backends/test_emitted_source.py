"""The emitted files: golden copies, format, lint, imports, and that they run by themselves.

After a change that is meant, `ARCHSPEC_UPDATE_GOLDEN=1 pytest tests/backends` writes the golden
files anew; read their diff before it is committed.
"""

from __future__ import annotations

import ast
import itertools
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from networks import (
    EXAMPLES,
    SOON,
    branching,
    example_network,
    family_heads,
    heads,
    layer,
    network,
    ruff,
)

import archspec
from archspec.backends import get_backend
from archspec.graph import Graph

BACKENDS = ("keras", "numpy", "torch")
GOLDEN = Path(__file__).parents[1] / "data" / "golden"
ALLOWED = {
    "keras": {"keras", "math", "collections.abc"},
    "numpy": {"numpy", "math", "zlib"},
    "torch": {"torch", "torch.nn.functional"},
}


def golden_networks() -> dict[str, Graph]:
    return {"alexnet": archspec.load("alexnet"), "branching": branching(), "heads": heads()}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["alexnet", "branching", "heads"])
def test_the_source_is_the_golden_one(name: str, backend: str) -> None:
    source = get_backend(backend).emit(golden_networks()[name])
    source = source.replace(f"archspec {archspec.__version__} ", "archspec VERSION ")
    file = GOLDEN / f"{name}_{backend}.py"
    if os.environ.get("ARCHSPEC_UPDATE_GOLDEN"):
        file.write_text(source, encoding="utf-8")
    assert source == file.read_text(encoding="utf-8")


def networks() -> Iterator[tuple[str, Graph]]:
    for name in (*family_heads(), "efficientnet-v2-l"):
        yield name, archspec.load(name)
    for id, kind, example in EXAMPLES:
        yield id, example_network(kind, example)
    yield "branching", branching()
    yield "heads", heads()


@pytest.fixture(scope="module")
def emitted() -> dict[tuple[str, str], str]:
    return {
        (name, backend): get_backend(backend).emit(graph)
        for name, graph in networks()
        for backend in BACKENDS
    }


def test_ruff_finds_nothing(emitted: dict[tuple[str, str], str], tmp_path: Path) -> None:
    assert ruff(tmp_path, {"_".join(key): source for key, source in emitted.items()}) == ""


def imports(source: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            assert node.module is not None
            found.add(node.module)
    return found


def test_the_files_stand_alone(emitted: dict[tuple[str, str], str]) -> None:
    for (name, backend), source in emitted.items():
        assert imports(source) <= ALLOWED[backend], (name, backend)
        assert "exec(" not in source
        assert "eval(" not in source.replace(".eval(", "")


def test_every_import_is_used_and_the_keras_source_is_portable(
    emitted: dict[tuple[str, str], str],
) -> None:
    for (name, backend), source in emitted.items():
        if backend == "keras":
            assert not re.search(r"\b(tensorflow|tf|torch|jax|np)\.", source), name


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_header_says_where_it_comes_from(backend: str) -> None:
    graph = archspec.load("alexnet-224")
    with pytest.raises(archspec.SpecError):
        archspec.emit(graph, backend=backend)  # 54.25 rows cannot be built
    graph = archspec.load("alexnet-2012-code")
    doc = ast.get_docstring(ast.parse(archspec.emit(graph, backend=backend)))
    assert doc is not None
    assert f"Written by archspec {archspec.__version__} from the spec alexnet-2012-code" in doc
    assert graph.hash in doc
    assert "224" in doc


def test_a_thousand_layers_in_blocks(tmp_path: Path) -> None:
    """Written in a moment, in paragraphs, with one loop that draws what begins alike."""
    layers = [layer("stem", "conv2d", filters=4, kernel_size=1)]
    before = "stem"
    for stage, block in itertools.product(range(1, 6), range(1, 41)):
        name = f"stage{stage}.block{block}"
        conv = {"filters": 4, "kernel_size": 3, "padding": 1, "bias": False}
        layers += [
            layer(f"{name}.first.conv", "conv2d", before, **conv),
            layer(f"{name}.first.norm", "batch_norm", eps=1e-5, decay=0.9),
            layer(f"{name}.relu", "relu"),
            layer(f"{name}.second.conv", "conv2d", **conv),
            layer(f"{name}.add", "add", f"{name}.second.conv", before),
        ]
        before = f"{name}.add"
    graph = network([*layers, layer("pool", "global_avg_pool2d"), layer("fc", "dense", units=2)])
    sources, began = {}, time.perf_counter()
    for backend in BACKENDS:
        sources[backend] = get_backend(backend).emit(graph)
        compile(sources[backend], backend, "exec")
    assert time.perf_counter() - began < SOON
    assert ruff(tmp_path, sources) == ""
    assert sources["torch"].count("        block = self.stage") == 400
    assert sources["torch"].count("isinstance(layer, nn.Conv2d)") == 1
    assert sources["keras"].count("        # stage") == 200
    drawn = get_backend("torch").build(graph)
    assert drawn.stem.bias.std() > 0
    assert drawn.stage5.block40.second.conv.weight.std() > 0.3


def test_emitting_is_deterministic(emitted: dict[tuple[str, str], str]) -> None:
    for backend in BACKENDS:
        assert get_backend(backend).emit(branching()) == emitted["branching", backend]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_file_runs_by_itself(backend: str, tmp_path: Path) -> None:
    name = f"alexnet_small_{backend}.py"
    (tmp_path / name).write_text(archspec.emit("alexnet-small", backend=backend))
    # In the folder of the file, without this checkout on the path and without user packages.
    command = [sys.executable, "-s", "-W", "error::SyntaxWarning", name]
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "KERAS_BACKEND")}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert re.search(r"378,058 (parameters|numbers)|Total params: 378,058", run.stdout)
    assert re.search(r"\(1, 10\)", run.stdout)
    assert all(layer in run.stdout for layer in ("conv1", "norm1", "pool5", "fc8"))
