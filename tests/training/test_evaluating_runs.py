"""`archspec evaluate`: figures known beforehand, those of runs, and what cannot be told."""

from __future__ import annotations

import csv
import functools
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from small_runs import BACKENDS, TINY, metrics, train

import archspec
from archspec.diagnostics import ArchspecError
from archspec.evaluation import Evaluation, evaluate
from archspec.report.evaluation import print_evaluation, to_csv, to_json
from archspec.training.data import split
from archspec.training.metrics import Score
from archspec.training.pixels import ten_crops
from archspec.training.sources import open_source

# The class is the brightest of red, green and blue, when the dense layer is the unit matrix.
COLOURS = """\
archspec: 1
name: colours
input: {channels: 3, height: 4, width: 4}
layers:
  - {name: mean, type: global_avg_pool2d}
  - {name: fc, type: dense, units: 3}
training:
  epochs: 1
  batch_size: 2
  optimizer: {type: sgd, learning_rate: 0.1}
  preprocessing: {rescale: 0.01, mean: [0, 0, 0]}
"""


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """A folder with weights whose answers are known, and photos, some in the wrong class."""
    (tmp_path / "colours.yaml").write_text(COLOURS)
    weights = {"fc.weight": np.eye(3, dtype="float32"), "fc.bias": np.zeros(3, "float32")}
    archspec.save_weights(
        tmp_path / "w.safetensors", weights, archspec.load(tmp_path / "colours.yaml")
    )
    shown = {"a-red": "rrrrg", "b-green": "ggb", "c-blue": "bbbb"}
    for name, pictures in shown.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number, colour in enumerate(pictures):
            pixel = [200 if channel == colour else 20 for channel in "rgb"]
            picture = Image.fromarray(np.full((6, 6, 3), pixel, "uint8"))
            picture.save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path


def of_colours(folder: Path, **options: Any) -> Evaluation:
    data = f"folder:{folder / 'photos'}"
    return evaluate(
        folder / "w.safetensors", folder / "colours.yaml",
        **{"data": data, "backend": "numpy", **options},
    )  # fmt: skip


def shown(found: Evaluation, width: int = 80) -> str:
    stream = io.StringIO()
    print_evaluation(Console(file=stream, width=width), found)
    return stream.getvalue()


@pytest.mark.parametrize("ten_crop", [False, True])
def test_what_is_known_beforehand(colours: Path, ten_crop: bool) -> None:
    found = of_colours(colours, ten_crop=ten_crop)
    assert found.classes == ("a-red", "b-green", "c-blue")
    assert found.confusion.tolist() == [[4, 1, 0], [0, 2, 1], [0, 0, 4]]
    assert (found.images, found.score.top1, found.score.top5) == (12, 10 / 12, 1.0)
    # Logits are 2, 0.2, 0.2, of whichever crop; two images have that of another class.
    right = np.log(np.exp([2, 0.2, 0.2]).sum()) - 2
    assert found.score.loss == pytest.approx(right + 1.8 * 2 / 12, rel=1e-6)
    assert found.part == "all images"
    assert found.network.backend == "numpy"


def test_tables_json_and_csv(colours: Path) -> None:
    found = of_colours(colours)
    text = shown(found)
    lines = [line.split() for line in text.splitlines()]
    assert ["top-1", "83.33%", "10", "of", "12", "images"] in lines
    assert ["a-red", "5", "80.00%", "b-green", "(1)"] in lines
    assert ["c-blue", "4", "100.00%"] in lines
    assert ["0", "a-red", "4", "1"] in lines
    document = json.loads(to_json(found))
    assert document["classes"][1] == {"name": "b-green", "images": 3, "top1": 2 / 3}
    assert document["confusion"] == found.confusion.tolist()
    assert document["top1"] == 10 / 12
    assert document["data"] == f"folder:{colours / 'photos'}"
    rows = list(csv.reader(io.StringIO(to_csv(found))))
    assert rows == [
        ["class", "a-red", "b-green", "c-blue"],
        ["a-red", "4", "1", "0"],
        ["b-green", "0", "2", "1"],
        ["c-blue", "0", "0", "4"],
    ]


def test_a_limit_is_taken_evenly(colours: Path) -> None:
    found = of_colours(colours, limit=4)
    assert found.part == "4 of all images"
    assert found.confusion.sum(axis=1).tolist() == [2, 1, 1]
    assert of_colours(colours, limit=1000).part == "all images"


def test_progress_is_told(colours: Path) -> None:
    told: list[tuple[int, int]] = []
    of_colours(colours, batch_size=5, progress=lambda *figures: told.append(figures))
    assert told == [(5, 12), (10, 12), (12, 12)]


def test_ten_crops_are_averaged_as_probabilities(colours: Path) -> None:
    """Against the definition, image by image, on pictures of noise in which every crop differs."""
    numbers = np.random.default_rng(0)
    for path in sorted((colours / "photos").rglob("*.png")):
        Image.fromarray(numbers.integers(0, 256, (9, 7, 3), dtype="uint8")).save(path)
    found = of_colours(colours, ten_crop=True, batch_size=25)
    source = open_source(f"folder:{colours / 'photos'}")
    losses, hits = [], 0
    for index, label in enumerate(source.labels):
        crops = ten_crops(source.image(index), (3, 4, 4), found.network.preprocessing)
        odds = np.exp(crops.astype("float64").mean(axis=(1, 2)))
        mean = (odds / odds.sum(axis=1, keepdims=True)).mean(axis=0)
        losses.append(-np.log(mean[label]))
        hits += int(mean.argmax() == label)
    assert found.score.loss == pytest.approx(np.mean(losses), rel=1e-6)
    assert found.score.top1 == hits / 12
    assert json.loads(to_json(found))["ten_crop"] is True
    assert ", ten crops of each\n" in shown(found)


def test_hopeless_crops_do_not_give_an_infinite_loss(colours: Path) -> None:
    weights = {"fc.weight": np.eye(3, dtype="float32") * 1e4, "fc.bias": np.zeros(3, "float32")}
    archspec.save_weights(
        colours / "w.safetensors", weights, archspec.load(colours / "colours.yaml")
    )
    # The two wrong images are off by 18,000; no probability of theirs is a float64 above 0.
    assert of_colours(colours, ten_crop=True).score.loss == pytest.approx(18_000 * 2 / 12)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose best epoch is not its last: at the end it forgets."""
    folder = tmp_path_factory.mktemp("evaluated")
    schedule = "{type: steps, epochs: [3], factor: 60}"
    text = TINY.replace("{type: steps, epochs: [3], factor: 0.1}", schedule)
    train(folder, text.replace("epochs: 4", "epochs: 3"), limit=100)
    rows = metrics(folder / "run")
    assert max(rows, key=lambda row: row["val_top1"])["epoch"] < 3
    return folder / "run"


def figures(found: Evaluation) -> tuple[float, float, float]:
    return found.score.loss, found.score.top1, found.score.top5


def row_figures(row: dict[str, Any]) -> tuple[float, float, float]:
    return row["val_loss"], row["val_top1"], row["val_top5"]


def test_a_run_has_the_figures_of_its_best_epoch(run: Path) -> None:
    rows = metrics(run)
    best = max(rows, key=lambda row: row["val_top1"])
    found = evaluate(run, device="cpu")
    assert figures(found) == row_figures(best)
    assert found.part == "the images that the run holds out"
    assert found.images == 20
    assert found.network.backend == "torch"
    assert figures(evaluate(run, device="cpu", checkpoint="best")) == row_figures(best)


def test_any_checkpoint_can_be_asked_for(run: Path) -> None:
    last = metrics(run)[-1]
    for name in ("last", f"step-{last['step']}", f"step-{last['step']:08d}"):
        assert figures(evaluate(run, device="cpu", checkpoint=name)) == row_figures(last)
    folder = run / "checkpoints" / f"step-{last['step']:08d}"
    for path in (folder, folder / "weights.safetensors"):
        assert figures(evaluate(path, device="cpu")) == row_figures(last)


@pytest.mark.parametrize("name", ["first", "step-", "step-x", "step-7", "../run"])
def test_checkpoints_that_are_not_there(run: Path, name: str) -> None:
    with pytest.raises(ArchspecError) as error:
        evaluate(run, checkpoint=name)
    assert f"has no checkpoint `{name}`: it is `best`, `last` or `step-N`; there are" in str(
        error.value
    )
    assert f"`step-{metrics(run)[-1]['step']}`" in str(error.value)


def test_a_damaged_checkpoint_is_refused_and_the_last_whole_one_found(
    run: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    rows = metrics(copy)
    folder = copy / "checkpoints" / f"step-{rows[-1]['step']:08d}"
    content = bytearray((folder / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(content)
    with pytest.raises(ArchspecError, match="is damaged: "):
        evaluate(copy, checkpoint=f"step-{rows[-1]['step']}")
    found = evaluate(copy, checkpoint="last", device="cpu")
    assert figures(found) == row_figures(rows[-2])


@pytest.mark.parametrize("backend", ["numpy", *BACKENDS])
def test_any_backend_evaluates_any_run(run: Path, backend: str) -> None:
    best = max(metrics(run), key=lambda row: row["val_top1"])
    found = evaluate(run, backend=backend, device="cpu")
    assert found.network.backend == backend
    assert figures(found) == pytest.approx(row_figures(best), rel=1e-5)


@pytest.mark.xdist_group("keras")
def test_a_run_of_keras_is_evaluated_in_keras(tmp_path: Path) -> None:
    train(tmp_path, backend="keras", epochs=1)
    found = evaluate(tmp_path / "run", device="cpu")
    assert found.network.backend == "keras"
    (row,) = metrics(tmp_path / "run")
    # Training is compiled by XLA, and a prediction is not: the loss differs in its last digits.
    assert figures(found)[1:] == row_figures(row)[1:]
    assert found.score.loss == pytest.approx(row["val_loss"], rel=1e-6)


def test_its_own_data_by_name_are_the_held_out_images(run: Path) -> None:
    found = evaluate(run, data="digits", device="cpu")
    assert found.part == "the images that the run holds out"
    assert figures(found) == figures(evaluate(run, device="cpu"))


class TestFolders:
    @pytest.fixture
    def trained(self, tmp_path: Path, photos: Callable[..., Path]) -> tuple[Path, Path]:
        """A run on photos, and the folder of those."""
        folder = photos("cats", "dogs", "owls")
        text = TINY.replace("channels: 1", "channels: 3")
        train(tmp_path, text, data=f"folder:{folder}", limit=None, epochs=1)
        return tmp_path / "run", folder

    def test_other_images_of_the_same_classes(self, trained: tuple[Path, Path]) -> None:
        run, photos = trained
        other = shutil.copytree(photos, photos.parent / "other")
        (other / "cats" / "4.png").unlink()
        found = evaluate(run, data=f"folder:{other}", device="cpu")
        assert found.part == "all images"
        assert found.confusion.sum(axis=1).tolist() == [4, 5, 5]
        own = evaluate(run, device="cpu")
        source = open_source(f"folder:{photos}")
        assert own.images == len(split(source, None)[1]) == 3

    def test_images_that_are_no_longer_those_of_the_run(self, trained: tuple[Path, Path]) -> None:
        run, photos = trained
        (photos / "cats" / "0.png").rename(photos / "cats" / "new.png")
        with pytest.raises(ArchspecError) as error:
            evaluate(run)
        assert str(error.value).startswith(f"the images in {photos} are not those that the run in ")
        assert str(error.value).endswith("say which images to look at with --data")

    def test_images_that_the_authors_hold_out(self, trained: tuple[Path, Path]) -> None:
        run, photos = trained
        split_ = photos.parent / "split"
        for part in ("train", "val"):
            shutil.copytree(photos, split_ / part)
        found = evaluate(run, data=f"folder:{split_}", device="cpu")
        assert found.part == "the images that the source holds out"
        assert found.images == 15

    def test_other_classes(self, trained: tuple[Path, Path]) -> None:
        run, photos = trained
        (photos / "owls").rename(photos / "foxes")
        with pytest.raises(ArchspecError) as error:
            evaluate(run, data=f"folder:{photos}")
        assert str(error.value) == (
            f"the images of folder:{photos} lack the class `owls` and have `foxes`, which the run "
            "was not trained on; their folders must have the names of its classes"
        )


def test_weights_of_no_run_need_data(colours: Path) -> None:
    for options, message in (
        ({"data": None}, "belongs to no run, so say which images to look at: --data folder:DIR"),
        ({"checkpoint": "last"}, "belongs to no run, and --checkpoint is about those of a run"),
    ):
        with pytest.raises(ArchspecError) as error:
            of_colours(colours, **options)
        assert message in str(error.value)
    shutil.rmtree(colours / "photos" / "c-blue")
    with pytest.raises(ArchspecError, match="has 2 classes and the network tells 3 apart"):
        of_colours(colours)


def made(classes: int, *, name: str = "class") -> Evaluation:
    """An evaluation of so many classes, each taken `i % 7` times for the next one."""
    matrix = np.diag(np.full(classes, 50))
    for i in range(classes):
        matrix[i, (i + 1) % classes] += i % 7
    network: Any = SimpleNamespace(
        graph=SimpleNamespace(title="a net", name="net"),
        predictor=SimpleNamespace(engine="numpy", device="cpu"),
        weights=SimpleNamespace(path="w", format="store"),
        backend="numpy",
        preprocessing=SimpleNamespace(model_dump=lambda **_: {}),
    )
    names = tuple(f"{name}{i}" for i in range(classes))
    top1 = float(np.trace(matrix) / matrix.sum())
    score = Score(0.5, top1, 1.0)
    return Evaluation(network, "folder:x", "all images", False, names, score, matrix, 1.0, 0.0)


@pytest.mark.parametrize("classes", [2, 10, 12, 13, 1000])
def test_tables_fit_80_columns(classes: int) -> None:
    text = shown(made(classes, name="a class with a long name of many words "))
    assert max(map(len, text.splitlines())) <= 80
    assert len(text.splitlines()) < 120
    assert ("confusion matrix" in text) == (classes <= 12)


def test_of_many_classes_the_worst_and_the_most_confused_are_told() -> None:
    found = made(40)
    sections = {section.title: section for section in found.sections()}
    worst = sections["classes"].rows
    assert len(worst) == 20
    # Those with 6 and 5 of 56 and 55 images wrong come first.
    assert {row[0] for row in worst[:5]} == {f"class{i}" for i in (6, 13, 20, 27, 34)}
    assert [row[3] for row in worst if row[0] == "class13"] == ["class14 (6)"]
    confused = sections["confused"].rows
    assert confused[0][2:] == ("6", "10.7%")
    assert len(confused) == 20
    assert json.loads(to_json(found))["confusion"][13][14] == 6


def test_without_a_mistake_nothing_is_confused() -> None:
    found = made(20)
    found.confusion[:] = np.diag(np.full(20, 3))
    assert [section.title for section in found.sections()] == ["figures", "classes"]


def test_hostile_names_stay_words() -> None:
    found = made(3, name="=1\x1b[31m<b>")
    assert "\x1b" not in shown(found) + to_csv(found)
    assert to_csv(found).startswith("class,'=1?[31m<b>0,")


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch,
    archspec_command: Callable[..., tuple[int, str, str]],
    colours: Path,
) -> Callable[..., tuple[int, str, str]]:
    """Runs `archspec evaluate ARGUMENTS` beside weights, their spec and photos."""
    monkeypatch.chdir(colours)
    monkeypatch.setenv("COLUMNS", "80")

    return functools.partial(archspec_command, "evaluate")


def test_the_command(command: Callable[..., tuple[int, str, str]], colours: Path) -> None:
    asked = (
        "w.safetensors",
        "--spec",
        "colours.yaml",
        "--data",
        "folder:photos",
        "--backend",
        "numpy",
    )
    status, out, err = command(*asked)
    assert (status, err) == (0, "")
    assert out.startswith("colours\non numpy, cpu\nweights w.safetensors (archspec's store)\n")
    assert "83.33%" in out
    status, out, _ = command(*asked, "--ten-crop", "--format", "json", "--limit", "4")
    assert (status, json.loads(out)["images"]) == (0, 4)
    assert command(*asked, "--output", "matrix.csv") == (0, "", "wrote matrix.csv\n")
    assert Path("matrix.csv").read_text().startswith("class,a-red,b-green,c-blue\na-red,4,1,0\n")
    # What the recipe says can be replaced: half the logits, and a larger loss.
    losses = [
        json.loads(command(*asked, "--format", "json", *options)[1])["loss"]
        for options in ((), ("--rescale", "0.005"), ("--mean", "1,1,1"), ("--std", "2,2,2"))
    ]
    assert losses[1] == pytest.approx(losses[3])
    assert losses[0] == pytest.approx(losses[2])
    assert losses[1] > losses[0]
    status, _, err = command("w.safetensors", "--spec", "colours.yaml")
    assert (status, err.count("\n")) == (2, 1)
    assert command("nowhere")[::2] == (
        2,
        "archspec: nowhere belongs to no run, so say which images to look at: --data folder:DIR, "
        "with one sub-folder a class\n",
    )


def test_from_python(colours: Path) -> None:
    found: Any = archspec.evaluate(
        colours / "w.safetensors", colours / "colours.yaml",
        data=f"folder:{colours / 'photos'}", backend="numpy",
    )  # fmt: skip
    assert found.score.top1 == 10 / 12
