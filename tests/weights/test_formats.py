"""Files that the real libraries wrote are read, without those libraries, number for number."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_files import bvlc_dictionary, python2_npy, random_weights, same, small_alexnet

from archspec import weights
from archspec.backends.initial import initial_weights
from archspec.weights import readers

torch = pytest.importorskip("torch")

GRAPH = small_alexnet()
WEIGHTS = random_weights(GRAPH)


def state_dict() -> dict[str, Any]:
    return {name: torch.from_numpy(weight) for name, weight in WEIGHTS.items()}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".whatever", ""])
def test_a_state_dict(tmp_path: Path, zipped: bool, suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    torch.save(state_dict(), path, _use_new_zipfile_serialization=zipped)
    found = weights.load(path, GRAPH)
    assert (found.format, found.missing, found.extra) == ("PyTorch", (), ())
    same(found.weights, WEIGHTS)
    assert {match.how for match in found.matches} == {"name"}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_storages_that_are_shared_transposed_and_of_every_format(
    tmp_path: Path, zipped: bool
) -> None:
    """Views as PyTorch keeps them: offsets and strides."""
    whole = torch.arange(24, dtype=torch.float64).reshape(4, 6)
    tensors = {
        "a.transposed": whole.T,
        "a.column": whole[:, 2],
        "a.block": whole[1:3, 2:5],
        "a.scalar": torch.tensor(3.5),
        "a.empty": torch.zeros(0, 3),
        "a.half": torch.tensor([1.5, -2.0]).half(),
        "a.bfloat": torch.tensor([1.5, -3.25]).bfloat16(),
        "a.integers": torch.tensor([1, -2]),
        "a.yes": torch.tensor([True, False]),
        "a.parameter": torch.nn.Parameter(torch.ones(2, 2)),
    }
    path = tmp_path / "net.pth"
    torch.save(tensors, path, _use_new_zipfile_serialization=zipped)
    found = {tensor.name: tensor for tensor in readers.read(path).tensors}
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        expected = (
            tensor.detach().float().numpy() if name == "a.bfloat" else tensor.detach().numpy()
        )
        assert found[name].value.shape == expected.shape
        np.testing.assert_array_equal(found[name].value, expected)
    assert found["a.bfloat"].stored == "bfloat16"


def test_a_checkpoint_with_everything_around_the_weights(tmp_path: Path) -> None:
    """Optimiser, counters, arguments, an average of the weights and what wraps the names."""
    import argparse

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1, momentum=0.9)
    wrapped = {f"module._orig_mod.{name}": tensor for name, tensor in state_dict().items()}
    wrapped["module._orig_mod.conv1.num_batches_tracked"] = torch.tensor(3)
    checkpoint = {
        "epoch": 3,
        "args": argparse.Namespace(lr=0.1),
        "best": np.float64(0.5),
        "optimizer": optimizer.state_dict(),
        "state_dict_ema": {name: tensor + 1 for name, tensor in wrapped.items()},
        "state_dict": wrapped,
    }
    path = tmp_path / "checkpoint.ckpt"
    torch.save(checkpoint, path)
    found = weights.load(path, GRAPH)
    same(found.weights, WEIGHTS)
    assert found.extra == ()
    said = " ".join(found.notes)
    assert "taken from `state_dict` of a checkpoint" in said
    assert "Left out of the checkpoint: optimizer, state_dict_ema." in said
    assert "Left out: 1 that count" in said
    assert "begins with `module._orig_mod.`" in said


def test_averages_beside_the_weights_are_left_out(tmp_path: Path) -> None:
    tensors = state_dict()
    tensors |= {f"ema_model.{name}": tensor + 1 for name, tensor in state_dict().items()}
    torch.save(tensors, tmp_path / "net.pth")
    found = weights.load(tmp_path / "net.pth", GRAPH)
    same(found.weights, WEIGHTS)
    assert any("averaged copies" in note for note in found.notes)


def test_safetensors_of_a_state_dict(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "model.safetensors"
    save_file({f"model.{name}": t for name, t in state_dict().items()}, path, {"format": "pt"})
    found = weights.load(path, GRAPH)
    same(found.weights, WEIGHTS)
    halves = {name: tensor.bfloat16() for name, tensor in state_dict().items()}
    save_file(halves, path)
    found = weights.load(path, GRAPH)
    same(found.weights, {name: t.float().numpy() for name, t in halves.items()})
    assert {match.changes for match in found.matches} == {("bfloat16 to float32",)}


@pytest.mark.parametrize("writer", ["python2", "numpy", "numpy-2d-lists", "dictionaries"])
def test_the_dictionary_of_bvlc_alexnet(tmp_path: Path, writer: str) -> None:
    dictionary: Any = bvlc_dictionary(GRAPH, WEIGHTS)
    path = tmp_path / "bvlc_alexnet.npy"
    if writer == "python2":
        path.write_bytes(python2_npy(dictionary))
    elif writer == "dictionaries":
        named = {k: {"weights": w, "biases": b} for k, (w, b) in dictionary.items()}
        np.save(path, np.array(named, object), allow_pickle=True)
    else:
        if writer == "numpy-2d-lists":
            dictionary = {name.encode(): tuple(arrays) for name, arrays in dictionary.items()}
        np.save(path, np.array(dictionary, object), allow_pickle=True)
    found = weights.load(path, GRAPH)
    same(found.weights, WEIGHTS)
    changes = {match.name: match.changes for match in found.matches}
    assert changes["conv1.weight"] == ("H,W,I,O to O,I,H,W", "B,G,R to R,G,B")
    assert changes["conv2.weight"] == ("H,W,I,O to O,I,H,W",)
    assert changes["fc6.weight"] == ("I,O to O,I", "inputs from H,W,C to C,H,W")
    assert changes["fc7.weight"] == ("I,O to O,I",)
    assert changes["fc8.bias"] == ()
    said = " ".join(found.notes)
    assert "`conv1` read B,G,R in the file (as its format has them)" in said
    assert "`fc6` read a map in the order H,W,C" in said
    kept = weights.load(path, GRAPH, colours="RGB", flatten="CHW")
    np.testing.assert_array_equal(kept.weights["conv1.weight"], WEIGHTS["conv1.weight"][:, ::-1])


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("names", ["{layer}.{role}", "{layer}/{tf}", "{layer}_{short}", "numbers"])
def test_an_archive_of_arrays(tmp_path: Path, compressed: bool, names: str) -> None:
    arrays = {}
    for number, (name, weight) in enumerate(WEIGHTS.items()):
        layer, _, role = name.partition(".")
        tf = {"weight": "weights", "bias": "biases"}[role]
        key = (
            f"arr_{number}"
            if names == "numbers"
            else names.format(
                layer=layer, role=role, tf=tf, short=tf[0].upper() if role == "weight" else "b"
            )
        )
        arrays[key] = weight
    path = tmp_path / "net.npz"
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    if names == "numbers":
        with pytest.raises(Exception, match="no layer that fits"):
            weights.load(path, GRAPH)
        return
    found = weights.load(path, GRAPH)
    same(found.weights, WEIGHTS)


def test_square_weights_without_axes_follow_the_others(tmp_path: Path) -> None:
    turned = {
        name: weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else weight.T
        for name, weight in WEIGHTS.items()
    }
    np.savez(tmp_path / "net.npz", **turned)
    found = weights.load(tmp_path / "net.npz", GRAPH)
    same(found.weights, WEIGHTS)
    assert any("`fc7.weight as I,O`, as the other layers are." in note for note in found.notes)
    assert any("`fc6` reads a flattened map is not known" in note for note in found.notes)


def test_no_framework_is_needed_to_read(tmp_path: Path) -> None:
    """The reader runs where torch cannot even be imported."""
    torch.save(state_dict(), tmp_path / "net.pth")
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from archspec.weights import readers\n"
        f"found = readers.read(__import__('pathlib').Path({str(tmp_path / 'net.pth')!r}))\n"
        "print(len(found.tensors), 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(initial_weights(GRAPH, 0))), "False"]
