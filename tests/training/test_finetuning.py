"""Runs that begin with the weights of a file: what is loaded, drawn anew, and stays as it is."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import heads, layer, network, parsed, recipe
from safetensors.numpy import load_file, save_file
from small_runs import TINY, checkpoint, figures, resume, tensors, train, write_spec

import archspec
from archspec import weights
from archspec.backends import get_backend
from archspec.backends.base import Execution
from archspec.backends.initial import initial_weights
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.training import RunOptions, run
from archspec.training.finetuning import first_weights, frozen
from archspec.training.options import Progress, RunPlan, Silent

Weights = dict[str, np.ndarray]

# A convolution, a norm, and both again in a block; momentum, decay and faster biases.
NORMS = TINY.replace(
    "  - {name: relu,",
    "  - {name: norm, type: batch_norm, eps: 1.0e-3, decay: 0.9}\n"
    "  - {name: stage.conv, type: conv2d, filters: 4, kernel_size: 3}\n"
    "  - {name: stage.norm, type: batch_norm, eps: 1.0e-3, decay: 0.9, affine: false}\n"
    "  - {name: relu,",
)


class Interrupt(Silent):
    """Presses Ctrl-C behind the first step."""

    def step(self, progress: Progress) -> None:
        raise KeyboardInterrupt


def graph_of(folder: Path, text: str, **variables: Any) -> Graph:
    return archspec.load(write_spec(folder, text), **variables)


def trained(graph: Graph) -> Weights:
    """What some training could have left: no number is the first one, or 0 or 1."""
    numbers = np.random.default_rng(7)
    return {
        name: (numbers.random(value.shape) * 0.2 + 0.4).astype("float32")
        for name, value in initial_weights(graph, 0).items()
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Weights of the network for 10 classes, in the canonical store."""
    graph = graph_of(tmp_path, NORMS)
    weights.save(tmp_path / "begin.safetensors", graph, trained(graph))
    return tmp_path / "begin.safetensors"


def last(folder: Path) -> Weights:
    found: Weights = load_file(checkpoint(folder) / "weights.safetensors")
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The file, and runs of both backends from it: `norm` and `stage` frozen, `fc` drawn anew."""
    folder = tmp_path_factory.mktemp("runs")
    graph = graph_of(folder, NORMS)
    found = {"file": folder / "begin.safetensors"}
    weights.save(found["file"], graph, trained(graph))
    for backend in ("torch", "keras"):
        found[backend] = train(
            folder, NORMS, backend=backend, output=folder / backend, weights=found["file"],
            skip=("fc",), freeze=("norm", "stage"), seed=5,
        ).folder  # fmt: skip
    return found


@pytest.mark.xdist_group("keras")
@pytest.mark.parametrize("backend", ["torch", "keras"])
def test_what_is_frozen_stays_to_the_bit_and_the_rest_learns(
    backend: str, runs: dict[str, Path]
) -> None:
    """Under momentum and weight decay, with the running statistics of both norms."""
    begin, after = load_file(runs["file"]), last(runs[backend])
    same = {name for name, value in begin.items() if (after[name] == value).all()}
    assert same == {name for name in begin if name.startswith(("norm.", "stage."))}
    assert {"norm.running_mean", "stage.norm.running_var", "stage.conv.bias"} <= same
    velocities = load_file(checkpoint(runs[backend]) / "optimizer.safetensors")
    assert sorted(velocities) == [
        f"velocity.{name}" for name in ("conv.bias", "conv.weight", "fc.bias", "fc.weight")
    ]


@pytest.mark.xdist_group("keras")
def test_both_backends_take_the_same_steps(runs: dict[str, Path]) -> None:
    """The gradient of `conv` passes through what is frozen."""
    for ours, theirs in zip(figures(runs["torch"]), figures(runs["keras"]), strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-4)
        assert ours["val_loss"] == pytest.approx(theirs["val_loss"], rel=1e-4)
    left, right = last(runs["torch"]), last(runs["keras"])
    for name, value in left.items():
        np.testing.assert_allclose(right[name], value, rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.xdist_group("keras")
def test_a_run_that_dies_in_its_first_epoch_goes_on_by_itself(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    """It has kept what it began with: the file's weights, and of `fc` the spec's of its seed."""
    file = tmp_path / "begin.safetensors"
    shutil.copy(runs["file"], file)
    with pytest.raises(KeyboardInterrupt):
        train(
            tmp_path, NORMS, watcher=Interrupt(), weights=file, skip=("fc",),
            freeze=("norm", "stage"), seed=5,
        )  # fmt: skip
    folder = tmp_path / "run"
    expected, loaded = initial_weights(archspec.load(folder / "spec.yaml"), 5), load_file(file)
    for name, value in last(folder).items():
        origin = expected if name.startswith("fc.") else loaded
        np.testing.assert_array_equal(value, origin[name].astype("float32"), err_msg=name)
    file.unlink()
    assert resume(folder).trained == 4
    assert figures(folder) == figures(runs["torch"])
    assert tensors(folder) == tensors(runs["torch"])


def test_the_run_folder_says_where_it_began(file: Path, tmp_path: Path) -> None:
    folder = train(
        tmp_path, NORMS, weights=file, skip=("fc",), freeze=("conv", "stage"), epochs=1
    ).folder
    record = json.loads((folder / "run.json").read_text())
    assert record["weights"] == {
        "file": str(file),
        "format": "archspec's store",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "skip": ["fc"],
    }
    assert record["freeze"] == ["conv", "stage"]
    resolved = archspec.load(folder / "spec.yaml")
    still = [node.name for node in resolved.nodes if not getattr(node.layer, "trainable", True)]
    assert still == ["conv", "stage.conv", "stage.norm"]
    # A resumed run writes the record again, with all that it says of its beginning.
    before = record
    resume(folder, epochs=2)
    after = json.loads((folder / "run.json").read_text())
    assert (after["weights"], after["freeze"]) == (before["weights"], before["freeze"])


def test_a_run_without_weights_says_so(tmp_path: Path) -> None:
    folder = train(tmp_path, epochs=1, freeze=("conv",)).folder
    assert json.loads((folder / "run.json").read_text())["weights"] is None
    graph = archspec.load(folder / "spec.yaml")
    first = initial_weights(graph, 0)
    after = last(folder)
    for name, value in first.items():
        same = (after[name] == value.astype("float32")).all()
        assert same == name.startswith("conv.")


@pytest.mark.parametrize("place", ["", "best", "last"])
def test_weights_of_another_run(place: str, tmp_path: Path) -> None:
    first = train(tmp_path, output=tmp_path / "first").folder
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, watcher=Interrupt(), weights=checkpoint(first, place) if place else first)
    assert tensors(tmp_path / "run")[0] == tensors(first, place or "best")[0]


def test_without_a_spec_a_run_brings_its_own(tmp_path: Path) -> None:
    first = train(tmp_path, epochs=1, output=tmp_path / "first").folder
    options = RunOptions(
        weights=first, freeze=("conv",), limit=60, device="cpu", output=tmp_path / "second"
    )
    assert run(None, options).epochs == 1
    values, after = last(first), last(tmp_path / "second")
    np.testing.assert_array_equal(after["conv.weight"], values["conv.weight"])
    assert (after["fc.weight"] != values["fc.weight"]).any()


def test_other_pixel_values_than_the_weights_know(tmp_path: Path) -> None:
    class Plan(Silent):
        notes: tuple[str, ...] = ()

        def start(self, plan: RunPlan) -> None:
            assert plan.weights is not None
            self.notes = plan.weights.notes

    first = train(tmp_path, output=tmp_path / "first", epochs=1).folder
    same, other = Plan(), Plan()
    train(tmp_path, watcher=same, weights=first, output=tmp_path / "same", epochs=1)
    assert same.notes == ()
    text = TINY.replace("{mean: data, std: data}", "{rescale: 0.5, mean: [8]}")
    train(tmp_path, text, watcher=other, weights=first, epochs=1)
    (note,) = other.notes
    assert re.match(
        r"The run that left these weights read pixel values p as \(p - \[7\d\.\d+\]\) / "
        r"\[\d\d\.\d+\], and this one reads \(p x 0\.5 - \[8\]\); ",
        note,
    )
    text = TINY.replace("{mean: data, std: data}", "{short_side: 9, center_crop: 8, mean: [8]}")
    train(tmp_path, text, watcher=other, weights=first, output=tmp_path / "sized", epochs=1)
    (note,) = other.notes
    assert " of pictures as large as the input, and this one reads (p - [8]) of pictures " in note
    assert " with a shorter side of 9, 8 x 8 of its middle; " in note


def test_a_file_of_another_format(tmp_path: Path) -> None:
    """The first seed's: a dictionary of layers, H,W,I,O and in,out over H,W,C."""
    graph = graph_of(tmp_path, TINY)
    values = trained(graph)
    dictionary = {
        "conv": [values["conv.weight"].transpose(2, 3, 1, 0), values["conv.bias"]],
        "fc": [
            values["fc.weight"].reshape(10, 4, 6, 6).transpose(2, 3, 1, 0).reshape(144, 10),
            values["fc.bias"],
        ],
    }
    path = tmp_path / "dictionary.npy"
    np.save(path, np.array(dictionary, dtype=object), allow_pickle=True)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, watcher=Interrupt(), weights=path)
    begin = last(tmp_path / "run")
    for name, value in values.items():
        np.testing.assert_array_equal(begin[name], value, err_msg=name)


class TestMessages:
    def said(self, folder: Path, text: str = NORMS, **options: Any) -> str:
        with pytest.raises(ArchspecError) as caught:
            train(folder, text, **options)
        assert "\n" not in str(caught.value)
        assert not (folder / "run").exists()
        return str(caught.value)

    def test_other_classes_name_the_command_to_type(self, tmp_path: Path) -> None:
        graph = graph_of(tmp_path, NORMS, classes=7)
        file = tmp_path / "seven classes.safetensors"
        weights.save(file, graph, trained(graph))
        said = self.said(tmp_path, weights=file, epochs=1, freeze=("conv*",))
        assert re.search(r"fc\.(weight|bias): the file has 7( x \d+)?, the network 10", said)
        words = shlex.split(said.partition("everything else fits: ")[2])
        assert words[:3] == ["archspec", "train", str(tmp_path / "tiny.yaml")]
        assert words[-6:] == ["--weights", str(file), "--freeze", "conv*", "--skip", "fc"]
        train(tmp_path, NORMS, weights=file, epochs=1, freeze=("conv*",), skip=("fc",))

    def test_layers_that_the_file_has_not(self, tmp_path: Path) -> None:
        graph = graph_of(tmp_path, NORMS)
        values = {k: v for k, v in trained(graph).items() if not k.startswith(("norm.", "fc."))}
        file = tmp_path / "part.safetensors"
        save_file(values, file)
        assert "has no `norm.weight`" in self.said(tmp_path, weights=file)
        assert self.said(tmp_path, weights=file, skip=("norm",)).endswith(
            f"--weights {file} --skip norm --skip fc"
        )

    def test_another_network(self, file: Path, tmp_path: Path) -> None:
        text = NORMS.replace(
            "name: conv, type: conv2d, filters: 4", "name: conv, type: conv2d, filters: 5"
        )
        said = self.said(tmp_path, text, weights=file)
        assert "everything else fits" not in said
        assert "--skip" in said

    def test_every_head_of_a_network_is_named(self, tmp_path: Path) -> None:
        graph = heads()
        file = tmp_path / "heads.safetensors"
        weights.save(file, graph, trained(graph))
        names = ("aux1.fc", "aux2.fc", "early", "fc")
        other = graph.with_layers(names, units=9)
        # `fc` reads `early`, whose outputs are other ones too.
        with pytest.raises(ArchspecError) as caught:
            first_weights(other, file, (), ("archspec", "train"))
        assert str(caught.value).endswith(
            "everything else fits: archspec train " + " ".join(f"--skip {name}" for name in names)
        )

    def test_folders_and_files_that_are_none(self, tmp_path: Path) -> None:
        assert "is a folder, and neither that of a run" in self.said(tmp_path, weights=tmp_path)
        assert "does not exist" in self.said(tmp_path, weights=tmp_path / "nowhere.npy")

    def test_a_run_without_a_checkpoint(self, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, watcher=Interrupt(), output=tmp_path / "died")
        said = self.said(tmp_path, TINY, weights=tmp_path / "died")
        assert said.endswith(f"go on with it: archspec train --resume {tmp_path / 'died'}")

    def test_skip_without_a_file(self, tmp_path: Path) -> None:
        said = self.said(tmp_path, skip=("fc",))
        assert said == "--skip is about the weights of a file; say which: --weights FILE"

    @pytest.mark.parametrize("option", ["skip", "freeze"])
    @pytest.mark.parametrize(
        ("pattern", "message"),
        [
            ("cnv", "tiny has no weights of that name; did you mean `conv`?"),
            ("stag", "tiny has no weights of that name; did you mean `stage`?"),
            ("relu", "`relu` has no weights"),
            ("[", "tiny has no weights of that name; the layers with weights are `conv`, `norm`"),
        ],
    )
    def test_patterns_that_mean_nothing(
        self, option: str, pattern: str, message: str, file: Path, tmp_path: Path
    ) -> None:
        said = self.said(tmp_path, weights=file, **{option: (pattern,)})
        assert said.startswith(f"--{option} {pattern}: {message}")

    def test_everything_frozen(self, tmp_path: Path) -> None:
        said = self.said(tmp_path, freeze=("*",))
        assert said == "--freeze * leaves nothing to train: every layer with weights is frozen"
        self.said(tmp_path, freeze=("conv", "norm", "stage", "fc"))

    def test_a_part_of_a_layer(self, tmp_path: Path) -> None:
        said = self.said(tmp_path, freeze=("*conv.bias",))
        assert said == (
            "--freeze *conv.bias matches a part of `conv`, `stage.conv`, and a layer is frozen as "
            "a whole; the recipe can keep single tensors: "
            "`parameters: [{match: '*conv.bias', learning_rate: 0}]`"
        )

    def test_resume_has_decided(self, tmp_path: Path) -> None:
        folder = train(tmp_path, epochs=1).folder
        with pytest.raises(
            ArchspecError, match=r"--skip nothing -> fc, --freeze nothing -> conv; "
        ):
            resume(folder, weights=folder, skip=("fc",), freeze=("conv",))


class TestPatterns:
    @pytest.mark.parametrize(
        ("patterns", "expected"),
        [
            (["conv*"], ["conv1", "conv2", "conv3", "conv4", "conv5"]),
            (["fc6.*"], ["fc6"]),
            (["fc[67]", "conv1"], ["conv1", "fc6", "fc7"]),
            ([], []),
        ],
    )
    def test_layers_of_alexnet(self, patterns: list[str], expected: list[str]) -> None:
        graph = archspec.load("alexnet")
        found = frozen(graph, patterns)
        assert [n.name for n in found.nodes if not getattr(n.layer, "trainable", True)] == expected
        assert (found.hash == graph.hash) == (not expected)

    def test_a_block_is_all_of_its_layers(self) -> None:
        graph = archspec.load("resnet18")
        found = frozen(graph, ["conv1", "conv2_1"])
        still = {n.name for n in found.nodes if not getattr(n.layer, "trainable", True)}
        assert {name.partition(".")[0] for name in still} == {"conv1", "conv2_1"}
        totals = archspec.analyze(found).totals
        # The stem, 7*7*3*64 and 2*64, and two convolutions 3*3*64*64 with their norms.
        frozen_params = totals.params - totals.trainable_params
        assert frozen_params == 9408 + 128 + 2 * (36864 + 128)

    def test_ten_thousand_layers(self) -> None:
        layers = [layer(f"conv{i}", "conv2d", filters=1, kernel_size=1) for i in range(10_000)]
        found = frozen(parsed(layers, (1, 4, 4)), ["conv1*"])
        still = sum(not getattr(n.layer, "trainable", True) for n in found.nodes)
        assert still == 1 + 10 + 100 + 1000


def two_stages() -> Graph:
    """Two convolutions with a norm between them, and two dense layers behind."""
    layers = [
        layer("conv1", "conv2d", filters=4, kernel_size=3),
        layer("relu1", "relu"),
        layer("norm1", "batch_norm", eps=1e-3, decay=0.9),
        layer("conv2", "conv2d", filters=4, kernel_size=3),
        layer("relu2", "relu"),
        layer("flatten", "flatten"),
        layer("fc1", "dense", units=6),
        layer("fc2", "dense", units=5),
    ]
    return network(layers, (3, 9, 9))


class TestNoMoreBackwardThanNeeded:
    """The gradient goes no further back than to the first layer that learns."""

    images = np.random.default_rng(0).standard_normal((8, 9, 9, 3)).astype("float32")
    labels = np.arange(8) % 5

    def trainer(self, backend: str, graph: Graph, **options: Any) -> Any:
        chosen: Any = get_backend(backend)
        chosen.require()
        execution = Execution("cpu", **options)
        return chosen.trainer(graph, recipe(), initial_weights(graph, 0), execution)

    def test_torch(self) -> None:
        found = self.trainer("torch", frozen(two_stages(), ["conv*", "norm1"]))
        needs: dict[str, bool] = {}
        for name, module in found._model.named_children():
            module.register_forward_hook(
                lambda m, a, output, name=name: needs.update({name: output.requires_grad})
            )
        found.step(self.images, self.labels, 0.05)
        assert [name for name, need in needs.items() if need] == ["fc1", "fc2"]

    @pytest.mark.xdist_group("keras")
    def test_keras_on_tensorflow(self) -> None:
        """In the compiled step: TensorFlow's graph still has what XLA then leaves out."""
        keras = pytest.importorskip("keras")
        convolutions = {}
        for patterns in (("conv1", "norm1"), ("conv*", "norm1")):
            found = self.trainer("keras", frozen(two_stages(), patterns), compile=True)
            if keras.backend.backend() != "tensorflow":
                pytest.skip("Keras runs on another engine")
            step = found._step._step
            batch = self.images, self.labels, np.float32(0.05), []
            program = step.experimental_get_compiler_ir(*batch)(stage="optimized_hlo")
            convolutions[patterns] = len(re.findall(r"\bconvolution\(", program))
        # Two forward, and the gradient of the kernel of conv2 where that learns.
        assert list(convolutions.values()) == [3, 2]


def test_the_api_takes_the_same_options(file: Path, tmp_path: Path) -> None:
    options = RunOptions(
        weights=file, skip=("fc",), freeze=("conv",), epochs=1, limit=40, device="cpu",
        output=tmp_path / "out", variables={},
    )  # fmt: skip
    summary = run(tmp_path / "tiny.yaml", options)
    assert summary.trained == 1
    said = options.command("tiny.yaml")
    assert " ".join(said) == (
        f"archspec train tiny.yaml --epochs 1 --device cpu --limit 40 --output {tmp_path / 'out'} "
        f"--weights {file} --skip fc --freeze conv"
    )
