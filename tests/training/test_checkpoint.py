"""The run folder: whole files only, readable without archspec."""

from __future__ import annotations

import json
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_runs import TINY, recipe, write_spec

import archspec
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.training import checkpoint as module
from archspec.training.checkpoint import Checkpoint, RunFolder, RunRecord, State
from archspec.training.options import EpochMetrics
from archspec.training.schedule import ScheduleState
from archspec.weights.store import tensor_shapes


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    return archspec.load(write_spec(tmp_path))


@pytest.fixture
def folder(tmp_path: Path, graph: Graph) -> RunFolder:
    """A run that has begun."""
    made = RunFolder(tmp_path / "run")
    record = RunRecord(
        archspec="0", network="tiny", hash=graph.hash, backend="torch", engine="e", device="cpu",
        data="digits", limit=None, fingerprint="f", classes=("a", "b"), training_images=8,
        held_out_images=2, recipe=recipe(),
    )  # fmt: skip
    made.create(graph, record, "source\n")
    assert made.record() == record
    return made


def at(graph: Graph, epoch: int) -> Checkpoint:
    """A checkpoint in which every number is the epoch."""
    rows = tuple(
        EpochMetrics(e, e, 1.0, 1.0, 0.5, 1.0, 0.1, 100.0, 0.0) for e in range(1, epoch + 1)
    )
    weights = {
        name: np.full(shape, epoch, dtype="float32") for name, shape in tensor_shapes(graph).items()
    }
    state = State(epoch, graph.hash, 0.1, ScheduleState(0.5, 1, 0), rows)
    optimizer = {f"velocity.{name}": weight for name, weight in weights.items()}
    return Checkpoint(weights, optimizer, state)


def epoch_of(folder: RunFolder, graph: Graph) -> int:
    found = folder.load(graph)
    assert found is not None
    assert {float(w.min()) for w in found.weights.values()} == {float(found.state.epoch)}
    return found.state.epoch


def test_there_and_back(folder: RunFolder, graph: Graph) -> None:
    assert folder.load(graph) is None
    folder.save(graph, at(graph, 1))
    found = folder.load(graph)
    assert found is not None
    assert found.state == at(graph, 1).state
    assert {p.name for p in folder.path.iterdir()} == {
        "checkpoints", "model_torch.py", "run.json", "spec.yaml",
    }  # fmt: skip


def test_safetensors_alone_reads_it(folder: RunFolder, graph: Graph) -> None:
    folder.save(graph, at(graph, 3))
    for name, kind in (("weights", ""), ("optimizer", "velocity.")):
        found = load_file(folder.path / "checkpoints" / "last" / f"{name}.safetensors")
        assert {key: tensor.shape for key, tensor in found.items()} == {
            f"{kind}conv.weight": (4, 1, 3, 3),
            f"{kind}conv.bias": (4,),
            f"{kind}fc.weight": (10, 144),
            f"{kind}fc.bias": (10,),
        }
        assert {str(tensor.dtype) for tensor in found.values()} == {"float32"}


def test_no_velocities_without_momentum(folder: RunFolder, graph: Graph) -> None:
    made = at(graph, 1)
    folder.save(graph, Checkpoint(made.weights, {}, made.state))
    found = folder.load(graph)
    assert found is not None
    assert found.optimizer == {}


@pytest.mark.parametrize("survives", [0, 1])
def test_a_run_may_die_between_the_renames(
    folder: RunFolder, graph: Graph, monkeypatch: pytest.MonkeyPatch, survives: int
) -> None:
    """Whatever rename fails, a whole checkpoint is there, and the next one can be written."""
    folder.save(graph, at(graph, 1))
    renames = 0
    replace = Path.replace

    def dying(self: Path, target: Path) -> Path:
        nonlocal renames
        renames += 1
        if renames > survives:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", dying)
        with pytest.raises(KeyboardInterrupt):
            folder.save(graph, at(graph, 2))
    assert epoch_of(folder, graph) == 1
    # Once more: what is left over from the first death must not be in the way.
    renames = 0
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", dying)
        if survives == 0:
            with pytest.raises(KeyboardInterrupt):
                folder.save(graph, at(graph, 3))
            assert epoch_of(folder, graph) == 1
    folder.save(graph, at(graph, 4))
    assert epoch_of(folder, graph) == 4
    assert [p.name for p in (folder.path / "checkpoints").iterdir()] == ["last"]


@pytest.mark.parametrize("file", ["weights.safetensors", "optimizer.safetensors", "state.json"])
def test_a_full_disk_leaves_the_checkpoint_before(
    folder: RunFolder, graph: Graph, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    folder.save(graph, at(graph, 1))
    write = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.name == file:
            write(self, data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ArchspecError, match=r"cannot write .*/last: No space left on device"):
        folder.save(graph, at(graph, 2))
    assert epoch_of(folder, graph) == 1
    assert [p.name for p in (folder.path / "checkpoints").iterdir()] == ["last"]


def test_a_real_limit_on_file_sizes(folder: RunFolder, graph: Graph) -> None:
    folder.save(graph, at(graph, 1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(ArchspecError, match=r"cannot write .*/last: File too large"):
            folder.save(graph, at(graph, 2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert epoch_of(folder, graph) == 1


def test_the_best_shares_its_files_and_keeps_them(folder: RunFolder, graph: Graph) -> None:
    folder.save(graph, at(graph, 1))
    folder.keep_best()
    best = folder.path / "checkpoints" / "best"
    folder.save(graph, at(graph, 2))
    assert load_file(best / "weights.safetensors")["fc.bias"][0] == 1.0
    folder.keep_best()
    assert load_file(best / "weights.safetensors")["fc.bias"][0] == 2.0
    assert sorted(p.name for p in best.parent.iterdir()) == ["best", "last"]


class TestDamage:
    def said(self, folder: RunFolder, graph: Graph) -> str:
        with pytest.raises(ArchspecError) as caught:
            folder.load(graph)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    @pytest.mark.parametrize("size", [0, 5, 100, 1000])
    def test_a_truncated_tensor_file(self, folder: RunFolder, graph: Graph, size: int) -> None:
        folder.save(graph, at(graph, 1))
        path = folder.path / "checkpoints" / "last" / "weights.safetensors"
        path.write_bytes(path.read_bytes()[:size])
        assert self.said(folder, graph).startswith(f"cannot read the checkpoint {path.parent}: ")

    def test_a_missing_file(self, folder: RunFolder, graph: Graph) -> None:
        folder.save(graph, at(graph, 1))
        path = folder.path / "checkpoints" / "last"
        (path / "optimizer.safetensors").unlink()
        assert self.said(folder, graph).startswith(f"cannot read the checkpoint {path}: ")

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"epoch": "one"}', "\x00"])
    def test_a_damaged_state(self, folder: RunFolder, graph: Graph, text: str) -> None:
        folder.save(graph, at(graph, 1))
        path = folder.path / "checkpoints" / "last" / "state.json"
        path.write_text(text)
        assert self.said(folder, graph).startswith(f"{path} is damaged: ")

    def test_tensors_of_another_network(
        self, folder: RunFolder, tmp_path: Path, graph: Graph
    ) -> None:
        other = archspec.load(write_spec(tmp_path, TINY.replace("filters: 4", "filters: 5")))
        folder.save(other, at(other, 1))
        assert "has conv.bias of shape 5, which" in self.said(folder, graph)

    def test_a_tensor_is_missing(self, folder: RunFolder, graph: Graph) -> None:
        made = at(graph, 1)
        del made.weights["fc.bias"]
        folder.save(graph, made)
        assert self.said(folder, graph).endswith("weights.safetensors lacks fc.bias")

    @pytest.mark.parametrize("text", ["", "[]", '{"archspec": "1"}', "nonsense"])
    def test_a_damaged_record(self, folder: RunFolder, text: str) -> None:
        (folder.path / "run.json").write_text(text)
        with pytest.raises(ArchspecError, match=r"run\.json is damaged: "):
            folder.record()

    def test_no_record(self, tmp_path: Path) -> None:
        with pytest.raises(ArchspecError, match=r"is not the folder of a run \(no run.json\)"):
            RunFolder(tmp_path).record()


def test_an_output_that_is_taken(folder: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(ArchspecError, match=f"holds a run; .*--resume {folder.path}"):
        folder.require_free()
    (tmp_path / "file").touch()
    with pytest.raises(ArchspecError, match="file is a file; choose another --output"):
        RunFolder(tmp_path / "file").require_free()
    with pytest.raises(ArchspecError, match="is not empty; choose another --output"):
        RunFolder(tmp_path).require_free()
    (tmp_path / "empty").mkdir()
    RunFolder(tmp_path / "empty").require_free()
    RunFolder(tmp_path / "not" / "there").require_free()


def test_a_folder_below_a_file(folder: RunFolder, tmp_path: Path, graph: Graph) -> None:
    (tmp_path / "file").touch()
    record = folder.record()
    with pytest.raises(ArchspecError, match=r"cannot write .*/file/run: Not a directory"):
        RunFolder(tmp_path / "file" / "run").create(graph, record, "")


def test_metrics_are_lines_of_json(folder: RunFolder, graph: Graph) -> None:
    rows = at(graph, 2).state.metrics
    folder.append_metrics(rows[0])
    folder.append_metrics(rows[1])
    path = folder.path / "metrics.jsonl"
    appended = path.read_text()
    assert [json.loads(line)["epoch"] for line in appended.splitlines()] == [1, 2]
    assert list(json.loads(appended.splitlines()[0])) == [
        "epoch", "step", "train_loss", "val_loss", "val_top1", "val_top5", "lr",
        "images_per_second", "data_wait",
    ]  # fmt: skip
    path.write_text(appended[:-20])  # a run that died while it wrote
    folder.write_metrics(rows)
    assert path.read_text() == appended


def test_a_copy_where_links_are_not_to_be_had(
    folder: RunFolder, graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    folder.save(graph, at(graph, 1))
    monkeypatch.setattr(module.os, "link", no_links)
    folder.keep_best()
    shutil.rmtree(folder.path / "checkpoints" / "last")
    assert (folder.path / "checkpoints" / "best" / "weights.safetensors").is_file()
