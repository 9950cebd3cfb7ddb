"""`archspec build --weights`: the emitted file and the weights beside it need archspec no more."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import branching, heads
from safetensors.numpy import load_file

import archspec
from archspec import prediction, weights
from archspec.backends import backend_names, get_backend
from archspec.backends.initial import initial_weights
from archspec.graph import Graph
from archspec.plain import plain_spec
from archspec.training import RunOptions, run

Command = Callable[..., tuple[int, str, str]]

# Imports archspec nowhere, and runs the lines that were printed.
ALONE = """
import importlib, json, sys
sys.modules["archspec"] = None
sys.path.insert(0, ".")
import numpy as np
found = {}
for module, lines in json.load(open("lines.json")).items():
    network, _, backend = module.partition("_")
    images = np.load(f"{network}.npy")
    if backend == "onnx":
        import onnxruntime
        session = onnxruntime.InferenceSession(f"{network}.onnx")
        found[module] = session.run(None, {"input": images})[0]
        continue
    scope = vars(importlib.import_module(module))
    exec("\\n".join(lines), scope)
    model = scope["model"]
    if backend == "torch":
        found[module] = model.eval()(scope["torch"].from_numpy(images)).detach().numpy()
    elif backend == "keras":
        found[module] = np.asarray(model(images.transpose(0, 2, 3, 1), training=False))
    else:
        found[module] = model(images)
np.savez("found.npz", **found)
"""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archspec_command: Command) -> Command:
    """Runs `archspec build ARGUMENTS` in a folder: status, output, errors."""
    monkeypatch.chdir(tmp_path)

    return functools.partial(archspec_command, "build")


def drawn(graph: Graph, seed: int = 4) -> dict[str, np.ndarray]:
    return {name: value.astype("float32") for name, value in initial_weights(graph, seed).items()}


def write(graph: Graph, name: str = "net") -> dict[str, np.ndarray]:
    """`NAME.yaml` and `NAME.safetensors` in the working directory."""
    spec = Path(f"{name}.yaml")
    spec.write_text(plain_spec(graph).replace(f"name: {graph.name}", f"name: {name}", 1))
    values = drawn(archspec.load(spec))
    weights.save(f"{name}.safetensors", archspec.load(spec), values)
    return values


def loading_lines(printed: str) -> list[str]:
    """The two lines of Python that the command prints."""
    return re.findall(r"^    (model.*)$", printed, re.MULTILINE)


def test_a_backend_without_a_format_for_weights(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(type(get_backend("numpy")), "weight_files", ())
    write(heads())
    status, _, err = command("net.yaml", "--weights", "net.safetensors", "--backend", "numpy")
    assert status == 2
    assert "the numpy backend has no format for weights; `archspec weights convert`" in err
    assert not list(tmp_path.glob("*.py"))


@pytest.mark.slow
@pytest.mark.xdist_group("keras")
def test_the_files_give_the_logits_of_predict(command: Command, tmp_path: Path) -> None:
    """In every framework, in a fresh process that cannot import archspec."""
    lines, expected = {}, {}
    for graph in (branching(), heads()):
        write(graph, graph.name)
        file = f"{graph.name}.safetensors"
        for backend in backend_names():
            status, out, _ = command(f"{graph.name}.yaml", "--weights", file, "--backend", backend)
            assert status == 0
            lines[f"{graph.name}_{backend}"] = loading_lines(out)
            assert len(loading_lines(out)) == (0 if backend == "onnx" else 2)
        numbers = np.random.default_rng(0)
        images = numbers.standard_normal((2, *graph.input_shape)).astype("float32")
        np.save(f"{graph.name}.npy", images)
        classifier = prediction.classifier(file, graph, preprocessing={"mean": (0.0,) * 3})
        last = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
        expected[graph.name] = classifier.predictor.logits(last)
    Path("lines.json").write_text(json.dumps(lines))
    done = subprocess.run(
        [sys.executable, "-c", ALONE], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found = np.load("found.npz")
    assert set(found) == set(lines)
    for module in lines:
        logits = expected[module.partition("_")[0]]
        error = np.abs(found[module] - logits).max() / np.abs(logits).max()
        assert error < 1e-5, (module, error)


def test_what_a_pytorch_user_expects(command: Command, tmp_path: Path) -> None:
    """A state dict that PyTorch reads without executing anything, of exactly the file's numbers."""
    torch = pytest.importorskip("torch")
    values = write(heads())
    status, out, err = command("net.yaml", "--weights", "net.safetensors")
    assert (status, err) == (0, "")
    assert "wrote net_torch.pth: its weights, which these lines load\n" in out
    assert loading_lines(out) == [
        "model = Net()",
        'model.load_state_dict(torch.load("net_torch.pth", weights_only=True))',
    ]
    state = torch.load("net_torch.pth", weights_only=True)
    found = {k: v.numpy() for k, v in state.items() if not k.endswith("num_batches_tracked")}
    assert found.keys() == values.keys()
    for name, value in values.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_the_weights_of_a_run_with_its_spec(command: Command) -> None:
    Path("tiny.yaml").write_text(
        """\
archspec: 1
name: tiny
input: {channels: 1, height: 8, width: 8}
variables: {classes: 7}
layers:
  - {name: flatten, type: flatten}
  - {name: fc, type: dense, units: $classes}
"""
    )
    run("tiny.yaml", RunOptions(epochs=1, limit=40, device="cpu", output=Path("run")))
    kept = load_file(sorted(Path("run/checkpoints").iterdir())[-1] / "weights.safetensors")
    status, out, _ = command("--weights", "run", "--backend", "numpy")
    assert status == 0
    assert "class Tiny" in out
    assert 'model.weights = dict(np.load("tiny_numpy.npz"))' in out
    found = np.load("tiny_numpy.npz")
    assert found["fc.weight"].shape == (10, 64)
    for name, value in kept.items():
        np.testing.assert_array_equal(found[name], value)
    model: Any = archspec.build("run/spec.yaml", backend="numpy", weights="run")
    np.testing.assert_array_equal(model.weights["fc.weight"], kept["fc.weight"])


def test_skipped_layers_begin_as_the_spec_says(command: Command) -> None:
    write(heads())
    text = Path("net.yaml").read_text()
    other = re.sub(r"(name: fc, type: dense, units: )5", r"\g<1>9", text)
    assert other != text
    Path("other.yaml").write_text(other)
    status, _, err = command("other.yaml", "--weights", "net.safetensors", "--backend", "numpy")
    assert status == 2
    assert "--skip fc leaves it as the spec initialises it" in err
    status, _, _ = command(
        "other.yaml", "--weights", "net.safetensors", "--backend", "numpy", "--skip", "fc"
    )
    assert status == 0
    found = np.load("net_numpy.npz")
    first = drawn(archspec.load("other.yaml"), seed=0)
    np.testing.assert_array_equal(found["fc.weight"], first["fc.weight"])
    np.testing.assert_array_equal(
        found["stem.conv.weight"], load_file("net.safetensors")["stem.conv.weight"]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--source-only", "--weights", "net.safetensors"), "--source-only writes the source"),
        (("--skip", "fc"), "--skip is about the weights of a file; say which: --weights FILE"),
        (("--weights", "nowhere.npy"), "nowhere.npy does not exist"),
        (
            ("--weights", "net.safetensors", "--output", "net.pth"),
            "--output is the source, and net.pth a name for its weights",
        ),
        pytest.param(
            ("--source-only", "--output", "/dev/full"),
            "cannot write /dev/full: No space left on device",
            marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device"),
        ),
    ],
)
def test_mistakes(arguments: tuple[str, ...], message: str, command: Command) -> None:
    write(heads())
    before = sorted(Path().iterdir())
    status, out, err = command("net.yaml", *arguments)
    assert (status, out) == (2, "")
    assert err.startswith(f"archspec: {message}")
    assert sorted(Path().iterdir()) == before
