"""Digits and folders of images, and what can be wrong with a folder."""

from __future__ import annotations

import io
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_runs import recipe

from archspec.diagnostics import ArchspecError
from archspec.training.data import prepare, split
from archspec.training.sources import open_source, read_image
from archspec.training.sources.folder import Folder

Photos = Callable[..., Path]
SHAPE = (3, 8, 8)


def read_all(data: str) -> None:
    found = prepare(open_source(data), SHAPE, recipe(preprocessing={"mean": [0, 0, 0]}), None)
    for part in (found.training, found.held_out):
        list(part.batches(2))


def message(path: Path | str) -> str:
    """What is said about a folder that cannot be used, read to its last image."""
    data = path if isinstance(path, str) else f"folder:{path}"
    with pytest.raises(ArchspecError) as caught:
        read_all(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_digits() -> None:
    digits = open_source("digits")
    assert digits.classes == tuple("0123456789")
    assert len(digits.labels) == 1797
    image = digits.image(0)
    assert (image.size, image.mode) == ((8, 8), "L")
    assert (np.asarray(image).min(), np.asarray(image).max()) == (0, 239)  # 15 of 16 greys


def test_a_folder(photos: Photos) -> None:
    folder = photos("dogs", "Cats", "ünïcode and spaces", count=2)
    found = open_source(f"folder:{folder}")
    assert found.classes == ("Cats", "dogs", "ünïcode and spaces")
    assert list(found.labels) == [0, 0, 1, 1, 2, 2]
    assert found.title(5) == "ünïcode and spaces/1.png"


def test_what_is_no_image_is_left_alone(photos: Photos) -> None:
    folder = photos("a", "b", count=2)
    before = open_source(f"folder:{folder}").fingerprint
    (folder / "notes.txt").write_text("not an image")
    (folder / "a" / "notes.txt").write_text("not an image")
    (folder / "a" / "._0.png").write_text("what macOS leaves")
    (folder / "a" / "folder.png").mkdir()
    (folder / "a" / ".thumbnails").mkdir()
    shutil.copy(folder / "a" / "0.png", folder / "a" / ".thumbnails" / "0.png")
    (folder / ".hidden").mkdir()
    assert open_source(f"folder:{folder}").fingerprint == before


def test_nested_images_and_upper_case_suffixes_count(photos: Photos) -> None:
    folder = photos("a", "b", count=2)
    (folder / "a" / "deep" / "er").mkdir(parents=True)
    shutil.copy(folder / "a" / "0.png", folder / "a" / "deep" / "er" / "X.PNG")
    Image.open(folder / "a" / "0.png").save(folder / "a" / "deep" / "Y.JPeG")
    assert list(Folder(folder).labels) == [0, 0, 0, 0, 1, 1]
    assert Folder(folder).image(3).size == (16, 12)


def test_the_fingerprint_follows_the_names(photos: Photos) -> None:
    folder = photos("a", "b", count=2)
    before = Folder(folder).fingerprint
    assert len({Folder(Path(folder)).fingerprint, before}) == 1
    (folder / "a" / "0.png").rename(folder / "a" / "00.png")
    assert Folder(folder).fingerprint != before


def test_a_relative_folder_is_named_absolutely(
    photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = photos("a", "b")
    monkeypatch.chdir(folder.parent)
    found = open_source("folder:photos")
    assert found.name == f"folder:{folder}"
    monkeypatch.chdir(folder)
    for again in (open_source("folder:."), open_source(found.name)):
        assert again.fingerprint == found.fingerprint
        assert again.title(0) == "a/0.png"
        assert again.image(0).size == (16, 12)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(photos: Photos, orientation: int) -> None:
    folder = photos("a", "b", count=2)
    upright = Image.new("RGB", (16, 8), "white")
    upright.paste("black", (0, 0, 8, 4))  # the top left corner
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(back[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(folder / "a" / "0.jpg", quality=95, exif=exif)
    found = Folder(folder).image(0)
    assert found.size == (16, 8)
    assert np.abs(np.asarray(found, int) - np.asarray(upright)).max() < 20


class TestFolders:
    def test_missing(self, tmp_path: Path) -> None:
        assert message(tmp_path / "no") == f"the image folder {tmp_path}/no does not exist"

    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert message(tmp_path / "file") == f"the image folder {tmp_path}/file is not a folder"

    def test_no_sub_folder(self, tmp_path: Path) -> None:
        assert message(tmp_path) == (
            f"the image folder {tmp_path} has no sub-folder; it needs one for each class, at "
            "least two"
        )

    def test_one_class_only(self, photos: Photos) -> None:
        assert "has only one sub-folder, `cats`; it needs one" in message(photos("cats"))

    def test_an_empty_class(self, photos: Photos) -> None:
        folder = photos("a", "b")
        (folder / "c").mkdir()
        assert message(folder) == (f"the class folder {folder}/c has no images (.jpg, .jpeg, .png)")

    def test_a_class_of_one_image(self, photos: Photos) -> None:
        folder = photos("a", "b", count=2)
        (folder / "b" / "1.png").unlink()
        assert message(folder).startswith("the class b has one image; two are needed")

    def test_no_user_of_that_name(self) -> None:
        assert message("folder:~no-such-user/x").startswith("--data folder:~no-such-user/x: ")

    @pytest.mark.parametrize(
        "data", ["", "folder", "folder:", "cifar10", "digits:5", "digits:", "synthetic:"]
    )
    def test_another_word(self, data: str) -> None:
        assert message(data) == (
            "--data is `digits`, `folder:DIR`, `cifar10:DIR`, `cifar100:DIR`, `prepared:DIR`, "
            f"`synthetic` or `synthetic:KEY=VALUE,...`, not `{data}`"
        )

    def test_a_folder_without_its_kind(self, photos: Photos) -> None:
        folder = photos("a", "b")
        assert message(str(folder)).endswith(f"did you mean `folder:{folder}`?")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_no_permission(self, photos: Photos) -> None:
        folder = photos("a", "b")
        (folder / "a").chmod(0)
        try:
            assert message(folder) == f"cannot read the folder {folder}/a: Permission denied"
        finally:
            (folder / "a").chmod(0o700)

    def test_names_that_are_not_printable(self, photos: Photos) -> None:
        folder = photos("a", "b")
        (folder / "line\nend").mkdir()
        assert message(folder).startswith(f"the class folder {folder}/line?end has no images")


class TestLinks:
    def test_a_linked_class_and_linked_images_count(self, photos: Photos, tmp_path: Path) -> None:
        folder = photos("a", "b", count=2)
        (tmp_path / "elsewhere").mkdir()
        (folder / "a").rename(tmp_path / "elsewhere" / "a")
        (folder / "a").symlink_to(tmp_path / "elsewhere" / "a")
        (folder / "b" / "linked.png").symlink_to(folder / "b" / "0.png")
        assert list(Folder(folder).labels) == [0, 0, 1, 1, 1]

    def test_a_link_back_inside_a_class_is_not_followed(self, photos: Photos) -> None:
        folder = photos("a", "b", count=2)
        (folder / "a" / "up").symlink_to(folder)
        (folder / "a" / "self").symlink_to(folder / "a" / "self")
        assert list(Folder(folder).labels) == [0, 0, 1, 1]

    def test_a_class_that_is_a_link_to_its_own_folder(self, photos: Photos) -> None:
        folder = photos("a", "b")
        (folder / "c").symlink_to(folder)
        assert message(folder) == f"the class folder {folder}/c is a link to where it lies"

    def test_a_broken_link(self, photos: Photos) -> None:
        folder = photos("a", "b", count=2)
        (folder / "b" / "2.png").symlink_to(folder / "gone.png")
        assert message(folder) == (
            f"cannot read the image {folder}/b/2.png: No such file or directory"
        )


def png(width: int, height: int, pixels: bytes = b"") -> bytes:
    """A PNG that claims to be so large, in RGB."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels)


class TestImages:
    def broken(self, photos: Photos, content: bytes, name: str = "1.jpg") -> str:
        folder = photos("a", "b", count=2)
        path = folder / "b" / name
        path.write_bytes(content)
        said = message(folder)
        assert said.startswith(f"cannot read the image {path}: ")
        return said.removeprefix(f"cannot read the image {path}: ")

    def test_the_first_of_several_is_named(self, photos: Photos) -> None:
        folder = photos("a", "b", count=40)
        for name in ("a/7.png", "b/3.png", "b/30.png"):
            (folder / name).write_bytes(b"")
        source = open_source(f"folder:{folder}")
        with pytest.raises(ArchspecError, match=r"a/7\.png: it is empty"):
            source.check(range(len(source.labels)))

    def test_empty(self, photos: Photos) -> None:
        assert self.broken(photos, b"") == "it is empty"

    def test_text(self, photos: Photos) -> None:
        assert self.broken(photos, b"This is no image.") == "it is not a JPEG or PNG file"

    def test_another_format(self, photos: Photos) -> None:
        # Pillow would give PostScript to another program.
        assert self.broken(photos, b"%!PS-Adobe-3.0 EPSF-3.0\n") == "it is not a JPEG or PNG file"

    def test_truncated(self, photos: Photos) -> None:
        stream = io.BytesIO()
        pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype="uint8")
        Image.fromarray(pixels).save(stream, "JPEG")
        assert "truncated" in self.broken(photos, stream.getvalue()[:2000])

    @pytest.mark.parametrize("side", [10_000, 50_000])  # a warning of Pillow's, an error
    def test_a_decompression_bomb(self, photos: Photos, side: int) -> None:
        assert "decompression bomb" in self.broken(photos, png(side, side), "1.png")

    def test_damaged_png(self, photos: Photos) -> None:
        self.broken(photos, png(8, 8, b"nonsense"), "1.png")

    def test_an_image_that_claims_no_size(self, photos: Photos) -> None:
        self.broken(photos, png(0, 8), "1.png")


def parts(photos: Photos, training: tuple[str, ...], *held_out: tuple[str, ...]) -> Path:
    """A folder with `train` and `val`, which have these classes."""
    folder = photos(*training, count=3)
    (folder / "train").mkdir()
    for name in training:
        (folder / name).rename(folder / "train" / name)
    for part, names in zip(("val", "test"), held_out, strict=False):
        (folder / part).mkdir()
        for name in names:
            shutil.copytree(folder / "train" / training[0], folder / part / name)
            (folder / part / name / "2.png").unlink()
    return folder


class TestOfficialParts:
    def test_the_second_part_is_held_out(self, photos: Photos) -> None:
        folder = parts(photos, ("a", "b"), ("a", "b"))
        found = open_source(f"folder:{folder}")
        assert found.classes == ("a", "b")
        assert list(found.labels) == [0, 0, 0, 1, 1, 1, 0, 0, 1, 1]
        assert found.title(9) == "val/b/1.png"
        assert split(found, None) == ([0, 1, 2, 3, 4, 5], [6, 7, 8, 9])

    def test_a_limit_counts_both(self, photos: Photos) -> None:
        found = open_source(f"folder:{parts(photos, ('a', 'b'), ('a', 'b'))}")
        training, held_out = split(found, 6)
        assert sorted(found.labels[i] for i in training) == [0, 0, 1, 1]
        assert [found.labels[i] for i in held_out] == [0, 1]
        assert max(training) < 6 <= min(held_out)
        assert split(found, 6) == (training, held_out)

    def test_val_comes_before_test(self, photos: Photos) -> None:
        folder = parts(photos, ("a", "b"), ("a", "b"), ("a", "c"))
        assert open_source(f"folder:{folder}").title(6) == "val/a/0.png"

    def test_a_class_that_is_held_out_alone(self, photos: Photos) -> None:
        folder = parts(photos, ("a", "b"), ("a", "b", "c"))
        assert message(folder) == (
            f"{folder}/train lacks classes that {folder}/val has, `c`: both need a folder for each "
            "class"
        )

    def test_classes_that_are_not_held_out(self, photos: Photos) -> None:
        folder = parts(photos, tuple("abcdefgh"), ("a", "b"))
        assert message(folder) == (
            f"{folder}/val lacks classes that {folder}/train has, `c`, `d`, `e`, `f`, `g` and 1 "
            "more: both need a folder for each class"
        )

    def test_held_out_images_in_a_heap(self, photos: Photos) -> None:
        folder = parts(photos, ("a", "b"), ())
        shutil.copy(folder / "train" / "a" / "0.png", folder / "val")
        assert message(folder).startswith(f"{folder}/val has no sub-folders, and {folder}/train")

    def test_classes_that_are_called_so(self, photos: Photos) -> None:
        """Pictures of trains, and tests."""
        found = open_source(f"folder:{photos('train', 'test', count=2)}")
        assert (found.classes, found.held_out) == (("test", "train"), None)


def photograph(width: int, height: int) -> Image.Image:
    """Something as smooth as a photograph, with a little noise."""
    numbers = np.random.default_rng(0)
    colours = numbers.integers(0, 256, (height // 50, width // 50, 3), dtype="uint8")
    smooth = np.asarray(Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC))
    noise = numbers.integers(-8, 9, smooth.shape)
    return Image.fromarray((smooth + noise).clip(0, 255).astype("uint8"))


class TestDecodingAtASize:
    @pytest.mark.parametrize("orientation", [1, 6])
    def test_never_smaller_and_close(self, photos: Photos, orientation: int) -> None:
        folder = photos("a", "b", count=2)
        path = folder / "a" / "0.jpg"
        exif = Image.Exif()
        exif[0x0112] = orientation
        photograph(1000, 600).save(path, quality=95, exif=exif)
        whole = read_image(path)
        for least, factor in [((65, 40), 4), ((126, 50), 2), ((50, 76), 2), ((251, 1), 1)]:
            wanted = least if orientation == 1 else least[::-1]
            found = read_image(path, wanted)
            assert found.size == (whole.width // factor, whole.height // factor)
            size = (100, 60) if orientation == 1 else (60, 100)
            exact = np.asarray(whole.resize(size, Image.Resampling.BILINEAR), int)
            close = np.asarray(found.resize(size, Image.Resampling.BILINEAR), int)
            assert np.abs(exact - close).mean() < 0.8
            assert np.abs(exact - close).max() <= 8

    def test_hard_edges_stay_where_they_are(self, photos: Photos) -> None:
        """To 35 dB; scaled by the decoder to the very size they would be 31 dB away."""
        path = photos("a", "b", count=2) / "a" / "0.jpg"
        numbers = np.random.default_rng(0)
        pixels = np.full((512, 512, 3), 255, "uint8")
        for top, left, height, width in numbers.integers(0, 512, (300, 4)) // (1, 1, 8, 8):
            pixels[top : top + height, left : left + width] = numbers.integers(0, 256, 3)
        Image.fromarray(pixels).save(path, quality=95, subsampling=0)
        whole, found = read_image(path), read_image(path, (128, 128))
        exact, close = (
            np.asarray(image.resize((128, 128), Image.Resampling.BILINEAR), float)
            for image in (whole, found)
        )
        assert 10 * np.log10(255**2 / np.square(exact - close).mean()) > 35

    def test_other_formats_come_whole(self, photos: Photos) -> None:
        path = photos("a", "b", count=2) / "a" / "0.png"
        assert read_image(path, (2, 2)).size == read_image(path).size
