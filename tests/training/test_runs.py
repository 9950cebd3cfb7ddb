"""Whole runs of a tiny network in both backends."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_runs import (
    AUXILIARY,
    BACKENDS,
    DROPOUT,
    TINY,
    checkpoint,
    figures,
    metrics,
    resume,
    tensors,
    train,
    write_spec,
)

import archspec
from archspec.diagnostics import ArchspecError
from archspec.training import RunOptions, loop, run
from archspec.training.options import EpochMetrics, Progress, Silent

both = pytest.mark.parametrize("backend", BACKENDS)


class Interrupt(Silent):
    """Presses Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch_ = epoch

    def step(self, progress: Progress) -> None:
        if progress.epoch == self.epoch_:
            raise KeyboardInterrupt


class Record(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[Progress] = []
        self.epochs: list[EpochMetrics] = []

    def step(self, progress: Progress) -> None:
        self.steps.append(progress)

    def epoch(self, metrics: EpochMetrics) -> None:
        self.epochs.append(metrics)


@both
def test_a_run_folder(backend: str, tmp_path: Path) -> None:
    watcher = Record()
    summary = train(tmp_path, backend=backend, watcher=watcher, seed=3, learning_rate=0.04)
    folder = summary.folder
    assert (summary.epochs, summary.trained) == (4, 4)
    rows = metrics(folder)
    assert all(
        list(row)
        == [
            "epoch", "step", "train_loss", "val_loss", "val_top1", "val_top5", "lr",
            "images_per_second", "data_wait",
        ]
        for row in rows
    )  # fmt: skip
    # 50 training images in batches of 8: six steps an epoch.
    assert [row["step"] for row in rows] == [6, 12, 18, 24]
    assert [row["lr"] for row in rows] == [0.04, 0.04, 0.004, 0.004]
    for row in rows:
        assert 0 <= row["val_top1"] <= row["val_top5"] <= 1
        assert 0 <= row["data_wait"] <= 1
        assert row["images_per_second"] > 0
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert [row.epoch for row in watcher.epochs] == [1, 2, 3, 4]
    assert (watcher.steps[-1].images, watcher.steps[-1].total) == (48, 48)

    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoints", "metrics.jsonl", f"model_{backend}.py", "run.json", "spec.yaml",
    ]  # fmt: skip
    resolved = archspec.load(folder / "spec.yaml")
    about = json.loads((folder / "run.json").read_text())
    assert about["hash"] == resolved.hash == archspec.load(tmp_path / "tiny.yaml").hash
    assert about["recipe"] == resolved.spec.training.model_dump(mode="json")  # type: ignore[union-attr]
    assert about["recipe"]["seed"] == 3
    assert about["recipe"]["optimizer"]["learning_rate"] == 0.04
    assert isinstance(about["recipe"]["preprocessing"]["mean"][0], float)
    source = (folder / f"model_{backend}.py").read_text()
    assert source == archspec.emit(resolved, backend=backend)

    shapes = {
        "conv.weight": (4, 1, 3, 3), "conv.bias": (4,), "fc.weight": (10, 144), "fc.bias": (10,),
    }  # fmt: skip
    for name in ("last", "best"):
        for file, kind in (("weights", ""), ("optimizer", "velocity.")):
            found = load_file(checkpoint(folder, name) / f"{file}.safetensors")
            assert {name: tensor.shape for name, tensor in found.items()} == {
                f"{kind}{name}": shape for name, shape in shapes.items()
            }
    best = max(rows, key=lambda row: row["val_top1"])["step"]
    steps = {18, 24, best}  # the last two epochs and the best one
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == [
        f"step-{step:08d}" for step in sorted(steps)
    ]
    state = json.loads((checkpoint(folder) / "state.json").read_text())
    assert [state[name] for name in ("epoch", "batch", "step")] == [5, 0, 24]
    assert state["metrics"] == rows


@pytest.mark.xdist_group("keras")
def test_both_backends_train_alike(tmp_path: Path) -> None:
    """The same weights, images in the same order, the same update; momentum over a drop too."""
    for backend in ("torch", "keras"):
        train(tmp_path, backend=backend, output=tmp_path / backend)
    for left, right in zip(figures(tmp_path / "torch"), figures(tmp_path / "keras"), strict=True):
        assert left == pytest.approx(right, rel=1e-4)
    for file in ("weights", "optimizer"):
        found = [
            load_file(checkpoint(tmp_path / backend) / f"{file}.safetensors")
            for backend in ("torch", "keras")
        ]
        for name, tensor in found[0].items():
            np.testing.assert_allclose(tensor, found[1][name], rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.xdist_group("keras")
def test_both_backends_see_the_same_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from archspec.backends import get_backend

    get_backend("keras").require()
    from archspec.backends.keras.trainer import KerasTrainer
    from archspec.backends.torch.trainer import TorchTrainer

    seen: dict[type, list[tuple[bytes, bytes]]] = {TorchTrainer: [], KerasTrainer: []}
    for trainer, batches in seen.items():
        step = trainer.step

        def spy(
            self: Any, images: Any, labels: Any, rate: float, step: Any = step, b: Any = batches
        ) -> Any:
            b.append((images.tobytes(), labels.tobytes()))
            return step(self, images, labels, rate)

        monkeypatch.setattr(trainer, "step", spy)
    for backend in ("torch", "keras"):
        train(tmp_path, DROPOUT, backend=backend, epochs=2, output=tmp_path / backend)
    torch, keras = seen.values()
    assert len(torch) == 12
    assert torch == keras
    assert torch[:6] != torch[6:]


@both
@pytest.mark.parametrize("text", [TINY, DROPOUT, AUXILIARY], ids=["plain", "dropout", "auxiliary"])
def test_a_resumed_run_equals_the_uninterrupted_one(
    backend: str, text: str, tmp_path: Path
) -> None:
    """To the last bit, over a drop of the learning rate at the boundary."""
    whole = train(tmp_path, text, backend=backend, output=tmp_path / "whole").folder
    parts = train(tmp_path, text, backend=backend, epochs=2).folder
    assert figures(parts) == figures(whole)[:2]
    summary = resume(parts, epochs=4)
    assert (summary.epochs, summary.trained) == (4, 2)
    assert figures(parts) == figures(whole)
    for name in ("last", "best"):
        assert tensors(parts, name) == tensors(whole, name)
    assert (parts / "spec.yaml").read_text() == (whole / "spec.yaml").read_text()


@pytest.mark.parametrize("text", [TINY, DROPOUT], ids=["plain", "dropout"])
@both
def test_a_seed_fixes_the_run(backend: str, text: str, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("first", "again", "other")]
    for folder, seed in zip(folders, (1, 1, 2), strict=True):
        train(tmp_path, text, backend=backend, epochs=2, seed=seed, output=folder)
    first, again, other = map(tensors, folders)
    assert first == again
    assert first != other


def test_a_plateau_goes_on_after_a_resume(tmp_path: Path) -> None:
    text = TINY.replace(
        "{type: steps, epochs: [3], factor: 0.1}", "{type: plateau, patience: 1, drops: 2}"
    ).replace("learning_rate: 0.05", "learning_rate: 1.0e-9")  # it never improves
    train(tmp_path, text, output=tmp_path / "whole", epochs=5)
    train(tmp_path, text, epochs=2)
    resume(tmp_path / "run", epochs=5)
    assert [row["lr"] for row in figures(tmp_path / "whole")] == [1e-9, 1e-9, 1e-10, 1e-11, 1e-11]
    assert figures(tmp_path / "run") == figures(tmp_path / "whole")


def test_an_interrupted_run_goes_on_from_its_last_epoch(tmp_path: Path) -> None:
    whole = train(tmp_path, output=tmp_path / "whole").folder
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, watcher=Interrupt(3))
    folder = tmp_path / "run"
    assert figures(folder) == figures(whole)[:2]
    # It may also have died before the last lines of an epoch were written.
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text(lines[0] + lines[1][:30])
    resume(folder)
    assert figures(folder) == figures(whole)
    assert tensors(folder, "best") == tensors(whole, "best")


def test_a_run_interrupted_in_its_first_epoch_begins_anew(tmp_path: Path) -> None:
    whole = train(tmp_path, output=tmp_path / "whole").folder
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, watcher=Interrupt(1))
    assert resume(tmp_path / "run").trained == 4
    assert tensors(tmp_path / "run") == tensors(whole)


def test_a_finished_run(tmp_path: Path) -> None:
    folder = train(tmp_path, epochs=2).folder
    before = tensors(folder)
    for epochs in (None, 1, 2):
        summary = resume(folder, epochs=epochs)
        assert (summary.epochs, summary.trained) == (2, 0)
    assert tensors(folder) == before
    assert summary.best.val_top1 == max(row["val_top1"] for row in metrics(folder))


def test_more_epochs_are_remembered(tmp_path: Path) -> None:
    folder = train(tmp_path, epochs=1).folder
    resume(folder, epochs=2)
    assert archspec.load(folder / "spec.yaml").spec.training.epochs == 2  # type: ignore[union-attr]
    assert resume(folder).trained == 0


class TestRefusals:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return train(tmp_path, epochs=1).folder

    def said(self, folder: Path, **options: Any) -> str:
        with pytest.raises(ArchspecError) as caught:
            resume(folder, **options)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def test_what_the_run_has_decided(self, folder: Path, tmp_path: Path) -> None:
        said = self.said(
            folder, batch_size=2, learning_rate=0.1, seed=1, limit=50, freeze=("conv",),
            output=tmp_path, variables={"a": 1},
        )  # fmt: skip
        assert said == (
            "--resume goes on with a run as it began: --limit 60 -> 50, --freeze nothing -> conv, "
            "--set nothing -> a 1, "
            f"--output {folder} -> {tmp_path}, training.batch_size 8 -> 2, "
            "training.optimizer.learning_rate 0.05 -> 0.1, training.seed 0 -> 1; leave that out, "
            "or start a new run"
        )

    def test_the_same_once_more_is_no_change(self, folder: Path, tmp_path: Path) -> None:
        same = {"data": "digits", "batch_size": 8, "learning_rate": 0.05, "seed": 0, "limit": 60}
        assert resume(folder, **same, output=folder).trained == 0
        options = RunOptions(resume=folder, variables={"classes": 10})
        assert run(tmp_path / "tiny.yaml", options).trained == 0

    def test_another_network(self, folder: Path, tmp_path: Path) -> None:
        other = write_spec(tmp_path, TINY.replace("filters: 4", "filters: 5"))
        with pytest.raises(ArchspecError, match=r"as it began: conv\.filters 4 -> 5; leave"):
            run(other, RunOptions(resume=folder))

    def test_another_backend(self, folder: Path) -> None:
        assert "as it began: --backend torch -> keras; " in self.said(folder, backend="keras")
        assert resume(folder, backend="torch").trained == 0

    @pytest.mark.parametrize(
        ("before", "after", "told"),
        [
            ("filters: 4", "filters: 5", "conv.filters 4 -> 5"),
            (
                "learning_rate: 0.05",
                "learning_rate: 0.06",
                "training.optimizer.learning_rate 0.05 -> 0.06",
            ),
            ("type: relu", "type: tanh", "relu.type relu -> tanh"),
            ("  - {name: relu, type: relu}\n", "", "relu is gone"),
        ],
        ids=["field", "recipe", "type", "layer"],
    )
    def test_a_changed_spec(self, folder: Path, before: str, after: str, told: str) -> None:
        text = (folder / "spec.yaml").read_text()
        assert before in text
        (folder / "spec.yaml").write_text(text.replace(before, after))
        assert self.said(folder) == (
            f"{folder}/spec.yaml was changed after the run had begun: {told}; change it back, or "
            "start a new run with it"
        )

    def test_a_comment_is_no_change(self, folder: Path) -> None:
        text = (folder / "spec.yaml").read_text()
        (folder / "spec.yaml").write_text("# mine\n" + text)
        assert resume(folder).trained == 0

    def test_no_run(self, tmp_path: Path) -> None:
        assert "is not the folder of a run (no run.json)" in self.said(tmp_path)
        assert "is not the folder of a run (no run.json)" in self.said(tmp_path / "nowhere")
        write_spec(tmp_path)
        assert "is not the folder of a run (Not a directory)" in self.said(tmp_path / "tiny.yaml")

    def test_no_spec(self, folder: Path) -> None:
        (folder / "spec.yaml").unlink()
        assert "is not the folder of a run (no spec.yaml)" in self.said(folder)

    def test_other_images(self, photos: Callable[..., Path], tmp_path: Path) -> None:
        pictures = photos("a", "b")
        folder = train(tmp_path, epochs=1, limit=None, data=f"folder:{pictures}").folder
        shutil.copy(pictures / "a" / "0.png", pictures / "a" / "new.png")
        assert "are not those that the run began with" in self.said(folder, epochs=2)


@both
def test_a_loss_that_is_no_number(backend: str, tmp_path: Path) -> None:
    with pytest.raises(
        ArchspecError,
        match=r"^the loss is (nan|inf) in epoch 1, batch \d \(step \d\), at a learning rate of 1e",
    ):
        train(tmp_path, backend=backend, learning_rate=1e6)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_it_is_noticed_within_the_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the next look, and the step that is named is the first bad one, not the last."""
    from archspec.backends.torch.trainer import TorchTrainer

    taken = []
    step = TorchTrainer.step

    def poisoned(self: Any, images: Any, labels: Any, rate: float) -> Any:
        taken.append(rate)
        loss = step(self, images, labels, rate)
        return loss * float("nan") if len(taken) >= 4 else loss

    times = iter(0.1 * second for second in range(10**6))
    monkeypatch.setattr(TorchTrainer, "step", poisoned)
    monkeypatch.setattr(loop.time, "perf_counter", lambda: next(times))
    with pytest.raises(ArchspecError, match=r"the loss is nan in epoch 1, batch 4 \(step 4\), at"):
        train(tmp_path, limit=None, batch_size=2, epochs=1)
    assert 4 <= len(taken) < 12


@both
def test_too_little_memory(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from archspec.backends import get_backend

    get_backend(backend).require()
    if backend == "torch":

        def exhausted(*_: Any, **__: Any) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 20 GiB")

        monkeypatch.setattr(torch.nn.functional, "cross_entropy", exhausted)
    else:
        import keras

        class ResourceExhaustedError(Exception):
            pass

        def exhausted(*_: Any, **__: Any) -> None:
            raise ResourceExhaustedError("OOM when allocating a tensor")

        monkeypatch.setattr(keras.losses, "sparse_categorical_crossentropy", exhausted)
    with pytest.raises(ArchspecError) as caught:
        train(tmp_path, backend=backend)
    assert str(caught.value).startswith(
        "cpu has too little memory for batches of 8 images; archspec estimates "
    )


def test_a_loss_that_breaks_later_names_what_is_kept(tmp_path: Path) -> None:
    text = TINY.replace("epochs: [3], factor: 0.1", "epochs: [2], factor: 1.0e+9")
    with pytest.raises(
        ArchspecError, match=r"epoch 2, batch . .*; the run is saved after step 6, go on .*"
    ):
        train(tmp_path, text)
    assert len(metrics(tmp_path / "run")) == 1


def test_weights_that_break_in_the_last_step_of_an_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training losses are numbers and the held-out loss is not: nothing is saved."""
    from archspec.backends.torch.trainer import TorchTrainer

    logits = TorchTrainer.logits
    monkeypatch.setattr(TorchTrainer, "logits", lambda self, x: logits(self, x) * np.nan)
    with pytest.raises(
        ArchspecError,
        match=r"^the held-out loss is nan after epoch 1 \(step 6\), at a learning rate of 0.05; "
        r"try a smaller --lr in a new run; the run is saved as it began, ",
    ):
        train(tmp_path, on_nan="skip")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    assert checkpoint(tmp_path / "run").name == "step-00000000"


class TestSizes:
    @both
    def test_a_batch_larger_than_the_data(self, backend: str, tmp_path: Path) -> None:
        folder = train(tmp_path, backend=backend, batch_size=1000, epochs=2).folder
        assert [row["step"] for row in metrics(folder)] == [1, 2]
        assert all(row["images_per_second"] > 0 for row in metrics(folder))

    def test_two_images_a_class(self, tmp_path: Path) -> None:
        watcher = Record()
        train(tmp_path, limit=20, epochs=1, watcher=watcher)
        assert watcher.epochs[0].step == 1

    def test_batches_of_one(self, tmp_path: Path) -> None:
        folder = train(tmp_path, limit=20, batch_size=1, epochs=1).folder
        assert metrics(folder)[0]["step"] == 10

    def test_not_square_in_colour_without_a_recipe(
        self, photos: Callable[..., Path], tmp_path: Path
    ) -> None:
        text = TINY[: TINY.index("training:")].replace(
            "channels: 1, height: 8, width: 8", "channels: 3, height: 7, width: 10"
        )
        folder = train(
            tmp_path, text, limit=None, epochs=6, data=f"folder:{photos('r', 'g', 'b', count=10)}"
        ).folder
        assert metrics(folder)[-1]["val_top1"] == 1.0
        about = json.loads((folder / "run.json").read_text())
        assert about["classes"] == ["b", "g", "r"]
        assert about["recipe"]["batch_size"] == loop.DEFAULT_RECIPE.batch_size
        assert resume(folder, epochs=7).trained == 1

    def test_no_momentum(self, tmp_path: Path) -> None:
        text = TINY.replace("momentum: 0.9", "momentum: 0")
        whole = train(tmp_path, text, output=tmp_path / "whole").folder
        train(tmp_path, text, epochs=2)
        resume(tmp_path / "run", epochs=4)
        assert tensors(tmp_path / "run") == tensors(whole)


class TestNetworks:
    def said(self, tmp_path: Path, text: str, **options: Any) -> str:
        with pytest.raises(ArchspecError) as caught:
            train(tmp_path, text, **options)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    @both
    def test_a_softmax_at_the_end_is_left_to_the_loss(self, backend: str, tmp_path: Path) -> None:
        softmax = TINY.replace("training:", "  - {name: probabilities, type: softmax}\ntraining:")
        train(tmp_path, backend=backend, output=tmp_path / "logits")
        train(tmp_path, softmax, backend=backend)
        assert tensors(tmp_path / "run") == tensors(tmp_path / "logits")
        assert "softmax" not in (tmp_path / "run" / "spec.yaml").read_text()
        assert resume(tmp_path / "run", epochs=5).trained == 1

    @both
    def test_so_is_one_at_the_end_of_an_auxiliary_output(
        self, backend: str, tmp_path: Path
    ) -> None:
        head = "  - {name: aux.softmax, type: softmax}\n  - {name: flatten, inputs"
        softmax = AUXILIARY.replace("  - {name: flatten, inputs", head)
        softmax = softmax.replace("layer: aux.fc", "layer: aux.softmax")
        softmax = softmax.replace("auxiliary:", "  - {name: softmax, type: softmax}\nauxiliary:")
        train(tmp_path, AUXILIARY, backend=backend, output=tmp_path / "logits")
        train(tmp_path, softmax, backend=backend)
        assert tensors(tmp_path / "run") == tensors(tmp_path / "logits")
        assert "softmax" not in (tmp_path / "run" / "spec.yaml").read_text()
        assert resume(tmp_path / "run", epochs=5).trained == 1

    def test_layers_behind_the_output(self, tmp_path: Path) -> None:
        """With the softmax away, the output is no longer the last layer of the file."""
        text = TINY.replace(
            "training:",
            "  - {name: aux, type: dense, units: $classes, inputs: [flatten]}\n"
            "  - {name: behind, type: dense, units: $classes, inputs: [fc]}\n"
            "  - {name: softmax, type: softmax, inputs: [fc]}\n"
            "auxiliary: [{layer: aux}, {layer: behind}]\ntraining:",
        )
        with_softmax = train(tmp_path, text, epochs=1)
        assert with_softmax.trained == 1
        assert resume(tmp_path / "run", epochs=2).trained == 1

    def test_auxiliary_outputs_that_cannot_be_trained(self, tmp_path: Path) -> None:
        said = self.said(
            tmp_path, AUXILIARY.replace("auxiliary:\n", "auxiliary:\n  - {layer: conv}\n")
        )
        assert said.startswith("the auxiliary output conv is 4 x 6 x 6 and the data has 10 classes")
        assert said.endswith("end it with `flatten` or a global pool and a dense layer")
        said = self.said(tmp_path, AUXILIARY.replace("units: $classes", "units: 7", 1))
        assert said.startswith("the auxiliary output aux.fc is 7 and the data has 10 classes")
        assert said.endswith("let aux.fc have `units: $classes`")

    def test_a_softmax_that_is_read(self, tmp_path: Path) -> None:
        text = TINY.replace(
            "training:",
            "  - {name: softmax, type: softmax}\n  - {name: last, type: dense, units: 10}\n"
            "auxiliary: [{layer: softmax}]\ntraining:",
        )
        assert self.said(tmp_path, text) == (
            "the output softmax is a softmax, which the loss is computed without, and last reads "
            "it; let that read fc"
        )

    def test_outputs_that_are_one_without_the_softmax(self, tmp_path: Path) -> None:
        text = TINY.replace(
            "training:",
            "  - {name: softmax, type: softmax}\nauxiliary: [{layer: fc}]\ntraining:",
        )
        assert self.said(tmp_path, text) == (
            "without the softmax, which is left to the loss, two outputs are fc; leave one of them "
            "out of `auxiliary`"
        )

    def test_other_classes_than_the_data(self, tmp_path: Path) -> None:
        said = self.said(tmp_path, TINY, variables={"classes": 7})
        assert said.startswith("the network's output is 7 and the data has 10 classes (`0`, `1`,")
        assert said.endswith("; leave out `--set classes=...`, which the data decides")

    def test_no_variable_for_the_classes(self, tmp_path: Path) -> None:
        text = TINY.replace("variables: {classes: 10}\n", "").replace("$classes", "12")
        said = self.said(tmp_path, text)
        assert said.endswith("declare `variables: {classes: 10}` and let fc have `units: $classes`")

    def test_a_variable_that_nothing_uses(self, tmp_path: Path) -> None:
        said = self.said(tmp_path, TINY.replace("$classes", "12"))
        assert said.endswith("let fc have `units: $classes`")

    def test_an_output_that_is_a_map(self, tmp_path: Path) -> None:
        text = TINY[: TINY.index("  - {name: flatten")] + TINY[TINY.index("training:") :]
        said = self.said(tmp_path, text)
        assert said.startswith("the network's output is 4 x 6 x 6 and the data has 10 classes")
        assert said.endswith("end it with `flatten` or a global pool and a dense layer")

    @pytest.mark.parametrize(
        "layers",
        [
            "  - {name: softmax, type: softmax}\n",
            "  - {name: flatten, type: flatten}\n  - {name: softmax, type: softmax}\n",
            "  - {name: flatten, type: flatten}\n"
            "  - {name: fc, type: dense, units: 10, trainable: false}\n",
        ],
    )
    def test_nothing_to_train(self, tmp_path: Path, layers: str) -> None:
        text = TINY[: TINY.index("  - {name: conv")] + layers
        assert self.said(tmp_path, text) == "the network tiny has no weights to train"

    def test_channels(self, tmp_path: Path) -> None:
        text = TINY.replace("channels: 1", "channels: 4")
        assert "images have 1 or 3 channels and the network reads 4 x 8 x 8" in self.said(
            tmp_path, text
        )

    @pytest.mark.parametrize("name", ["numpy", "jax"])
    def test_backends_that_cannot_train(self, tmp_path: Path, name: str) -> None:
        assert name in self.said(tmp_path, TINY, backend=name)

    def test_values_that_no_recipe_takes(self, tmp_path: Path) -> None:
        assert self.said(tmp_path, TINY, seed=2**31).startswith("--seed 2147483648: ")
        assert self.said(tmp_path, TINY, learning_rate=-1.0).startswith("--lr -1.0: ")
        assert self.said(tmp_path, TINY, batch_size=0).startswith("--batch-size 0: ")

    def test_frozen_layers_stay(self, tmp_path: Path) -> None:
        text = TINY.replace("kernel_size: 3}", "kernel_size: 3, trainable: false}")
        train(tmp_path, text, epochs=1)
        train(tmp_path, text, epochs=2, output=tmp_path / "longer")
        found = [
            load_file(checkpoint(tmp_path / name) / "weights.safetensors")
            for name in ("run", "longer")
        ]
        assert np.array_equal(found[0]["conv.weight"], found[1]["conv.weight"])
        assert not np.array_equal(found[0]["fc.weight"], found[1]["fc.weight"])


@both
def test_batch_norm_in_batches_of_one(backend: str, tmp_path: Path) -> None:
    text = TINY.replace(
        "  - {name: relu,",
        "  - {name: norm, type: batch_norm, eps: 1.0e-3, decay: 0.9}\n  - {name: relu,",
    )
    folder = train(tmp_path, text, backend=backend, batch_size=1, epochs=1, limit=20).folder
    names = load_file(checkpoint(folder) / "weights.safetensors")
    assert {"norm.running_mean", "norm.running_var"} <= set(names)
    assert resume(folder, epochs=2).trained == 1


def test_a_damaged_image_stops_the_run_with_its_name(
    photos: Callable[..., Path], tmp_path: Path
) -> None:
    text = TINY.replace("mean: data, std: data", "mean: [0]")
    pictures = photos("a", "b", count=20, suffix="jpg")
    path = pictures / "b" / "7.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ArchspecError, match=f"^cannot read the image {path}: ") as caught:
        train(tmp_path, text, limit=None, data=f"folder:{pictures}")
    assert "\n" not in str(caught.value)


def test_the_default_folder_is_new_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = {train(tmp_path, epochs=1, limit=20, output=None).folder for _ in range(3)}
    assert len(folders) == 3
    assert {folder.parent for folder in folders} == {Path("runs")}
    assert all(folder.name.startswith("tiny-torch-") for folder in folders)


@pytest.mark.gpu
@both
def test_cuda(backend: str, tmp_path: Path) -> None:
    """The curve on a GPU is the one on the CPU, to what its arithmetic allows."""
    from archspec.backends import get_backend

    get_backend(backend).require()
    if backend == "torch":
        torch = pytest.importorskip("torch")
        available = torch.cuda.is_available()
    else:
        from archspec.backends.keras import devices

        available = any(name.startswith(("gpu", "cuda")) for name in devices())
    if not available:
        with pytest.raises(ArchspecError, match=r"^--device cuda: "):
            train(tmp_path, backend=backend, device="cuda")
        pytest.skip(f"{backend} sees no CUDA device")
    train(tmp_path, backend=backend, output=tmp_path / "cpu")
    folder = train(tmp_path, backend=backend, device="cuda").folder
    assert json.loads((folder / "run.json").read_text())["device"] == "cuda"
    for left, right in zip(figures(tmp_path / "cpu"), figures(folder), strict=True):
        assert left["train_loss"] == pytest.approx(right["train_loss"], rel=0.05)
