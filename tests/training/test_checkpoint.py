"""The run folder: whole files only, readable without archspec."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import resource
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_runs import TINY, recipe, write_spec

import archspec
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.plain import plain_spec
from archspec.training.checkpoint import Checkpoint, RunFolder, RunRecord, State, recipe_hash
from archspec.training.options import EpochMetrics
from archspec.training.schedule import ScheduleState
from archspec.weights.store import tensor_shapes

RECIPE = recipe()
FILES = ("weights.safetensors", "optimizer.safetensors", "state.json", "spec.yaml")


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    return archspec.load(write_spec(tmp_path))


@pytest.fixture
def record(graph: Graph) -> RunRecord:
    return RunRecord(
        archspec="0", network="tiny", hash=graph.hash, backend="torch", engine="e", device="cpu",
        data="digits", limit=None, fingerprint="f", classes=("a", "b"), training_images=8,
        held_out_images=2, recipe=RECIPE,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, graph: Graph, record: RunRecord) -> RunFolder:
    """A run that has begun."""
    made = RunFolder(tmp_path / "run")
    made.create(graph, record, "source\n", at(graph, 0))
    assert made.record() == record
    return made


def at(graph: Graph, step: int, *best: float) -> Checkpoint:
    """A checkpoint in which every number is the step; each epoch is one, with this top-1."""
    rows = [
        EpochMetrics(epoch, epoch, 1.0, 1.0, top1, 1.0, 0.1, 100.0, 0.0)
        for epoch, top1 in enumerate(best, 1)
    ]
    weights = {
        name: np.full(shape, step, dtype="float32") for name, shape in tensor_shapes(graph).items()
    }
    state = State(
        graph.hash, recipe_hash(RECIPE), 0.1, len(rows) + 1, step - len(rows), step, 0.1 + 0.2, 1,
        schedule=ScheduleState(0.5, 1, 0), metrics=rows,
    )  # fmt: skip
    optimizer = {f"velocity.{name}": weight for name, weight in weights.items()}
    return Checkpoint(weights, optimizer, state)


def save(folder: RunFolder, graph: Graph, step: int, *best: float) -> Path:
    folder.save(graph, plain_spec(graph, RECIPE), at(graph, step, *best))
    return folder.path / "checkpoints" / f"step-{step:08d}"


def found(folder: RunFolder) -> tuple[int, list[str]]:
    """The step of the checkpoint that is loaded, and the warnings on the way."""
    warnings: list[str] = []
    _, loaded = folder.load(warnings.append)
    assert {float(w.min()) for w in loaded.weights.values()} == {float(loaded.state.step)}
    return loaded.state.step, warnings


def kept(folder: RunFolder) -> list[int]:
    names = sorted(path.name for path in (folder.path / "checkpoints").iterdir())
    return [int(name.removeprefix("step-")) for name in names]


def test_there_and_back(folder: RunFolder, graph: Graph) -> None:
    assert found(folder) == (0, [])
    made = at(graph, 3, 0.5)
    save(folder, graph, 3, 0.5)
    network, loaded = folder.load(pytest.fail)
    assert network.hash == graph.hash
    assert loaded.state == made.state  # a sum that is no decimal number too
    assert loaded.optimizer.keys() == made.optimizer.keys()
    assert {p.name for p in folder.path.iterdir()} == {
        "checkpoints", "model_torch.py", "run.json", "spec.yaml",
    }  # fmt: skip


def test_others_read_it(folder: RunFolder, graph: Graph) -> None:
    """safetensors alone, with a manifest that any tool can check."""
    path = save(folder, graph, 3)
    for name, kind in (("weights", ""), ("optimizer", "velocity.")):
        read = load_file(path / f"{name}.safetensors")
        assert {key: tensor.shape for key, tensor in read.items()} == {
            f"{kind}conv.weight": (4, 1, 3, 3),
            f"{kind}conv.bias": (4,),
            f"{kind}fc.weight": (10, 144),
            f"{kind}fc.bias": (10,),
        }
        assert {str(tensor.dtype) for tensor in read.values()} == {"float32"}
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest == {
        name: {
            "bytes": (path / name).stat().st_size,
            "sha256": hashlib.sha256((path / name).read_bytes()).hexdigest(),
        }
        for name in FILES
    }
    state = json.loads((path / "state.json").read_text())
    saved = archspec.load(path / "spec.yaml")
    assert state["network"] == saved.hash == graph.hash
    assert saved.spec.training == RECIPE


def test_no_velocities_without_momentum(folder: RunFolder, graph: Graph) -> None:
    made = at(graph, 1)
    folder.save(
        graph,
        plain_spec(graph, RECIPE),
        Checkpoint(made.weights, {"count": np.array(7)}, made.state),
    )
    _, loaded = folder.load(pytest.fail)
    assert loaded.optimizer == {"count": 7}


def test_the_last_two_and_the_best_are_kept(folder: RunFolder, graph: Graph) -> None:
    assert kept(folder) == [0]
    save(folder, graph, 1, 0.5)
    assert kept(folder) == [0, 1]
    save(folder, graph, 2, 0.5, 0.9)
    save(folder, graph, 3, 0.5, 0.9, 0.8)
    assert kept(folder) == [2, 3]
    for step in (4, 7, 9):  # within an epoch
        save(folder, graph, step, 0.5, 0.9, 0.8)
    assert kept(folder) == [2, 7, 9]
    assert folder.weights == folder.path / "checkpoints" / "step-00000002" / "weights.safetensors"
    save(folder, graph, 10, 0.5, 0.9, 0.8, 0.9)
    assert kept(folder) == [2, 9, 10]  # the first of two that are as good


def test_what_died_in_a_save_goes_with_the_next(folder: RunFolder, graph: Graph) -> None:
    for name in ("step-00000001.new", "step-00000000.old", "step-00000005.gone"):
        (folder.path / "checkpoints" / name).mkdir()
        (folder.path / "checkpoints" / name / "weights.safetensors").write_text("half")
    assert found(folder)[0] == 0
    save(folder, graph, 1)
    assert kept(folder) == [0, 1]


def test_weights_before_the_first_epoch_has_ended(folder: RunFolder, graph: Graph) -> None:
    with pytest.raises(ArchspecError, match=r"has no trained weights yet; .* --resume "):
        _ = folder.weights
    path = save(folder, graph, 2)
    assert folder.weights == path / "weights.safetensors"


@pytest.mark.parametrize("limit", [2000, 20_000])
def test_a_full_disk_leaves_the_checkpoints_before(
    folder: RunFolder, graph: Graph, limit: int
) -> None:
    """A real limit on the size of files; the second lets all pass."""
    save(folder, graph, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        if limit > 10_000:
            save(folder, graph, 2)
        else:
            with pytest.raises(ArchspecError, match=r"cannot write .*/step-00000002: File too lar"):
                save(folder, graph, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert kept(folder) == ([1, 2] if limit > 10_000 else [0, 1])
    assert found(folder) == (kept(folder)[-1], [])


class TestDamage:
    """A checkpoint that is not what was written: the one before it is used, and that is said."""

    @pytest.mark.parametrize("name", FILES)
    @pytest.mark.parametrize("how", ["cut", "bit", "gone"])
    def test_any_file(self, folder: RunFolder, graph: Graph, name: str, how: str) -> None:
        save(folder, graph, 1)
        file = save(folder, graph, 2) / name
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 4
        if how == "gone":
            file.unlink()
        else:
            file.write_bytes(file.read_bytes()[:-7] if how == "cut" else data)
        step, warnings = found(folder)
        assert step == 1
        reason = {"cut": "bytes and manifest.json says", "bit": "SHA-256", "gone": "is missing"}
        assert len(warnings) == 1
        assert warnings[0].startswith(f"a checkpoint is damaged, step-00000002: {name} ")
        assert reason[how] in warnings[0]
        assert warnings[0].endswith("; going on from step-00000001")
        # The damaged one is no longer there when the run has come to that step again.
        save(folder, graph, 2)
        assert (found(folder), kept(folder)) == ((2, []), [1, 2])

    def test_all(self, folder: RunFolder, graph: Graph) -> None:
        save(folder, graph, 1)
        for step in (0, 1):
            (folder.path / "checkpoints" / f"step-{step:08d}" / "state.json").write_text("{}")
        with pytest.raises(ArchspecError) as caught:
            folder.load(lambda message: None)
        assert str(caught.value).startswith(
            f"{folder.path} has no whole checkpoint (step-00000001: state.json has 2 bytes and "
        )
        assert str(caught.value).endswith("; put its checkpoints back or start a new run")

    def test_none(self, folder: RunFolder) -> None:
        shutil.rmtree(folder.path / "checkpoints")
        with pytest.raises(ArchspecError, match=r"run has no checkpoint; put its"):
            folder.load(lambda message: None)

    def test_later_steps_that_are_damaged_do_not_crowd_out_what_is_whole(
        self, folder: RunFolder, graph: Graph
    ) -> None:
        save(folder, graph, 1)
        whole = folder.path / "checkpoints" / "step-00000001"
        shutil.copytree(whole, folder.path / "aside")
        for step in (8, 9):
            (save(folder, graph, step) / "state.json").unlink()
        shutil.rmtree(whole, ignore_errors=True)
        shutil.copytree(folder.path / "aside", whole)
        assert found(folder)[0] == 1
        save(folder, graph, 2)
        assert (found(folder), kept(folder)) == ((2, []), [1, 2])

    def test_the_best(self, folder: RunFolder, graph: Graph) -> None:
        best = save(folder, graph, 1, 0.9)
        last = save(folder, graph, 2, 0.9, 0.8)
        (best / "weights.safetensors").write_bytes(b"")
        with pytest.raises(ArchspecError, match=f"is damaged: .*; the last one is whole: .*{last}"):
            _ = folder.weights


class TestForged:
    """A manifest that fits, written by whoever wrote the rest."""

    def said(self, folder: RunFolder, path: Path, **files: bytes) -> str:
        for name, data in files.items():
            (path / name.replace("_", ".")).write_bytes(data)
        manifest = {
            name: {
                "bytes": (path / name).stat().st_size,
                "sha256": hashlib.sha256((path / name).read_bytes()).hexdigest(),
            }
            for name in FILES
        }
        (path / "manifest.json").write_text(json.dumps(manifest))
        warnings: list[str] = []
        assert folder.load(warnings.append)[1].state.step == 0
        (said,) = warnings
        assert "\n" not in said
        return said

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", "{}", '{"epoch": "one"}', "\x00", "[" * 100_000]
    )
    def test_a_state(self, folder: RunFolder, graph: Graph, text: str) -> None:
        said = self.said(folder, save(folder, graph, 1), state_json=text.encode())
        assert "state.json is no state of a run: " in said

    @pytest.mark.parametrize(
        "changes",
        [{"batch": -1}, {"epoch": 3}, {"epoch": 0}, {"step": -5}, {"counted": -1}],
    )
    def test_a_state_that_cannot_be(
        self, folder: RunFolder, graph: Graph, changes: dict[str, Any]
    ) -> None:
        path = save(folder, graph, 1)
        state = json.loads((path / "state.json").read_text()) | changes
        said = self.said(folder, path, state_json=json.dumps(state).encode())
        assert "state.json contradicts itself" in said
        # Whoever looks for weights alone takes the checkpoint before, too.
        assert folder.checkpoint("last").name == "step-00000000"
        with pytest.raises(ArchspecError, match="has no trained weights yet"):
            _ = folder.weights
        with pytest.raises(ArchspecError, match=r"step-00000001 is damaged: state\.json contra"):
            folder.checkpoint("step-1")

    def test_another_network(self, folder: RunFolder, tmp_path: Path, graph: Graph) -> None:
        path = save(folder, graph, 1)
        other = archspec.load(write_spec(tmp_path, TINY.replace("filters: 4", "filters: 5")))
        said = self.said(folder, path, spec_yaml=plain_spec(other, RECIPE).encode())
        assert "spec.yaml is not what state.json belongs to" in said
        made = at(other, 1)
        folder.save(other, plain_spec(other, RECIPE), made)
        made.state.network = graph.hash
        state = json.loads((path / "state.json").read_text()) | {"network": graph.hash}
        said = self.said(
            folder, path, spec_yaml=plain_spec(graph, RECIPE).encode(),
            state_json=json.dumps(state).encode(),
        )  # fmt: skip
        assert "weights.safetensors has conv.bias of shape 5, which the network in spec" in said

    def test_a_spec_that_is_none(self, folder: RunFolder, graph: Graph) -> None:
        said = self.said(folder, save(folder, graph, 1), spec_yaml=b"archspec: 1\nlayers: 7\n")
        assert "step-00000001: spec.yaml: " in said

    def test_a_tensor_is_missing(self, folder: RunFolder, graph: Graph) -> None:
        made = at(graph, 1)
        del made.weights["fc.bias"]
        folder.save(graph, plain_spec(graph, RECIPE), made)
        path = folder.path / "checkpoints" / "step-00000001"
        assert "weights.safetensors lacks fc.bias" in self.said(folder, path)

    def test_an_optimiser_of_something_else(self, folder: RunFolder, graph: Graph) -> None:
        made = at(graph, 1)
        made.optimizer["velocity.fc9.bias"] = np.zeros(3)
        folder.save(graph, plain_spec(graph, RECIPE), made)
        path = folder.path / "checkpoints" / "step-00000001"
        assert "optimizer.safetensors has velocity.fc9.bias of shape 3" in self.said(folder, path)

    @pytest.mark.parametrize("name", ["weights_safetensors", "optimizer_safetensors"])
    def test_no_tensors(self, folder: RunFolder, graph: Graph, name: str) -> None:
        said = self.said(folder, save(folder, graph, 1), **{name: b"\xff" * 100})
        assert f"{name.replace('_', '.')} is damaged: its header would have" in said

    def test_a_file_that_would_take_all_memory(self, folder: RunFolder, graph: Graph) -> None:
        path = save(folder, graph, 1)
        with (path / "optimizer.safetensors").open("r+b") as stream:
            stream.truncate(20 << 20)
        said = self.said(folder, path)
        assert "optimizer.safetensors is larger than its network can make it" in said


class TestBeginning:
    def test_a_death_leaves_a_folder_that_can_be_begun_again(
        self, tmp_path: Path, graph: Graph, record: RunRecord, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = RunFolder(tmp_path / "run")

        def dies(*_: object) -> None:
            raise KeyboardInterrupt

        for name in ("save", "describe"):
            with monkeypatch.context() as patched:
                patched.setattr(RunFolder, name, dies)
                with pytest.raises(KeyboardInterrupt):
                    made.create(graph, record, "source\n", at(graph, 5))
            with pytest.raises(ArchspecError, match=r"is not the folder of a run \(no run.json\)"):
                made.record()
        made.create(graph, record, "source\n", at(graph, 0))
        assert (made.record(), found(made)) == (record, (0, []))
        assert sorted(path.name for path in made.path.iterdir()) == [
            "checkpoints", "model_torch.py", "run.json", "spec.yaml",
        ]  # fmt: skip

    def test_a_disk_that_has_no_room_shows_before_the_first_step(
        self, tmp_path: Path, graph: Graph, record: RunRecord
    ) -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
        try:
            with pytest.raises(ArchspecError, match=r"cannot write .*step-00000000: File too la"):
                RunFolder(tmp_path / "run").create(graph, record, "", at(graph, 0))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


class TestRecord:
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
        RunFolder(tmp_path / "file" / "run").create(graph, record, "", at(graph, 0))


def test_one_process_at_a_time(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        folder.locked(),
        pytest.raises(ArchspecError, match=r"^another process trains the run in .*; end it first"),
        folder.locked(),
    ):
        pytest.fail("both train")
    with folder.locked():
        pass

    def unknown(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unknown)
    with folder.locked():
        pass


def test_metrics_are_lines_of_json(folder: RunFolder, graph: Graph) -> None:
    rows = at(graph, 3, 0.1, 0.2, 0.3).state.metrics
    path = folder.path / "metrics.jsonl"
    folder.write_metrics([])
    assert not path.exists()
    for count in (1, 2):
        folder.write_metrics(rows[:count])
    inode = path.stat().st_ino
    two = path.read_text()
    assert [json.loads(line)["epoch"] for line in two.splitlines()] == [1, 2]
    assert list(json.loads(two.splitlines()[0])) == [
        "epoch", "step", "train_loss", "val_loss", "val_top1", "val_top5", "lr",
        "images_per_second", "data_wait",
    ]  # fmt: skip
    folder.write_metrics(rows)
    assert path.stat().st_ino == inode  # appended: who follows the file sees it
    three = path.read_text()
    assert three.startswith(two)
    for died in (three[:-20], "", three + three, "nonsense\n"):
        path.write_text(died)
        folder.write_metrics(rows)
        assert path.read_text() == three
    folder.write_metrics(rows[:2])
    assert path.read_text() == two
