"""Processes that train together: two that torchrun started (processes.py), and one alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archspec.backends import get_backend, trainable_backends
from archspec.backends.base import ALONE, TrainableBackend
from archspec.diagnostics import ArchspecError

FAILING = "photos/7.png cannot be read"

Found = dict[tuple[str, int], Any]


@pytest.fixture(scope="module")
def found(launched: Path) -> Found:
    """What each of two processes found, by the name of the check and the rank."""
    texts = [(launched / f"checks-{rank}.json").read_text() for rank in (0, 1)]
    return {(name, rank): result for text in texts for name, rank, result in json.loads(text)}


pytestmark = pytest.mark.xdist_group("torchrun")
slow = pytest.mark.slow


@slow
@pytest.mark.parametrize("rank", [0, 1])
def test_sums_are_float64_and_the_same_in_every_process(found: Found, rank: int) -> None:
    assert found["numbers", rank] == [[0.1 + 0.2, 2e-12, 1.0], True, False]


@slow
def test_batch_norm_has_the_statistics_of_the_whole_batch(found: Found) -> None:
    for rank in (0, 1):
        differences = found["normalized", rank]
        names = {name.partition(".")[0] for name in differences}
        assert names == {"conv", "unbiased", "biased", "plain", "frozen", "fc", "of_a_vector"}
        assert max(differences.values()) < 1e-13, differences


@slow
@pytest.mark.parametrize("way", ["adamw", "adamw, divided", "sgd", "sgd, divided"])
def test_processes_train_as_one_does(found: Found, way: str) -> None:
    # Losses, logits, weights and what the optimiser remembers; in halves, or with a part of each
    # tensor too.
    memory = "first_moment" if way.startswith("adamw") else "velocity"
    for rank in (0, 1):
        differences = found["trained", rank][way]
        assert {"losses", "logits", "aux1.fc.weight", f"{memory}.aux1.fc.weight"} < set(differences)
        assert max(differences.values()) < 1e-12, differences


@slow
@pytest.mark.parametrize("rank", [0, 1])
def test_all_take_a_step_back_that_is_none_for_one(found: Found, rank: int) -> None:
    # Whole and divided: left out, nothing changed, and the next step is taken.
    assert found["attempted", rank] == [[None, True, True]] * 2


@slow
def test_each_process_draws_other_masks(found: Found) -> None:
    first, second = found["masked", 0], found["masked", 1]
    for drawn in (first, second):
        assert drawn[0] == drawn[1] != drawn[2]
    assert not set(map(tuple, first)) & set(map(tuple, second))


@slow
def test_the_message_of_a_failing_process_is_its_own_and_the_other_ends(found: Found) -> None:
    assert found["one_fails", 1] == f"ArchspecError: {FAILING}"
    assert found["one_fails", 0] == "exit 2"


@slow
def test_what_all_say_is_said_once(found: Found) -> None:
    said = sorted(found["all_fail", rank] for rank in (0, 1))
    assert said == ["ArchspecError: a batch of 3 does not divide", "exit 2"]


@slow
def test_a_process_that_is_killed_is_missed(found: Found) -> None:
    assert found["one_is_gone", 0].startswith("ArchspecError: process 0 of 2 lost another one")
    assert "--resume" in found["one_is_gone", 0]


def test_one_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv("TF_CONFIG", raising=False)
    for backend in trainable_backends():
        assert backend.group("cpu") is ALONE
    monkeypatch.setenv("WORLD_SIZE", "1")  # torchrun --nproc-per-node 1
    assert backend.group("cpu") is ALONE
    assert ALONE.sum(np.array([1, 2], "float32")).dtype == np.float64
    assert ALONE.any(True)
    assert not ALONE.any(False)
    with pytest.raises(ArchspecError, match="said"), ALONE.together():
        raise ArchspecError("said")


def test_torchrun_is_for_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ArchspecError, match=r"4 processes .* the keras backend trains in one"):
        trainable("keras").group("cpu")


def test_processes_that_do_not_find_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ArchspecError, match=r"did not find the others: .*RANK.*torchrun"):
        trainable("torch").group("cpu")


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from archspec.backends.torch.group import own_gpu

    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert own_gpu(3) == 2
    with pytest.raises(ArchspecError, match=r"4 processes .* PyTorch sees 2 .*--nproc-per-node 2"):
        own_gpu(2)


@pytest.mark.parametrize("text", ["workers: 2", "[1]", '{"cluster": 2}'])
def test_a_wrong_tf_config(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ArchspecError, match="TF_CONFIG is not as TensorFlow takes it"):
        trainable("keras").group("cpu")


def trainable(name: str) -> TrainableBackend:
    backend = get_backend(name)
    assert isinstance(backend, TrainableBackend)
    return backend
