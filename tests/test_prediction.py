"""From pictures to classes: pixels, labels, probabilities, and what cannot be looked at."""

from __future__ import annotations

import functools
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import archspec
from archspec import prediction, weights
from archspec.backends import backend_names, get_backend
from archspec.backends.initial import initial_weights
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.training import RunOptions, run

TINY = """\
archspec: 1
name: tiny
input: {channels: 3, height: 9, width: 11}
variables: {classes: 7}
defaults: {bias_init: {type: normal, std: 0.1}}
layers:
  - {name: conv, type: conv2d, filters: 6, kernel_size: 3}
  - {name: norm, type: batch_norm, eps: 1.0e-3, decay: 0.9}
  - {name: relu, type: relu}
  - {name: pool, type: max_pool2d, kernel_size: 3, stride: 2, rounding: floor}
  - {name: flatten, type: flatten}
  - {name: drop, type: dropout, rate: 0.5, scaling: at_inference}
  - {name: fc, type: dense, units: $classes}
training:
  epochs: 1
  batch_size: 8
  optimizer: {type: sgd, learning_rate: 0.05, momentum: 0.9}
  preprocessing: {rescale: 0.01, mean: [0.5, 0.4, 0.3], std: [0.2, 0.3, 0.4]}
"""
DIGITS = """\
archspec: 1
name: digits
input: {channels: 1, height: 8, width: 8}
layers:
  - {name: flatten, type: flatten}
  - {name: fc, type: dense, units: 10}
training:
  epochs: 2
  batch_size: 8
  optimizer: {type: sgd, learning_rate: 0.05}
  preprocessing: {mean: data, std: data}
"""
LABELS = ["tench", "goldfish", "great white shark", "tiger shark", "ray", "cock", "hen"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec, its weights, labels and an image of another size, in the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    graph = archspec.load("tiny.yaml")
    weights.save("tiny.safetensors", graph, drawn(graph))
    Path("labels.txt").write_text("\n".join(LABELS) + "\n")
    picture("photo.png")
    return tmp_path


def drawn(graph: Graph) -> dict[str, np.ndarray]:
    return {name: value.astype("float32") for name, value in initial_weights(graph, 3).items()}


def picture(name: str, seed: int = 0, size: tuple[int, int] = (31, 23)) -> Path:
    numbers = np.random.default_rng(seed)
    pixels = numbers.integers(0, 256, (size[1], size[0], 3), dtype="uint8")
    Image.fromarray(pixels).save(name)
    return Path(name)


def predict(*images: str | Path, **options: Any) -> list[prediction.Prediction]:
    options = {"weights": "tiny.safetensors", "spec": "tiny.yaml", "backend": "numpy", **options}
    return archspec.predict(images or ["photo.png"], **options)


def said(*images: str | Path, **options: Any) -> str:
    with pytest.raises(ArchspecError) as caught:
        predict(*images, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestLogits:
    def test_they_are_those_of_the_definition(self, folder: Path) -> None:
        """Pixels cut, scaled and normalised by hand, and the network in float64."""
        graph = archspec.load("tiny.yaml")
        values = drawn(graph)
        numpy: Any = get_backend("numpy")
        model = numpy.build(graph)
        numpy.load_weights(graph, model, {k: v.astype("float64") for k, v in values.items()})
        # 31 x 23 holds 28.11 x 23 of the proportions 11 : 9, in the middle.
        left = (31 - 23 * 11 / 9) / 2
        image = Image.open("photo.png").resize(
            (11, 9), Image.Resampling.BILINEAR, box=(left, 0, 31 - left, 23)
        )
        pixels = (np.asarray(image, "float64") * 0.01 - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.4]
        expected = model(pixels.transpose(2, 0, 1)[None])[0]
        (found,) = predict()
        np.testing.assert_allclose(found.logits, expected, rtol=1e-5, atol=1e-5)
        odds = np.exp(found.logits.astype("float64"))
        best = found.top[0]
        assert best.index == expected.argmax()
        assert best.probability == pytest.approx(odds.max() / odds.sum(), rel=1e-12)
        assert [g.index for g in found.top] == np.argsort(-expected)[:5].tolist()

    def test_the_shorter_side_is_scaled_where_it_is_said(self, folder: Path) -> None:
        """A picture that Pillow scaled and cut stays as it is, and has the same logits."""
        whole = Image.open("photo.png").resize((16, 12), Image.Resampling.BILINEAR)
        whole.crop((2, 2, 13, 11)).save("cut.png")  # 2.5 and 1.5 are rounded to the even 2
        (expected,) = predict("cut.png")
        Path("sided.yaml").write_text(TINY.replace("{rescale:", "{short_side: 12, rescale:"))
        for options in ({"spec": "sided.yaml"}, {"preprocessing": {"short_side": 12}}):
            (found,) = predict(**options)
            # The two may differ by 1 of 255 here and there, 0.05 after the deviation of 0.2.
            np.testing.assert_allclose(found.logits, expected.logits, atol=0.05)
        assert np.abs(predict()[0].logits - expected.logits).max() > 0.2

    @pytest.mark.xdist_group("keras")
    def test_every_backend_gives_the_same(self, folder: Path) -> None:
        Path("photos").mkdir()
        for index in range(3):
            picture(f"photos/{index}.png", index)
        found = {}
        for name in backend_names():
            get_backend(name).require()
            found[name] = [p.logits for p in predict("photos", backend=name, device="cpu")]
        assert {"torch", "keras", "numpy"} <= found.keys()
        expected = np.array(found["numpy"])
        # 2^-24 is 6e-8; the longest sum has 72 numbers.
        bound = 1e-5 * np.abs(expected).max()
        for name, logits in found.items():
            assert np.abs(np.array(logits) - expected).max() < bound, name

    def test_red_is_the_first_channel(self, folder: Path) -> None:
        graph = archspec.load("tiny.yaml", classes=3)
        values = {name: np.zeros_like(value) for name, value in drawn(graph).items()}
        values["norm.weight"] += 1
        values["norm.running_var"] += 1
        for colour in range(3):  # a feature for each colour, a class for each feature
            values["conv.weight"][colour, colour] = 1
            values["fc.weight"].reshape(3, 6, -1)[colour, colour] = 1
        weights.save("colours.safetensors", graph, values)
        for colour, name in enumerate(("red", "lime", "blue")):
            Image.new("RGB", (30, 30), name).save("one.png")
            (found,) = predict("one.png", weights="colours.safetensors", variables={"classes": 3})
            assert found.top[0].index == colour

    def test_softmax_is_not_taken_twice(self, folder: Path) -> None:
        text = TINY.replace("training:", "  - {name: odds, type: softmax}\ntraining:")
        Path("softmax.yaml").write_text(text)
        (plain,), (ending,) = predict(), predict(spec="softmax.yaml")
        assert plain.top == ending.top
        np.testing.assert_array_equal(plain.logits, ending.logits)

    def test_more_images_than_a_batch_holds(self, folder: Path) -> None:
        paths = [picture(f"{index}.png", index) for index in range(prediction.BATCH + 3)]
        found = predict(*paths)
        assert [p.image for p in found] == paths
        for path, one in zip(paths, found, strict=True):
            (alone,) = predict(path)
            np.testing.assert_allclose(one.logits, alone.logits, rtol=1e-5, atol=1e-6)

    def test_logits_that_are_no_numbers(self, folder: Path) -> None:
        graph = archspec.load("tiny.yaml")
        values = {name: value * np.float32(1e25) for name, value in drawn(graph).items()}
        weights.save("huge.safetensors", graph, values)
        with np.errstate(all="ignore"):
            message = said(weights="huge.safetensors")
        assert message.startswith("the logits of photo.png are not finite: the weights of huge.")

    def test_top(self, folder: Path) -> None:
        assert [len(predict(top=k)[0].top) for k in (1, 5, 7, 100)] == [1, 5, 7, 7]
        (found,) = predict(top=7)
        assert sum(guess.probability for guess in found.top) == pytest.approx(1, rel=1e-12)
        logits = [guess.logit for guess in found.top]
        assert logits == sorted(logits, reverse=True)


def test_a_run_gives_all_that_is_needed(folder: Path) -> None:
    """Its held-out images are predicted as its own validation did, with its class names."""
    Path("digits.yaml").write_text(DIGITS)
    options = RunOptions(limit=120, device="cpu", output=Path("run"))
    best = run("digits.yaml", options).best
    from archspec.training.data import split
    from archspec.training.sources.digits import Digits

    source = Digits()
    _, held_out = split(source, 120)
    paths = []
    for index in held_out:
        paths.append(folder / f"{index}.png")
        source.image(index).save(paths[-1])
    name = f"step-{best.step:08d}"
    checkpoint = f"run/checkpoints/{name}"
    Path("link").symlink_to(checkpoint)
    for place in (
        "run",
        checkpoint,
        f"{checkpoint}/weights.safetensors",
        f"{checkpoint}/../{name}",
        "link",
    ):
        found = archspec.predict(paths, place, device="cpu")
        right = sum(
            p.top[0].label == source.classes[source.labels[i]]
            for p, i in zip(found, held_out, strict=True)
        )
        assert right / len(held_out) == best.val_top1
    with pytest.raises(ArchspecError, match=r"has its variables filled in; leave out --set$"):
        archspec.predict(paths, "run", variables={"classes": 10})
    # With a spec, the folder is a file of weights, and the spec says no numbers.
    with pytest.raises(ArchspecError) as caught:
        archspec.predict(paths, "run", "digits.yaml")
    assert str(caught.value) == (
        "the spec of digits leaves mean and std to the images that it is trained on: give the "
        "folder of that run as --weights, without --spec, or the numbers with --mean and --std, "
        "one a channel"
    )
    given = {"mean": (0.0,), "std": (16.0,)}
    assert archspec.predict(paths[0], "run", "digits.yaml", preprocessing=given)[0].top
    record = json.loads(Path("run/run.json").read_text())
    Path("run/run.json").write_text(json.dumps({**record, "classes": record["classes"][:3]}))
    with pytest.raises(
        ArchspecError, match=r"run\.json names 3 of the 10 classes that the network in"
    ):
        archspec.predict(paths, "run")
    Path("digits.txt").write_text("\n".join(source.classes))
    assert archspec.predict(paths[0], "run", labels="digits.txt")[0].top


class TestLabels:
    def labels(self, content: bytes) -> list[str | None]:
        Path("these.txt").write_bytes(content)
        found = predict(labels="these.txt", top=7)[0].top
        return [guess.label for guess in sorted(found, key=lambda guess: guess.index)]

    def test_one_a_line(self, folder: Path) -> None:
        text = "\n".join(LABELS).encode()
        for content in (text, text + b"\n", text + b"\n\n \n", b"\xef\xbb\xbf" + text):
            assert self.labels(content) == LABELS
        assert self.labels(text.replace(b"\n", b"\r\n")) == LABELS

    def test_imagenet_numbers_are_left_out(self, folder: Path) -> None:
        lines = [f"n{1440764 + i:08} {name}, Latin name" for i, name in enumerate(LABELS)]
        assert self.labels("\n".join(lines).encode()) == [f"{name}, Latin name" for name in LABELS]
        # Numbers alone are labels, and so are lines of which only some begin with one.
        numbers = [line.split()[0] for line in lines]
        assert self.labels("\n".join(numbers).encode()) == numbers
        mixed = [*lines[:-1], "hen"]
        assert self.labels("\n".join(mixed).encode()) == mixed

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"a\nb\n", "these.txt has 2 labels, one a line, and the network has 7 classes"),
            (b"a\n", "these.txt has 1 label, one a line, and the network has 7 classes"),
            (b"\n".join([b"x"] * 1001), "these.txt has 1,001 labels, one a line, and the network"),
            (b"a\nb\n\nc\nd\ne\nf\n", "the labels these.txt: line 3 is empty; it takes one"),
            (b"", "the labels these.txt: line 1 is empty; it takes one"),
            (b"\xff\xfe\x00", "the labels these.txt are not text in UTF-8"),
        ],
    )
    def test_mistakes(self, content: bytes, message: str, folder: Path) -> None:
        Path("these.txt").write_bytes(content)
        assert said(labels="these.txt").startswith(message)

    def test_files_that_are_none(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert said(labels="nowhere.txt") == (
            "cannot read the labels nowhere.txt: No such file or directory"
        )
        assert said(labels=".") == "cannot read the labels .: Is a directory"
        monkeypatch.setattr(prediction, "MAX_LABELS", 1 << 20)
        with Path("long.txt").open("wb") as stream:
            stream.truncate(2 << 20)
        assert said(labels="long.txt") == "the labels long.txt are longer than 1 MiB"


class TestPreprocessing:
    def test_the_spec_may_say_nothing(self, folder: Path) -> None:
        Path("bare.yaml").write_text(TINY[: TINY.index("training:")])
        assert said(spec="bare.yaml").startswith(
            "the spec of tiny does not say what becomes of pixel values; say it with --mean"
        )
        assert said(spec="bare.yaml", preprocessing={"std": (1.0,) * 3}).startswith("the spec of")
        given = {"rescale": 0.01, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
        assert predict(spec="bare.yaml", preprocessing=given)[0].top == predict()[0].top

    def test_options_replace_what_the_recipe_says(self, folder: Path) -> None:
        given = {"mean": (0.1, 0.2, 0.3)}
        text = TINY.replace("mean: [0.5, 0.4, 0.3]", "mean: [0.1, 0.2, 0.3]")
        Path("other.yaml").write_text(text)
        found = predict(preprocessing=given)
        assert found[0].top == predict(spec="other.yaml")[0].top
        assert found[0].top != predict()[0].top

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"mean": (1.0,)}, "the recipe's preprocessing.mean has 1 number and the network"),
            ({"short_side": 10}, "the recipe's preprocessing.short_side is 10 and the network"),
            ({"short_side": 0}, "--short-side: Input should be greater than or equal to 1"),
            ({"std": (1.0, 2.0, 0.0)}, "--std: a standard deviation is above 0"),
            ({"rescale": 0.0}, "--rescale: "),
            ({"mean": (float("nan"),) * 3}, "--mean: Input should be a finite number"),
            ({"std": (float("inf"),) * 3}, "--std: Input should be a finite number"),
        ],
    )
    def test_numbers_that_do_not_do(
        self, given: dict[str, Any], message: str, folder: Path
    ) -> None:
        assert said(preprocessing=given).startswith(message)


class TestImages:
    def test_a_folder_stands_for_its_images(self, folder: Path) -> None:
        Path("photos/below").mkdir(parents=True)
        names = ["photos/a.png", "photos/b.PNG", "photos/below/c.jpg"]
        for index, name in enumerate(names):
            picture(name, index)
        Path("photos/.hidden.png").write_text("")
        Path("photos/notes.txt").write_text("")
        assert [str(p.image) for p in predict("photos", "photo.png")] == [*names, "photo.png"]

    def test_what_is_no_image(self, folder: Path) -> None:
        Path("empty").mkdir()
        assert said("empty") == "the folder empty has no images (.jpg, .jpeg, .png)"
        assert said("") == "an image has no name: one of the arguments is empty"
        assert said("nowhere.png").startswith("cannot read the image nowhere.png: No such file")
        Path("text.png").write_text("hello")
        Path("nothing.png").write_bytes(b"")
        assert said("photo.png", "text.png").endswith("text.png: it is not a JPEG or PNG file")
        assert said("nothing.png").endswith("nothing.png: it is empty")
        Image.open("photo.png").save("photo.gif")
        assert said("photo.gif").endswith("photo.gif: it is not a JPEG or PNG file")
        with pytest.raises(ArchspecError, match="there is no image to look at"):
            archspec.predict([], "tiny.safetensors", "tiny.yaml", backend="numpy")

    def test_headers_are_read_before_anything_is_computed(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path("text.png").write_text("hello")
        found = prediction.classifier("tiny.safetensors", "tiny.yaml", backend="numpy")
        monkeypatch.setattr(found.predictor, "logits", pytest.fail)
        with pytest.raises(ArchspecError, match=r"text\.png"):
            next(found.predict(["photo.png"] * 100 + ["text.png"]))

    def test_a_truncated_one(self, folder: Path) -> None:
        path = picture("cut.jpg", size=(200, 200))
        path.write_bytes(path.read_bytes()[:-500])
        assert said("photo.png", "cut.jpg").startswith("cannot read the image cut.jpg: ")

    def test_a_decompression_bomb(self, folder: Path) -> None:
        """30,000 x 30,000 pixels of one colour: 3.6 gigabytes out of some kilobytes."""

        def chunk(kind: bytes, content: bytes) -> bytes:
            checked = kind + content
            length, check = (struct.pack(">I", n) for n in (len(content), zlib.crc32(checked)))
            return length + checked + check

        header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
        squeezed = zlib.compress(bytes(10_000_000), 9)
        Path("bomb.png").write_bytes(
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", header)
            + chunk(b"IDAT", squeezed)
            + chunk(b"IEND", b"")
        )
        assert "cannot read the image bomb.png: Image size (900000000 pixels)" in said("bomb.png")


class TestNetworks:
    @pytest.mark.parametrize(
        ("layers", "message"),
        [
            (
                "{name: conv, type: conv2d, filters: 6, kernel_size: 3}",
                "the output of tiny is a map of 6 x 7 x 9, and not one number a class",
            ),
            (
                "{name: flatten, type: flatten}\n  - {name: fc, type: dense, units: 1}",
                "the output of tiny is a single number",
            ),
        ],
    )
    def test_outputs_that_are_no_classes(self, layers: str, message: str, folder: Path) -> None:
        head, _, tail = TINY.partition("layers:\n")
        text = f"{head}layers:\n  - {layers}\n{tail[tail.index('training:') :]}"
        Path("other.yaml").write_text(text.replace("variables: {classes: 7}\n", ""))
        assert said(spec="other.yaml").startswith(message)

    def test_inputs_that_are_no_images(self, folder: Path) -> None:
        Path("other.yaml").write_text(TINY.replace("channels: 3", "channels: 4"))
        assert said(spec="other.yaml") == "images have 1 or 3 channels and tiny reads 4 x 9 x 11"

    def test_weights_of_others(self, folder: Path) -> None:
        message = said(variables={"classes": 9})
        assert "the file has 7" in message
        assert message.endswith("; --set classes=7 fits")
        assert "--skip" not in message
        assert said(weights="nowhere.npy").startswith("nowhere.npy does not exist")
        assert said(weights=".").startswith(". is a folder, and neither that of a run")
        # A name that is wrong comes before what AlexNet's spec lacks.
        assert said(weights="nowhere", spec=None).startswith("nowhere does not exist")

    def test_backends_and_devices(self, folder: Path) -> None:
        assert said(backend="numpyy") == "there is no backend `numpyy`; did you mean `numpy`?"
        assert said(device="cuda") == (
            "--device cuda: the numpy backend computes on the CPU; use --device cpu"
        )


@pytest.fixture
def command(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    archspec_command: Callable[..., tuple[int, str, str]],
) -> Callable[..., tuple[int, str, str]]:
    """Runs `archspec predict ARGUMENTS`: status, output, errors."""

    tiny = ("--weights", "tiny.safetensors", "--spec", "tiny.yaml", "--backend", "numpy")
    return functools.partial(archspec_command, "predict", *tiny)


class TestCommand:
    def test_a_table(self, command: Callable[..., tuple[int, str, str]]) -> None:
        picture("second.png", 1)
        status, out, err = command(
            "photo.png", "second.png", "--labels", "labels.txt", "--top", "2"
        )
        assert (status, err) == (0, "")
        expected = predict("photo.png", "second.png", labels="labels.txt", top=2)
        blocks = [
            "\n".join([str(p.image), *(f"{g.probability:9.2%}  {g.label}" for g in p.top)]) + "\n"
            for p in expected
        ]
        assert out == "\n".join(blocks)

    def test_without_labels(self, command: Callable[..., tuple[int, str, str]]) -> None:
        _, out, _ = command("photo.png", "--top", "1")
        assert out.splitlines()[1].endswith(f"  class {predict()[0].top[0].index}")

    def test_json(self, command: Callable[..., tuple[int, str, str]]) -> None:
        status, out, err = command(
            "photo.png", "--format", "json", "--labels", "labels.txt", "--mean", "0.1,0.2,0.3"
        )
        assert (status, err) == (0, "")
        found = json.loads(out)
        (expected,) = predict(labels="labels.txt", preprocessing={"mean": (0.1, 0.2, 0.3)})
        assert found["images"] == [
            {
                "image": "photo.png",
                "classes": [
                    {
                        "class": guess.index,
                        "label": guess.label,
                        "probability": guess.probability,
                        "logit": guess.logit,
                    }
                    for guess in expected.top
                ],
            }
        ]
        assert found["preprocessing"] == {
            "short_side": None, "center_crop": None,
            "rescale": 0.01, "mean": [0.1, 0.2, 0.3], "std": [0.2, 0.3, 0.4]
        }  # fmt: skip
        assert (found["name"], found["backend"], found["device"]) == ("tiny", "numpy", "cpu")
        assert found["weights"]["file"] == "tiny.safetensors"

    def test_csv(self, command: Callable[..., tuple[int, str, str]]) -> None:
        """A label cannot become a formula of a spreadsheet."""
        Path("labels.txt").write_text("\n".join(["=1+1", *LABELS[1:]]))
        status, out, _ = command(
            "photo.png", "--format", "csv", "--top", "7", "--labels", "labels.txt"
        )
        assert status == 0
        header, *rows = out.splitlines()
        assert header == "image,rank,class,label,probability,logit"
        assert [row.split(",")[:2] for row in rows] == [["photo.png", str(i + 1)] for i in range(7)]
        assert ",0,'=1+1," in out

    def test_a_label_cannot_move_the_cursor(
        self, command: Callable[..., tuple[int, str, str]]
    ) -> None:
        Path("labels.txt").write_text("\n".join(["\x1b[2J"] * 7))
        assert "\x1b" not in command("photo.png", "--labels", "labels.txt")[1]

    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            (("nowhere.png",), "cannot read the image nowhere.png: No such file or directory"),
            (("photo.png", "--mean", "a,b"), "--mean takes one number a channel, such as"),
            (("photo.png", "--device", "cuda"), "--device cuda: the numpy backend computes on"),
        ],
    )
    def test_mistakes(
        self,
        arguments: tuple[str, ...],
        line: str,
        command: Callable[..., tuple[int, str, str]],
    ) -> None:
        status, out, err = command(*arguments)
        assert (status, out) == (2, "")
        assert err.startswith(f"archspec: {line}")
        assert err.count("\n") == 1

    def test_usage(self, command: Callable[..., tuple[int, str, str]]) -> None:
        assert command()[0] == 2
        assert command("photo.png", "--top", "0")[0] == 2
