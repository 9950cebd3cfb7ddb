"""What `archspec data prepare` stores, against Pillow, NumPy and hashlib, and how it goes on."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grain
import numpy as np
import pytest
from PIL import Image
from small_runs import figures, recipe, resume, tensors, train

from archspec.diagnostics import ArchspecError
from archspec.training import data, preparing
from archspec.training.data import split
from archspec.training.preparing import (
    PrepareOptions,
    PreparePlan,
    PrepareProgress,
    PrepareSummary,
    prepare,
)
from archspec.training.sources import open_source
from archspec.training.sources.folder import Folder
from archspec.training.sources.prepared import Prepared, Unreadable, require_whole

SIDE = 16
OPTIONS = PrepareOptions(size=SIDE, shards=4)
# Width and height: scaled, scaled the other way, exact, smaller, and a strip.
SIZES = [(40, 24), (24, 37), (16, 30), (10, 12), (300, 1)]
CLASSES = ("ape", "bee")


def picture(width: int, height: int, seed: int) -> Image.Image:
    """Smooth colours, so that a JPEG of it is close to it."""
    numbers = np.random.default_rng(seed)
    corners = numbers.integers(0, 256, (3, 3, 3), dtype="uint8")
    return Image.fromarray(corners).resize((width, height), Image.Resampling.BICUBIC)


def make(folder: Path, suffix: str = "png") -> Path:
    """A folder of ten pictures in two classes."""
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number, size in enumerate(SIZES):
            picture(*size, seed=10 * label + number).save(folder / name / f"{number}.{suffix}")
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return make(tmp_path / "pictures")


@dataclass
class Record:
    """Keeps what it is told."""

    plans: list[PreparePlan] = field(default_factory=list)
    steps: list[PrepareProgress] = field(default_factory=list)
    bad: list[Unreadable] = field(default_factory=list)
    ends: list[PrepareSummary] = field(default_factory=list)

    def start(self, plan: PreparePlan) -> None:
        self.plans.append(plan)

    def step(self, progress: PrepareProgress) -> None:
        self.steps.append(progress)

    def unreadable(self, image: Unreadable) -> None:
        self.bad.append(image)

    def end(self, summary: PrepareSummary) -> None:
        self.ends.append(summary)


def store(source: Path, output: Path, options: PrepareOptions = OPTIONS, **more: Any) -> Prepared:
    prepare(Folder(source), output, options, **more)
    return Prepared(output)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def refused(source: Path, output: Path, options: PrepareOptions = OPTIONS) -> str:
    with pytest.raises(ArchspecError) as caught:
        prepare(Folder(source), output, options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def shorter_side(image: Image.Image) -> Image.Image:
    """The shorter side to `SIDE`, the longer one rounded down, as torchvision's Resize does."""
    if min(image.size) <= SIDE:
        return image
    scaled = [SIDE * length // min(image.size) for length in image.size]
    return image.resize((scaled[0], scaled[1]), Image.Resampling.BILINEAR)


class TestWhatIsStored:
    def test_the_pixels_are_pillow_s(self, pictures: Path, tmp_path: Path) -> None:
        found = store(pictures, tmp_path / "store")
        paths = sorted(pictures.rglob("*.png"))
        assert [found.title(i) for i in range(10)] == [
            path.relative_to(pictures).as_posix() for path in paths
        ]
        for index, path in enumerate(paths):
            expected = shorter_side(Image.open(path))
            np.testing.assert_array_equal(np.asarray(found.image(index)), np.asarray(expected))
        assert (found.classes, list(found.labels)) == (CLASSES, [0] * 5 + [1] * 5)

    def test_grain_and_pillow_alone_read_the_shards(self, pictures: Path, tmp_path: Path) -> None:
        found = store(pictures, tmp_path / "store")
        shards = sorted(map(str, (tmp_path / "store").glob("*.arrayrecord")))
        records = grain.sources.ArrayRecordDataSource(shards)
        assert (len(shards), len(records)) == (4, 10)
        for index in (0, 4, 9):
            image = Image.open(io.BytesIO(records[index]))
            assert image.format == "PPM"
            np.testing.assert_array_equal(np.asarray(image), np.asarray(found.image(index)))

    def test_without_a_size_nothing_is_scaled(self, pictures: Path, tmp_path: Path) -> None:
        found = store(pictures, tmp_path / "store", PrepareOptions())
        assert [found.image(index).size for index in range(5)] == SIZES

    def test_jpeg(self, pictures: Path, tmp_path: Path) -> None:
        exact = store(pictures, tmp_path / "raw")
        options = PrepareOptions(size=SIDE, encoding="jpeg", quality=90)
        found = store(pictures, tmp_path / "jpeg", options)
        stream = io.BytesIO()
        exact.image(0).save(stream, "JPEG", quality=90)
        expected = Image.open(stream)
        np.testing.assert_array_equal(np.asarray(found.image(0)), np.asarray(expected))
        assert found.manifest.settings.quality == 90

    def test_jpeg_cannot_hold_the_longest_strips(self, pictures: Path, tmp_path: Path) -> None:
        Image.new("L", (70_000, 1)).save(pictures / "ape" / "0.png")
        options = PrepareOptions(encoding="jpeg")
        assert "--max-bad allows 0" in refused(pictures, tmp_path / "jpeg", options)
        assert store(pictures, tmp_path / "raw").image(0).size == (70_000, 1)

    @pytest.mark.parametrize("size", [8, 64])
    def test_large_jpeg_files_are_decoded_smaller(self, tmp_path: Path, size: int) -> None:
        """By the decoder's own scaling, which must not be seen."""
        folder = tmp_path / "pictures"
        for name in CLASSES:
            (folder / name).mkdir(parents=True)
            for number in range(2):
                image = picture(640, 512, number)
                image.save(folder / name / f"{number}.jpg", quality=95)
        found = store(folder, tmp_path / "store", PrepareOptions(size=size))
        for index, path in enumerate(sorted(folder.rglob("*.jpg"))):
            with Image.open(path) as image:
                whole = image.resize((size * 640 // 512, size), Image.Resampling.BILINEAR)
            difference = np.asarray(found.image(index), int) - np.asarray(whole, int)
            assert np.abs(difference).max() <= 3
            assert np.abs(difference).mean() < 0.5

    def test_every_kind_of_colour(self, pictures: Path, tmp_path: Path) -> None:
        plain = picture(20, 18, 0)
        kinds = {
            "cmyk.jpg": plain.convert("CMYK"),
            "grey.jpg": plain.convert("L"),
            "alpha.png": plain.convert("RGBA"),
            "palette.png": plain.convert("P"),
            "grey_alpha.png": plain.convert("LA"),
            "bits.png": plain.convert("1"),
            "deep.png": Image.fromarray(np.asarray(plain.convert("L")).astype("uint16") * 257),
        }
        for name, image in kinds.items():
            image.save(pictures / "ape" / name, quality=95)
        found = store(pictures, tmp_path / "store")
        titles = [found.title(index) for index in range(len(found.labels))]
        for name, image in kinds.items():
            stored = found.image(titles.index(f"ape/{name}"))
            grey = name in ("grey.jpg", "grey_alpha.png", "bits.png", "deep.png")
            assert stored.mode == ("L" if grey else "RGB")
            expected = plain.convert("L") if name == "deep.png" else image
            expected = shorter_side(expected.convert(stored.mode))
            difference = np.asarray(stored, int) - np.asarray(expected, int)
            assert np.abs(difference).max() <= (0 if name.endswith("png") else 12), name

    def test_pictures_are_turned_upright(self, pictures: Path, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by 90 degrees, clockwise
        upright = picture(20, 40, 0)
        stored = upright.transpose(Image.Transpose.ROTATE_90)
        stored.save(pictures / "ape" / "0.jpg", quality=100, subsampling=0, exif=exif)
        found = store(pictures, tmp_path / "store").image(0)
        difference = np.asarray(found, int) - np.asarray(shorter_side(upright), int)
        assert np.abs(difference).max() <= 4

    def test_links_are_followed_as_training_follows_them(
        self, pictures: Path, tmp_path: Path
    ) -> None:
        (pictures / "ape" / "link.png").symlink_to(pictures / "bee" / "0.png")
        (pictures / "ape" / "loop").symlink_to(pictures)
        found = store(pictures, tmp_path / "store")
        assert [found.title(i) for i in (5, 6)] == ["ape/link.png", "bee/0.png"]
        assert found.image(5).tobytes() == found.image(6).tobytes()


class TestManifest:
    def test_counts_checksums_and_settings(self, pictures: Path, tmp_path: Path) -> None:
        found = store(pictures, tmp_path / "store")
        manifest = json.loads((tmp_path / "store" / "manifest.json").read_text())
        assert manifest["settings"] == {
            "source": f"folder:{pictures}",
            "fingerprint": Folder(pictures).fingerprint,
            "images": 10,
            "size": SIDE,
            "encoding": "raw",
            "quality": None,
            "shards": 4,
        }
        assert manifest["classes"] == [
            {"name": name, "training": 4, "held_out": 1} for name in CLASSES
        ]
        assert [shard["images"] for shard in manifest["shards"]] == [2, 3, 2, 3]
        for shard in manifest["shards"]:
            for ending, key in ((".arrayrecord", "sha256"), (".json", "index_sha256")):
                content = (tmp_path / "store" / (shard["file"] + ending)).read_bytes()
                assert hashlib.sha256(content).hexdigest() == shard[key]
        assert require_whole(tmp_path / "store") == found.manifest

    def test_statistics_are_those_of_the_training_pixels(
        self, pictures: Path, tmp_path: Path
    ) -> None:
        source = Folder(pictures)
        training, held_out = split(source, None)
        found = store(pictures, tmp_path / "store")
        assert list(found.held_out or ()) == held_out
        for channels, mode in ((3, "RGB"), (1, "L")):
            pixels = np.concatenate(
                [
                    np.asarray(shorter_side(source.image(i)).convert(mode), float).reshape(
                        -1, channels
                    )
                    for i in training
                ]
            )
            said = found.statistics(channels)
            covariance = np.atleast_2d(np.cov(pixels, rowvar=False, bias=True))
            values, vectors = np.linalg.eigh(covariance)
            np.testing.assert_allclose(said.mean, pixels.mean(axis=0), rtol=1e-5)
            np.testing.assert_allclose(said.std, pixels.std(axis=0), rtol=1e-5)
            np.testing.assert_allclose(said.eigenvalues, values[::-1], rtol=1e-5)
            projected = np.abs(np.array(said.eigenvectors) @ vectors[:, ::-1])
            np.testing.assert_allclose(projected, np.eye(channels), atol=1e-5)

    def test_another_number_of_workers_makes_the_same_store(
        self, pictures: Path, tmp_path: Path
    ) -> None:
        store(pictures, tmp_path / "one")
        options = PrepareOptions(size=SIDE, shards=4, workers=2)
        store(pictures, tmp_path / "two", options)
        assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")

    def test_its_fingerprint_is_that_of_every_byte(self, pictures: Path, tmp_path: Path) -> None:
        found = [
            store(pictures, tmp_path / str(size), PrepareOptions(size=size, shards=4))
            for size in (SIDE, SIDE - 1)
        ]
        assert found[0].fingerprint != found[1].fingerprint
        assert found[0].fingerprint == Prepared(tmp_path / str(SIDE)).fingerprint

    def test_a_store_can_be_made_of_a_store(self, pictures: Path, tmp_path: Path) -> None:
        large = store(pictures, tmp_path / "large", PrepareOptions(size=20))
        prepare(large, tmp_path / "small", PrepareOptions(size=8, shards=2))
        small = Prepared(tmp_path / "small")
        assert (small.classes, small.held_out) == (large.classes, large.held_out)
        expected = large.image(0).resize((13, 8), Image.Resampling.BILINEAR)
        assert large.image(0).size == (33, 20)
        assert small.image(0).tobytes() == expected.tobytes()


class Stop(BaseException):
    """What ends a preparation at a chosen moment."""


class TestGoingOn:
    def test_from_every_image(
        self, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Stopped after each number of images, it ends with the bytes of one that was not."""
        store(pictures, tmp_path / "whole")
        whole = bytes_of(tmp_path / "whole")
        kept = []
        for last in range(10):
            output, seen = tmp_path / str(last), [0]
            read = preparing._stored

            def stop(
                *given: Any, last: int = last, seen: list[int] = seen, read: Any = read
            ) -> Any:
                seen[0] += 1
                if seen[0] > 10 + last:  # ten to see how much will be written
                    raise Stop
                return read(*given)

            with monkeypatch.context() as patch:
                patch.setattr(preparing, "_stored", stop)
                with pytest.raises(Stop):
                    prepare(Folder(pictures), output, OPTIONS)
            with pytest.raises(ArchspecError, match="is not finished; give the same"):
                Prepared(output)
            record = Record()
            prepare(Folder(pictures), output, OPTIONS, record)
            kept.append(record.ends[0].kept)
            assert record.ends[0].done == 10 - kept[-1]
            assert bytes_of(output) == whole
        assert kept == [0, 0, 2, 2, 2, 5, 5, 7, 7, 7]

    def test_a_finished_store_is_left_as_it_is(self, pictures: Path, tmp_path: Path) -> None:
        store(pictures, tmp_path / "store")
        before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "store").glob("shard-*")}
        record = Record()
        found = store(pictures, tmp_path / "store", watcher=record)
        after = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "store").glob("shard-*")}
        assert before == after
        assert (record.ends[0].done, record.ends[0].kept) == (0, 10)
        assert len(found.labels) == 10

    def test_a_source_that_was_moved(self, pictures: Path, tmp_path: Path) -> None:
        store(pictures, tmp_path / "store")
        whole = bytes_of(tmp_path / "store")
        (tmp_path / "store" / "shard-00002-of-00004.json").unlink()
        pictures.rename(tmp_path / "elsewhere")
        store(tmp_path / "elsewhere", tmp_path / "store")
        assert bytes_of(tmp_path / "store") == whole

    def test_after_another_version_that_holds_out_others(
        self, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store(pictures, tmp_path / "store")
        monkeypatch.setattr(data, "HELD_OUT", 0.6)
        again = store(pictures, tmp_path / "store")
        assert list(again.held_out or ()) == split(Folder(pictures), None)[1]
        assert len(again.held_out or ()) == 6

    @pytest.mark.parametrize("ending", [".arrayrecord", ".json"])
    @pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
    def test_a_damaged_file_is_found_and_written_anew(
        self, pictures: Path, tmp_path: Path, ending: str, damage: str
    ) -> None:
        store(pictures, tmp_path / "store")
        whole = bytes_of(tmp_path / "store")
        path = tmp_path / "store" / f"shard-00001-of-00004{ending}"
        content = bytearray(path.read_bytes())
        if damage == "gone":
            path.unlink()
        elif damage == "cut":
            path.write_bytes(content[:-1])
        else:
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
        with pytest.raises(ArchspecError) as caught:
            require_whole(tmp_path / "store")
        assert str(path) in str(caught.value)
        assert "shard-00000" not in str(caught.value)
        if (ending, damage) != (".arrayrecord", "flipped"):  # what opening finds
            with pytest.raises(ArchspecError, match=path.name):
                Prepared(tmp_path / "store")
        record = Record()
        store(pictures, tmp_path / "store", watcher=record)
        assert (record.ends[0].done, record.ends[0].kept) == (3, 7)
        assert bytes_of(tmp_path / "store") == whole

    def test_a_damaged_record_is_found_when_it_is_read(
        self, pictures: Path, tmp_path: Path
    ) -> None:
        found = store(pictures, tmp_path / "store")
        path = tmp_path / "store" / "shard-00001-of-00004.arrayrecord"
        content = bytearray(path.read_bytes())
        at = content.index(found.image(3).tobytes())
        content[at] ^= 1
        path.write_bytes(content)
        again = Prepared(tmp_path / "store")
        again.image(2)
        with pytest.raises(ArchspecError) as caught:
            again.image(3)
        assert f"cannot read the image ape/3.png in {path}: " in str(caught.value)
        assert "`archspec data check" in str(caught.value)

    KILLED = """
import os, signal, sys
from pathlib import Path
from archspec.training.preparing import PrepareOptions, prepare
from archspec.training.sources.folder import Folder

source, output = Folder(Path(sys.argv[1])), Path(sys.argv[2])
calls = {"fsync": os.fsync, "replace": os.replace}
for moment in range(100):
    child = os.fork()
    if child == 0:
        left = [moment]
        def killing(call):
            def one(*given):
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
                return call(*given)
            return one
        os.fsync = killing(os.fsync)
        Path.replace = killing(Path.replace)
        prepare(source, output / str(moment), PrepareOptions(size=16, shards=2))
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == 0:
        break
    assert status == -signal.SIGKILL, status
print(moment)
"""

    def test_killed_before_every_write_and_rename(self, pictures: Path, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-c", self.KILLED, str(pictures), str(tmp_path / "killed")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        moments = int(done.stdout)
        # The manifest, then a shard and its index twice, then the manifest.
        assert moments == 2 * (1 + 4 + 1)
        whole = bytes_of(tmp_path / "killed" / str(moments))
        for moment in range(moments):
            output = tmp_path / "killed" / str(moment)
            store(pictures, output, PrepareOptions(size=SIDE, shards=2))
            assert bytes_of(output) == whole


def damage(pictures: Path) -> list[str]:
    """Makes three of the ten pictures unreadable, each in another way."""
    cut = io.BytesIO()
    picture(40, 30, 0).save(cut, "JPEG")
    (pictures / "ape" / "1.png").write_bytes(b"This is no image.")
    (pictures / "bee" / "2.jpg").write_bytes(cut.getvalue()[:-50])
    (pictures / "bee" / "2.png").unlink()
    (pictures / "bee" / "3.png").unlink()
    (pictures / "bee" / "3.png").symlink_to(pictures / "nothing.png")
    return ["ape/1.png", "bee/2.jpg", "bee/3.png"]


class TestUnreadable:
    def test_all_are_told_and_none_is_left_out_unasked(
        self, pictures: Path, tmp_path: Path
    ) -> None:
        bad, record = damage(pictures), Record()
        with pytest.raises(ArchspecError) as caught:
            prepare(Folder(pictures), tmp_path / "store", OPTIONS, record)
        assert [image.image for image in record.bad] == bad
        assert record.bad[0].reason == "it is not a JPEG or PNG file"
        assert "truncated" in record.bad[1].reason
        assert record.bad[2].reason == "No such file or directory"
        assert str(caught.value).startswith(
            "3 of 10 images cannot be read (ape/1.png and 2 more) and --max-bad allows 0; "
        )
        assert str(caught.value).endswith("or leave them out with --max-bad 3")

    @pytest.mark.parametrize(("most", "fits"), [(2, False), (3, True), (0.29, False), (0.3, True)])
    def test_a_number_or_a_share_may_be_left_out(
        self, pictures: Path, tmp_path: Path, most: int | float, fits: bool
    ) -> None:
        bad = damage(pictures)
        options = PrepareOptions(size=SIDE, shards=4, max_bad=most)
        if not fits:
            assert "--max-bad allows 2" in refused(pictures, tmp_path / "store", options)
            return
        found = store(pictures, tmp_path / "store", options)
        assert [image.image for image in found.manifest.unreadable] == bad
        titles = [found.title(index) for index in range(7)]
        assert titles == sorted(
            path.relative_to(pictures).as_posix()
            for path in pictures.rglob("*.*")
            if path.relative_to(pictures).as_posix() not in bad
        )
        # Every other image is held out or trained on as it would be with them.
        source = Folder(pictures)
        held_out = {source.title(index) for index in split(source, None)[1]} - set(bad)
        assert {titles[index] for index in found.held_out or ()} == held_out
        assert [found.image(index).size for index in (0, 1)] == [(26, 16), (16, 30)]

    def test_what_was_refused_is_kept_for_the_next_time(
        self, pictures: Path, tmp_path: Path
    ) -> None:
        damage(pictures)
        refused(pictures, tmp_path / "store")
        record = Record()
        options = PrepareOptions(size=SIDE, shards=4, max_bad=3)
        store(pictures, tmp_path / "store", options, watcher=record)
        assert (record.ends[0].done, record.ends[0].kept) == (0, 10)
        assert len(record.bad) == 3

    def test_a_repaired_image_is_taken(self, pictures: Path, tmp_path: Path) -> None:
        path = pictures / "ape" / "1.png"
        content = path.read_bytes()
        path.write_bytes(b"")
        assert "1 of 10 images cannot be read (ape/1.png)" in refused(pictures, tmp_path / "store")
        path.write_bytes(content)
        store(pictures, tmp_path / "store")
        store(pictures, tmp_path / "other")
        assert bytes_of(tmp_path / "store") == bytes_of(tmp_path / "other")

    def test_a_file_that_vanishes(self, pictures: Path, tmp_path: Path) -> None:
        source = Folder(pictures)
        (pictures / "bee" / "4.png").unlink()
        record = Record()
        options = PrepareOptions(size=SIDE, max_bad=1)
        prepare(source, tmp_path / "store", options, record)
        assert record.bad == [Unreadable("bee/4.png", "No such file or directory")]

    def test_a_decompression_bomb(self, pictures: Path, tmp_path: Path) -> None:
        """100 million pixels: Pillow warns of them, and training refuses them."""
        Image.new("1", (10_000, 10_000)).save(pictures / "ape" / "0.png")
        record = Record()
        options = PrepareOptions(size=SIDE, max_bad=1)
        prepare(Folder(pictures), tmp_path / "store", options, record)
        assert "decompression bomb" in record.bad[0].reason

    def test_a_class_without_an_image(self, pictures: Path, tmp_path: Path) -> None:
        for path in (pictures / "bee").iterdir():
            path.write_bytes(b"")
        options = PrepareOptions(size=SIDE, max_bad=10)
        said = refused(pictures, tmp_path / "store", options)
        assert said.startswith("no image of the class bee that is for training can be read")


class TestOutput:
    def test_a_folder_with_something_else(self, pictures: Path, tmp_path: Path) -> None:
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "notes.txt").touch()
        assert refused(pictures, tmp_path / "other") == (
            f"--output {tmp_path}/other holds something else (notes.txt); choose another"
        )
        (tmp_path / "other" / "manifest.json").write_text("{}")
        assert "is not the manifest of a prepared store" in refused(pictures, tmp_path / "other")

    def test_a_file(self, pictures: Path, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert refused(pictures, tmp_path / "file").endswith("/file: it is a file")

    def test_inside_the_source(self, pictures: Path) -> None:
        assert "lies in the source" in refused(pictures, pictures / "store")
        assert not (pictures / "store").exists()

    def test_where_nothing_can_be_written(self, pictures: Path) -> None:
        assert refused(pictures, Path("/proc/store")).startswith(
            "cannot write to --output /proc/store: "
        )

    def test_a_path_that_is_no_text(self, pictures: Path, tmp_path: Path) -> None:
        said = refused(pictures, tmp_path / os.fsdecode(b"\xff"))
        assert said.endswith("the path is no UTF-8, which ArrayRecord needs; choose another")

    def test_a_source_that_is_no_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        source = open_source("synthetic:images=8,classes=2,size=8x8")
        prepare(source, Path("store"))
        found = Prepared(Path("store"))
        assert [found.image(i).tobytes() for i in (0, 7)] == [
            source.image(i).tobytes() for i in (0, 7)
        ]

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            (PrepareOptions(size=8, shards=4), "was begun with size 16; give the same"),
            (PrepareOptions(size=None, shards=4), "was begun with size 16; give the same"),
            (
                PrepareOptions(size=SIDE, shards=4, encoding="jpeg"),
                "was begun with encoding raw, quality none; give the same",
            ),
        ],
    )
    def test_other_settings(
        self, pictures: Path, tmp_path: Path, changed: PrepareOptions, said: str
    ) -> None:
        store(pictures, tmp_path / "store")
        assert said in refused(pictures, tmp_path / "store", changed)

    def test_other_images(self, pictures: Path, tmp_path: Path) -> None:
        store(pictures, tmp_path / "store")
        (pictures / "ape" / "0.png").rename(pictures / "ape" / "00.png")
        assert "was begun with other images than" in refused(pictures, tmp_path / "store")

    def test_two_at_once(self, pictures: Path, tmp_path: Path) -> None:
        class Second(Record):
            def start(self, plan: PreparePlan) -> None:
                assert "another `archspec data prepare` writes to" in refused(
                    pictures, tmp_path / "store"
                )
                super().start(plan)

        second = Second()
        store(pictures, tmp_path / "store", watcher=second)
        assert len(second.ends) == 1

    FULL = """
import resource, sys
from pathlib import Path
from archspec.diagnostics import ArchspecError
from archspec.training.preparing import PrepareOptions, prepare
from archspec.training.sources.folder import Folder

resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
options = PrepareOptions(shards=4, workers=2)
if __name__ == "__main__":
    try:
        prepare(Folder(Path(sys.argv[1])), Path(sys.argv[2]), options)
    except ArchspecError as error:
        print(error)
"""

    def test_a_full_disk(self, pictures: Path, tmp_path: Path) -> None:
        """As a limit of the file size says it; what was written before goes on."""
        picture(300, 300, 0).save(pictures / "bee" / "4.png")
        (tmp_path / "full.py").write_text(self.FULL)
        done = subprocess.run(
            [sys.executable, "full.py", str(pictures), "store"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert done.stderr == ""
        assert done.stdout == (
            "cannot write store/shard-00003-of-00004.arrayrecord: File too large; the shards that "
            "are whole stay, and the same command goes on with them\n"
        )
        assert not list((tmp_path / "store").glob(".*"))
        record = Record()
        options = PrepareOptions(shards=4)
        store(pictures, tmp_path / "store", options, watcher=record)
        assert record.ends[0].done >= 3
        store(pictures, tmp_path / "other", options)
        assert bytes_of(tmp_path / "store") == bytes_of(tmp_path / "other")


class TestTraining:
    @pytest.fixture
    def small(self, tmp_path: Path) -> Path:
        """Pictures of the size that the network reads."""
        for label, name in enumerate(CLASSES):
            (tmp_path / "small" / name).mkdir(parents=True)
            for number in range(10):
                image = picture(8, 8, 100 * label + number)
                image.save(tmp_path / "small" / name / f"{number}.png")
        return tmp_path / "small"

    def test_a_store_trains_as_its_folder(self, small: Path, tmp_path: Path) -> None:
        """To the last bit: the same split, batches, pixels and measured mean and deviation."""
        found = store(small, tmp_path / "store", PrepareOptions(size=8, shards=3))
        for kind, folder in (("folder", small), ("prepared", tmp_path / "store")):
            train(tmp_path, data=f"{kind}:{folder}", limit=None, output=tmp_path / kind)
        assert figures(tmp_path / "folder") == figures(tmp_path / "prepared")
        assert tensors(tmp_path / "folder") == tensors(tmp_path / "prepared")
        said = json.loads((tmp_path / "prepared" / "run.json").read_text())["recipe"]
        assert tuple(said["preprocessing"]["mean"]) == found.statistics(1).mean

    def test_the_manifest_s_numbers_are_the_recipe_s(self, small: Path, tmp_path: Path) -> None:
        """Those of all pixels as they are stored, whatever the network cuts out of them."""
        store(small, tmp_path / "store")
        path = tmp_path / "store" / "manifest.json"
        manifest = json.loads(path.read_text())
        manifest["pixels"]["rgb"] = {
            "mean": [1, 2, 3],
            "std": [4, 0, 6],
            "eigenvalues": [9, 8, 7],
            "eigenvectors": np.eye(3).tolist(),
        }
        path.write_text(json.dumps(manifest))
        found = data.prepare(
            open_source(f"prepared:{tmp_path / 'store'}"),
            (3, 8, 8),
            recipe(
                preprocessing={"rescale": 0.5, "mean": "data", "std": "data"},
                augmentation={"pca_jitter": {}},
            ),
            None,
        )
        assert found.preprocessing.mean == (0.5, 1.0, 1.5)
        assert found.preprocessing.std == (2.0, 1.0, 3.0)
        assert found.augmentation.pca_jitter is not None
        assert found.augmentation.pca_jitter.eigenvalues == (2.25, 2.0, 1.75)

    def test_another_store_of_that_name_is_not_gone_on_with(
        self, small: Path, tmp_path: Path
    ) -> None:
        store(small, tmp_path / "store", PrepareOptions(size=8))
        train(tmp_path, data=f"prepared:{tmp_path / 'store'}", limit=None, epochs=1)
        assert resume(tmp_path / "run", epochs=2).epochs == 2
        shutil.rmtree(tmp_path / "store")
        store(small, tmp_path / "store", PrepareOptions(size=7))
        with pytest.raises(ArchspecError, match="are not those that the run began with"):
            resume(tmp_path / "run", epochs=3)


class TestHostileStores:
    def changed(self, folder: Path, change: Callable[[dict[str, Any]], object]) -> str:
        path = folder / "manifest.json"
        manifest = json.loads(path.read_text())
        change(manifest)
        path.write_text(json.dumps(manifest))
        with pytest.raises(ArchspecError) as caught:
            Prepared(folder)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    @pytest.fixture
    def folder(self, pictures: Path, tmp_path: Path) -> Path:
        store(pictures, tmp_path / "store")
        return tmp_path / "store"

    def test_a_file_outside(self, folder: Path) -> None:
        said = self.changed(folder, lambda m: m["shards"][0].update(file="../../etc/passwd"))
        assert "names ../../etc/passwd, which is no shard of it" in said

    def test_a_newer_one(self, folder: Path) -> None:
        said = self.changed(folder, lambda m: m.update(format=2, archspec="9.1"))
        assert "was made by archspec 9.1, in a form that this one does not read" in said

    def test_more_images_than_there_are(self, folder: Path) -> None:
        said = self.changed(folder, lambda m: m["shards"][0].update(images=7))
        assert "does not fit its shard" in said

    @pytest.mark.parametrize("change", [-1, 1])
    def test_another_size_than_it_has(self, folder: Path, change: int) -> None:
        shard = json.loads((folder / "manifest.json").read_text())["shards"][0]["file"]
        size = (folder / f"{shard}.arrayrecord").stat().st_size
        said = self.changed(folder, lambda m: m["shards"][0].update(bytes=size + change))
        assert f"it has {size:,} bytes and had {size + change:,}" in said

    def test_fewer_classes_than_there_are(self, folder: Path) -> None:
        assert "does not fit its shard" in self.changed(folder, lambda m: m["classes"].pop())

    def test_no_manifest_at_all(self, folder: Path) -> None:
        (folder / "manifest.json").write_bytes(b"\x00\xff")
        with pytest.raises(ArchspecError, match="is not the manifest of a prepared store"):
            Prepared(folder)
        (folder / "manifest.json").unlink()
        with pytest.raises(ArchspecError, match="is no prepared store: it has no manifest"):
            Prepared(folder)
        with pytest.raises(ArchspecError, match="does not exist"):
            open_source(f"prepared:{folder}-not")

    def test_a_store_is_no_folder_of_images(self, folder: Path) -> None:
        with pytest.raises(ArchspecError, match=f"read it with --data prepared:{folder}$"):
            open_source(f"folder:{folder}")
        with pytest.raises(ArchspecError, match=f"did you mean `prepared:{folder}`"):
            open_source(str(folder))
