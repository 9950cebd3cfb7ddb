"""What ends a run, or should be known of it: each with its message, and nothing good is lost."""

from __future__ import annotations

import errno
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_runs import (
    AUXILIARY,
    BACKENDS,
    TINY,
    checkpoint,
    figures,
    metrics,
    resume,
    tensors,
    train,
)

import archspec
from archspec.backends import get_backend
from archspec.backends.base import OutOfMemory
from archspec.diagnostics import ArchspecError
from archspec.training import durable, trouble
from archspec.training.data import Images
from archspec.training.options import Progress, RunPlan, Silent

both = pytest.mark.parametrize("backend", BACKENDS)
NORM = TINY.replace(
    "  - {name: relu,",
    "  - {name: norm, type: batch_norm, eps: 1.0e-3, decay: 0.9}\n  - {name: relu,",
).replace("mean: data, std: data", "mean: [78]")


class Heard(Silent):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[int]]]:
    """Lets batches, which count from 1, have a pixel that is no number.

    Returns the numbers of the images of these batches, as they are found by looking for their
    pixels in the source.
    """

    def arrange(*which: int) -> list[list[int]]:
        batches, count, found = Images.batches, 0, []

        def wrapped(self: Images, size: int, **options: Any) -> Iterator[Any]:
            nonlocal count
            for batch in batches(self, size, **options):
                training = "epoch" in options
                count += training
                if training and count in which:
                    each = {self[place]["image"].tobytes(): place for place in range(len(self))}
                    found.append([self.indices[each[i.tobytes()]] for i in batch["image"]])
                    batch["image"][3, 4, 4, 0] = math.nan
                yield batch

        monkeypatch.setattr(Images, "batches", wrapped)
        return found

    return arrange


class TestNotFinite:
    def test_the_images_of_the_batch_are_named(self, tmp_path: Path, poisoned: Any) -> None:
        found = poisoned(9)
        with pytest.raises(ArchspecError) as caught:
            train(tmp_path, NORM)
        (numbers,) = found
        assert len(numbers) == 8
        named = ", ".join(map(str, numbers[:5]))
        assert str(caught.value) == (
            "the loss is nan in epoch 2, batch 3 (step 9), at a learning rate of 0.05; the batch "
            f"has the images {named} and 3 more; try a smaller --lr in a new run, or leave such "
            "steps out with --on-nan skip; the run is saved after step 6, go on from there with "
            f"archspec train --resume {tmp_path}/run"
        )
        assert checkpoint(tmp_path / "run").name == "step-00000006"

    def test_files_are_named_with_their_numbers(
        self, photos: Callable[..., Path], tmp_path: Path
    ) -> None:
        """The titles in the order of the source: a/0.png is number 0, b/0.png number 10."""
        with pytest.raises(ArchspecError) as caught:
            train(
                tmp_path, TINY.replace("mean: data, std: data", "mean: [0]"), limit=None,
                data=f"folder:{photos('a', 'b', count=10)}", learning_rate=1e37,
            )  # fmt: skip
        named = re.findall(r"([ab])/(\d)\.png \(number (\d+)\)", str(caught.value))
        assert len(named) == 5
        assert all(int(number) == "ab".index(c) * 10 + int(file) for c, file, number in named)

    def test_bad_numbers_are_never_saved(self, tmp_path: Path, poisoned: Any) -> None:
        """Not even where nobody has looked at the loss, and the last update made them."""
        whole = train(tmp_path, NORM, epochs=1, output=tmp_path / "whole").folder
        poisoned(8)
        with pytest.raises(ArchspecError, match=r"the loss is nan .* saved after step 6, "):
            train(tmp_path, NORM, save_every="2")
        assert tensors(tmp_path / "run") == tensors(whole)

    def test_weights_that_a_finite_loss_has_broken(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from archspec.backends.torch.trainer import TorchTrainer

        weights = TorchTrainer.weights

        def broken(self: Any) -> Any:
            found = weights(self)
            if (tmp_path / "run" / "metrics.jsonl").exists():
                found["fc.bias"][3] = np.inf
            return found

        monkeypatch.setattr(TorchTrainer, "weights", broken)
        with pytest.raises(
            ArchspecError,
            match=r"^fc.bias has numbers that are not finite after step 12; try a smaller --lr in "
            r"a new run; the run is saved ",
        ):
            train(tmp_path)
        assert checkpoint(tmp_path / "run").name == "step-00000006"

    @both
    def test_a_step_that_is_left_out_has_never_been(
        self, backend: str, tmp_path: Path, poisoned: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Weights, running statistics and velocities are those of a run without that batch."""
        heard = Heard()
        with monkeypatch.context():
            found = poisoned(4)
            train(
                tmp_path, NORM, backend=backend, on_nan="skip", epochs=1, watcher=heard,
                output=tmp_path / "left-out",
            )  # fmt: skip
        monkeypatch.undo()
        chosen: Any = get_backend(backend)
        graph = archspec.load(tmp_path / "left-out" / "spec.yaml")
        from archspec.backends.base import Execution
        from archspec.training.data import Epoch, prepare
        from archspec.training.sources import open_source

        recipe = graph.spec.training
        assert recipe is not None
        start = load_file(_first(tmp_path, backend) / "weights.safetensors")
        trainer = chosen.trainer(graph, recipe, start, Execution("cpu"))
        data = prepare(open_source("digits"), graph.input_shape, recipe, 60)
        for number, batch in enumerate(data.training.batches(8, epoch=Epoch(0, 1))):
            if number != 3:
                trainer.step(batch["image"], batch["label"], 0.05)
        kept = checkpoint(tmp_path / "left-out")
        for name, value in trainer.weights().items():
            np.testing.assert_array_equal(value, load_file(kept / "weights.safetensors")[name])
        for name, value in trainer.optimizer_state().items():
            np.testing.assert_array_equal(value, load_file(kept / "optimizer.safetensors")[name])
        (said,) = heard.warnings
        assert said == (
            "the step in epoch 1, batch 4 (step 4), at a learning rate of 0.05 leads to NaN or "
            "infinity and is left out, 1 so far; its batch has the images "
            f"{', '.join(map(str, found[0][:5]))} and 3 more"
        )

    def test_it_goes_on_with_what_was_asked_for(
        self, tmp_path: Path, poisoned: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A run that stopped can leave the step out; the losses of an epoch are those it made."""
        poisoned(9)
        with pytest.raises(ArchspecError, match="the loss is nan"):
            train(tmp_path, NORM)
        monkeypatch.undo()
        poisoned(3)
        summary = resume(tmp_path / "run", on_nan="skip")
        assert summary.trained == 3
        state = json.loads((checkpoint(tmp_path / "run") / "state.json").read_text())
        assert (state["skipped"], state["in_a_row"], state["step"]) == (1, 0, 24)
        assert json.loads((tmp_path / "run" / "run.json").read_text())["on_nan"] == "skip"
        assert all(math.isfinite(row["train_loss"]) for row in metrics(tmp_path / "run"))

    def test_too_many(self, tmp_path: Path, poisoned: Any) -> None:
        """As many as an epoch has: there is no loss of that epoch."""
        poisoned(*range(4, 40))
        heard = Heard()
        with pytest.raises(ArchspecError) as caught:
            train(tmp_path, NORM, on_nan="skip", watcher=heard)
        assert len(heard.warnings) == 5
        assert str(caught.value).startswith(
            "6 steps in a row lead to NaN or infinity and were left out, the last in epoch 2, "
            "batch 3 (step 9), at a learning rate of 0.05; its batch has the images "
        )
        assert "try a smaller --lr in a new run; the run is saved after step 9, " in str(
            caught.value
        )


def _first(folder: Path, backend: str) -> Path:
    """The checkpoint with which a run begins."""

    class Stop(Silent):
        def start(self, plan: RunPlan) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(folder, NORM, backend=backend, watcher=Stop(), output=folder / "first")
    return checkpoint(folder / "first")


class TestMemory:
    """On a device that this machine lacks: the error is raised by hand, with its figures."""

    ROOM = 90_000

    def said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OutOfMemory, step: int = 1
    ) -> str:
        from archspec.backends.torch.trainer import TorchTrainer

        made, steps = TorchTrainer.step, []

        def exhausted(self: Any, *arguments: Any) -> Any:
            steps.append(1)
            if len(steps) == step:
                raise error
            return made(self, *arguments)

        monkeypatch.setattr(TorchTrainer, "step", exhausted)
        with pytest.raises(ArchspecError) as caught:
            train(tmp_path, batch_size=40)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def test_the_batch_that_fits(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        error = OutOfMemory("cuda", 40, 150 << 10, self.ROOM)
        said = self.said(tmp_path, monkeypatch, error)
        found = archspec.analyze(tmp_path / "run" / "spec.yaml", batch=40)
        fits = found.memory_with(budget=self.ROOM).largest_batch
        assert fits is not None
        assert 1 < fits < 40
        peak = f"{found.memory.training_peak / 1024:.1f} KiB"
        assert said.startswith(
            f"cuda has too little memory for batches of 40 images; 150.0 KiB were in use at the "
            f"peak; archspec estimates {peak} for a batch of 40 images in float32, and there are "
            f"87.9 KiB: try --batch-size {fits} in a new run, which fits by that; the run is saved"
        )

    def test_an_estimate_that_would_fit(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        said = self.said(tmp_path, monkeypatch, OutOfMemory("cuda", 40, 1 << 30, 1 << 30))
        assert "and there are 1.0 GiB: what the estimate leaves out, workspaces and frag" in said
        assert "try --batch-size 20 in a new run" in said

    def test_not_even_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        said = self.said(tmp_path, monkeypatch, OutOfMemory("cuda", 40, 10, 1000))
        assert "and there are 1000 B, too little for one image; take a larger device" in said

    def test_nobody_knows_how_much_there_is(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        said = self.said(tmp_path, monkeypatch, OutOfMemory("cuda", 40))
        assert "; archspec estimates " in said
        assert "in float32; try a smaller --batch-size in a new run; the run is saved as it" in said

    def test_in_the_middle_nothing_half_made_is_saved(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.said(tmp_path, monkeypatch, OutOfMemory("cuda", 40), step=2)
        assert checkpoint(tmp_path / "run").name == "step-00000001"


class TestImages:
    def test_one_that_turns_unreadable(self, photos: Callable[..., Path], tmp_path: Path) -> None:
        """It is named, what is trained is saved, and with the file back the run goes on."""
        text = TINY.replace("mean: data, std: data", "mean: [0]")
        pictures = photos("a", "b", count=20)
        options = {"limit": None, "data": f"folder:{pictures}", "epochs": 2}
        whole = train(tmp_path, text, output=tmp_path / "whole", **options).folder
        numbers = next(_batches(whole, 2))

        class Break(Silent):
            def start(self, plan: RunPlan) -> None:
                path.write_bytes(content[:-60])

        path = numbers
        content = path.read_bytes()
        with pytest.raises(ArchspecError) as caught:
            train(tmp_path, text, watcher=Break(), **options)
        assert str(caught.value).startswith(f"cannot read the image {path}: ")
        assert str(caught.value).endswith(
            f"; the run is saved after step 2, go on from there with archspec train --resume "
            f"{tmp_path}/run"
        )
        path.write_bytes(content)
        resume(tmp_path / "run")
        assert figures(tmp_path / "run") == figures(whole)
        assert tensors(tmp_path / "run") == tensors(whole)


def _batches(run: Path, start: int) -> Iterator[Path]:
    """The files of a run's first epoch that are not in its first batches."""
    from archspec.training.data import Epoch, prepare
    from archspec.training.sources import open_source

    graph = archspec.load(run / "spec.yaml")
    recipe = graph.spec.training
    assert recipe is not None
    about = json.loads((run / "run.json").read_text())
    source = open_source(about["data"])
    training = prepare(source, graph.input_shape, recipe, None).training
    for number in training.members(8, Epoch(0, 1), start):
        yield Path(about["data"].removeprefix("folder:")) / source.title(number)


class TestDisk:
    @pytest.fixture
    def full(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
        """Lets folders be written up to one, and from a later one on: the disk is full between."""

        def arrange(first: int, last: int, number: int = errno.ENOSPC) -> None:
            write, count = durable.write_folder, 0

            def limited(path: Path, files: Any) -> None:
                nonlocal count
                count += 1
                if first <= count <= last:
                    raise OSError(number, "No space left on device")
                write(path, files)

            monkeypatch.setattr(durable, "write_folder", limited)

        return arrange

    def test_for_a_while(self, tmp_path: Path, full: Any) -> None:
        whole = train(tmp_path, output=tmp_path / "whole").folder
        full(3, 4)
        heard = Heard()
        train(tmp_path, watcher=heard)
        checkpoints = tmp_path / "run" / "checkpoints"
        assert heard.warnings == [
            f"cannot write {checkpoints}/step-000000{step}: No space left on device; training goes "
            "on, and the next save tries again"
            for step in (12, 18)
        ]
        assert figures(tmp_path / "run") == figures(whole)
        assert tensors(tmp_path / "run") == tensors(whole)

    def test_to_the_end(self, tmp_path: Path, full: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = train(tmp_path, output=tmp_path / "whole").folder
        with monkeypatch.context():
            full(4, 99)
            with pytest.raises(ArchspecError) as caught:
                train(tmp_path)
        assert str(caught.value) == (
            f"cannot write {tmp_path}/run/checkpoints/step-00000024: No space left on device; the "
            "run is saved after step 12, go on from there with archspec train --resume "
            f"{tmp_path}/run"
        )
        assert len(metrics(tmp_path / "run")) == 2
        monkeypatch.undo()
        resume(tmp_path / "run")
        assert figures(tmp_path / "run") == figures(whole)
        assert tensors(tmp_path / "run") == tensors(whole)

    def test_from_the_beginning(self, tmp_path: Path, full: Any) -> None:
        """Before the first step, and the same command begins once there is room."""
        full(1, 1)
        with pytest.raises(ArchspecError, match=r"^cannot write .*/step-00000000: No space left"):
            train(tmp_path)
        assert train(tmp_path, epochs=1).trained == 1

    def test_a_folder_that_is_read_only(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A run that cannot be saved does not go on."""
        train(tmp_path, epochs=1)
        before = tensors(tmp_path / "run")

        def refused(path: Path, data: bytes) -> None:
            raise OSError(errno.EROFS, "Read-only file system")

        monkeypatch.setattr(durable, "write_file", refused)
        with pytest.raises(
            ArchspecError, match=r"^cannot write .*run/spec.yaml: Read-only file system$"
        ):
            resume(tmp_path / "run", epochs=2)
        assert tensors(tmp_path / "run") == before


class TestChance:
    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(trouble, "STEPS", 20)

    def warned(self, tmp_path: Path, text: str, **options: Any) -> str:
        heard = Heard()
        train(tmp_path, text, watcher=heard, **options)
        (said,) = heard.warnings
        assert "\n" not in said
        begin = "the loss has stayed at 2.3026 = ln(10), that of guessing, for 20 steps and more: "
        assert said.startswith(begin)
        return said.removeprefix(begin)

    @both
    def test_dead_from_the_beginning(self, backend: str, tmp_path: Path) -> None:
        text = TINY.replace(
            "kernel_size: 3}", "kernel_size: 3, bias_init: {type: constant, value: -100}}"
        )
        said = self.warned(tmp_path, text, backend=backend)
        assert said.startswith("relu gives 0 for every image, so that nothing before it can learn;")
        assert "it was so before the first step: larger initial weights" in said

    def test_killed_by_the_learning_rate(self, tmp_path: Path) -> None:
        """The first step throws the convolution out; the head learns nothing."""
        text = (
            TINY.replace(
                '{match: "*.bias", learning_rate: 2, weight_decay: 0}',
                (
                    '{match: "conv.bias", learning_rate: 1.0e+9, weight_decay: 0}, '
                    '{match: "*.weight", learning_rate: 1.0e-6}'
                ),
            )
            .replace("momentum: 0.9", "momentum: 0")
            .replace("learning_rate: 0.05", "learning_rate: 1")
        )
        said = self.warned(tmp_path, text, epochs=6)
        assert said == (
            "conv gives the same for every image, so that nothing before it can learn; it was not "
            "so before the first step, and a learning rate of 0.1 has brought it there: try a "
            "smaller --lr"
        )

    def test_a_learning_rate_that_is_too_small(self, tmp_path: Path) -> None:
        said = self.warned(
            tmp_path,
            TINY.replace(
                "kernel_size: 3}", "kernel_size: 3, weight_init: {type: normal, std: 0.01}}"
            ),
            learning_rate=1e-9,
        )
        assert "no weight has moved by more than " in said
        assert said.endswith("a learning rate of 1e-10 is too small: try a larger --lr")

    def test_weights_that_begin_with_zeros(self, tmp_path: Path) -> None:
        """They have no size that a move could be held against."""
        text = TINY.replace("  - {name: conv, type: conv2d, filters: 4, kernel_size: 3}\n", "")
        text = text.replace("  - {name: relu, type: relu}\n", "")
        text = text.replace("units: $classes", "units: $classes, weight_init: zeros")
        said = self.warned(tmp_path, text, learning_rate=1e-7)
        assert said.startswith("images reach the output and weights move, so look whether ")

    def test_pixel_values_that_are_not_scaled(self, tmp_path: Path) -> None:
        """Their mean and deviation are those that NumPy finds in the digits."""
        text = TINY.replace("mean: data, std: data", "mean: [0]").replace(
            "kernel_size: 3}", "kernel_size: 3, weight_init: {type: normal, std: 1.0e-5}}"
        )
        said = self.warned(tmp_path, text, learning_rate=1e-9)
        assert "the network reads pixel values with a mean of 7" in said
        assert said.endswith("`preprocessing: {mean: data, std: data}` makes them 0 and 1")

    def test_another_output_adds_its_share(self, tmp_path: Path) -> None:
        """ln(10) (1 + 0.3), and nothing that is not there: said once in a run."""
        text = AUXILIARY.replace(
            "kernel_size: 3}", "kernel_size: 3, bias_init: {type: constant, value: -100}}", 1
        )
        heard = Heard()
        train(tmp_path, text, watcher=heard, epochs=8)
        (said,) = heard.warnings
        assert said.startswith("the loss has stayed at 2.9934 = ln(10) with the auxiliary outputs")

    def test_a_network_that_learns(self, tmp_path: Path) -> None:
        heard = Heard()
        train(tmp_path, watcher=heard)
        assert heard.warnings == []


def test_a_run_that_nobody_listens_to_any_more_is_saved(tmp_path: Path) -> None:
    """As behind `| head`, which goes away: the run goes on from that very step, to the last bit."""

    class Gone(Silent):
        def step(self, progress: Progress) -> None:
            if progress.epoch == 2:
                raise BrokenPipeError

    whole = train(tmp_path, output=tmp_path / "whole").folder
    with pytest.raises(BrokenPipeError):
        train(tmp_path, watcher=Gone())
    assert checkpoint(tmp_path / "run").name > "step-00000006"
    resume(tmp_path / "run")
    assert tensors(tmp_path / "run") == tensors(whole)
