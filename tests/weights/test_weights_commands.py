"""`archspec weights convert` and `inspect`: what they print, refuse and write."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_files import random_weights, same

import archspec
from archspec import catalog, weights
from archspec.backends.initial import initial_weights
from archspec.cli import main
from archspec.weights.inspection import inspect

SPEC = """\
archspec: 1
name: tiny
input: {channels: 3, height: 6, width: 6}
variables: {classes: 4}
layers:
  - {name: conv, type: conv2d, filters: 2, kernel_size: 3}
  - {name: norm, type: batch_norm, eps: 1.0e-3, decay: 0.9}
  - {name: flat, type: flatten}
  - {name: fc, type: dense, units: $classes}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Three shipped specs: a search through all of them takes seconds.
    some = {name: catalog.shipped()[name] for name in ("lenet-5", "alexnet-small", "caffenet")}
    monkeypatch.setattr(catalog, "shipped", lambda: some)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(SPEC)
    graph = archspec.load("tiny.yaml")
    weights.save("tiny.safetensors", graph, random_weights(graph))
    return tmp_path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["archspec", "weights", *arguments])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return command


def test_the_group_lists_its_commands() -> None:
    for arguments in (["weights", "--help"], ["weights"]):
        done = subprocess.run(
            [sys.executable, "-m", "archspec", *arguments], capture_output=True, text=True
        )
        assert "convert" in done.stdout + done.stderr
        assert "inspect" in done.stdout + done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "archspec", "weights", "invert"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "No such command 'invert'" in done.stderr


def test_convert_tells_what_it_did(folder: Path, run: Any) -> None:
    status, out, err = run("convert", "tiny.safetensors", "tiny.npy", "--spec", "tiny.yaml")
    assert (status, err) == (0, "wrote tiny.npy\n")
    assert out.startswith("Weights from tiny.safetensors (archspec's store)\n")
    status, out, err = run(
        "convert", "tiny.npy", "back.safetensors", "--spec", "tiny.yaml", "--format", "json"
    )
    found = json.loads(out)
    assert (status, found["written"], found["missing"]) == (0, "back.safetensors", [])
    assert found["matches"][0] == {
        "name": "conv.weight",
        "source": "conv[0]",
        "shape": [2, 3, 3, 3],
        "found": [3, 3, 3, 2],
        "matched_by": "name",
        "changes": ["H,W,I,O to O,I,H,W", "B,G,R to R,G,B"],
    }
    assert Path("back.safetensors").read_bytes() == Path("tiny.safetensors").read_bytes()


def test_skipped_layers_are_drawn_as_the_spec_says(folder: Path, run: Any) -> None:
    options = ["--spec", "tiny.yaml", "--set", "classes=7", "--skip", "fc", "--seed", "3"]
    assert run("convert", "tiny.safetensors", "new.safetensors", *options)[0] == 0
    graph = archspec.load("tiny.yaml", classes=7)
    found = weights.load("new.safetensors", graph).weights
    drawn = initial_weights(graph, 3)
    before = random_weights(archspec.load("tiny.yaml"))
    expected = {
        name: drawn[name].astype("float32") if name.startswith("fc.") else before[name]
        for name in drawn
    }
    same(found, expected)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nothing.pth", "a.npy"], "nothing.pth does not exist"),
        (["tiny.safetensors", "a.what"], "a.what has no ending that archspec writes"),
        (["tiny.safetensors", "no/a.npy"], "there is no folder no; make it first"),
        (["tiny.safetensors", "a.npy", "--set", "classes=5"], "--set classes=4 fits"),
        (["tiny.safetensors", "a.npy", "--skip", "fcc"], "did you mean `fc`?"),
        (["part.npz", "a.npy"], "part.npz has no `fc.weight`, `fc.bias`; --skip fc leaves it as"),
    ],
)
def test_what_cannot_be_converted(
    folder: Path, run: Any, arguments: list[str], expected: str
) -> None:
    arrays = random_weights(archspec.load("tiny.yaml"))
    np.savez("part.npz", **{k: v for k, v in arrays.items() if not k.startswith("fc.")})
    before = sorted(folder.iterdir())
    status, out, err = run("convert", *arguments, "--spec", "tiny.yaml")
    assert (status, out) == (2, "")
    assert err.startswith("archspec: ")
    assert expected in err
    assert err.count("\n") == 1
    assert sorted(folder.iterdir()) == before


def test_figures_of_a_file(folder: Path, run: Any) -> None:
    arrays = {
        "fc.weight": np.array([[1.0, 2.0], [np.nan, 6.0]], "float64"),
        "fc.bias": np.array([np.inf, -np.inf], "float32"),
        "fc.steps": np.array([3, 5], "int64"),
        "fc.none": np.zeros((0, 3), "float32"),
        "fc.one": np.float32(7),
    }
    np.savez("odd.npz", **arrays)
    status, out, err = run("inspect", "odd.npz", "--format", "json")
    assert (status, err) == (0, "")
    tensors = {tensor.pop("name"): tensor for tensor in json.loads(out)["tensors"]}
    assert tensors["fc.weight"] == {
        "shape": [2, 2], "dtype": "float64", "bytes": 32, "min": 1.0, "max": 6.0, "mean": 3.0,
        "std": pytest.approx(np.std([1, 2, 6])), "not_finite": 1,
    }  # fmt: skip
    assert tensors["fc.bias"]["not_finite"] == 2
    assert tensors["fc.bias"]["mean"] is None
    assert (tensors["fc.steps"]["dtype"], tensors["fc.steps"]["mean"]) == ("int64", 4.0)
    assert (tensors["fc.none"]["shape"], tensors["fc.none"]["min"]) == ([0, 3], None)
    assert (tensors["fc.one"]["shape"], tensors["fc.one"]["std"]) == ([], 0.0)
    out = run("inspect", "odd.npz")[1]
    assert "Not finite (NaN or infinite): 3 numbers in 2 tensors; no command loads them." in out


def test_figures_of_many_numbers(folder: Path) -> None:
    """More than are looked at at once."""
    numbers = np.random.default_rng(0).normal(5, 2, 3_000_000).astype("float32")
    np.savez("many.npz", **{"a.weight": numbers})
    (found,) = inspect("many.npz", look_for_specs=False).tensors
    assert found.mean == pytest.approx(numbers.mean(dtype="float64"), rel=1e-12)
    assert found.deviation == pytest.approx(numbers.std(dtype="float64"), rel=1e-12)
    assert (found.least, found.largest) == (numbers.min(), numbers.max())


def test_how_a_file_fits_a_spec(folder: Path, run: Any) -> None:
    status, out, _ = run(
        "inspect", "tiny.safetensors", "--spec", "tiny.yaml", "--skip", "fc", "--format", "json"
    )
    found = json.loads(out)
    assert (status, found["fits"], found["metadata"]["archspec.network"]) == (0, None, "tiny")
    assert found["match"]["skipped"] == ["fc.weight", "fc.bias"]
    status, out, err = run("inspect", "tiny.safetensors", "--spec", "lenet-5")
    assert (status, out) == (2, "")
    assert "no layer that fits lenet-5" in err


def test_the_shipped_specs_that_fit(folder: Path) -> None:
    graph = archspec.load("lenet-5")
    arrays = random_weights(graph)
    turned = {
        name: array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
        for name, array in arrays.items()
    }
    np.savez("lenet.npz", **turned)
    assert inspect("lenet.npz").fits == ("lenet-5",)
    *_, last = (name for name in arrays if name.endswith(".weight"))
    turned[last] = np.zeros((84, 3), "f4")
    turned[last.replace("weight", "bias")] = np.zeros(3, "f4")
    np.savez("lenet.npz", **turned)
    found = inspect("lenet.npz")
    assert (found.fits, found.nearly) == ((), (("lenet-5", last.rpartition(".")[0]),))


def test_names_in_a_file_cannot_write_to_the_terminal(folder: Path, run: Any) -> None:
    np.savez("odd.npz", **{"\x1b[31mred\nline.weight": np.zeros(3, "f4")})
    out = run("inspect", "odd.npz")[1]
    assert "\x1b" not in out
    assert "red?line" in out
