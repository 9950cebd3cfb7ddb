"""Images a second on one core: Pillow on the originals, archspec on them, and a prepared store."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Row, in_turn

if TYPE_CHECKING:
    from archspec.training.data import Images
    from archspec.training.sources import Source

SIDE = 256
CROP = 227
# Width, height and how many pictures of it: as ImageNet has them, and of a camera.
ORIGINALS = ((500, 375, 48), (2048, 1536, 8))
ROUNDS = 5


def rows() -> Iterator[Row]:
    """Pictures at the size that training cuts its crops out of, in an order by chance."""
    with tempfile.TemporaryDirectory() as folder:
        for width, height, count in ORIGINALS:
            yield from _of(Path(folder) / f"{width}", width, height, count)


def _of(folder: Path, width: int, height: int, count: int) -> Iterator[Row]:
    from archspec.training.preparing import PrepareOptions, prepare
    from archspec.training.sources import open_source

    source = _photographs(folder / "photos", width, height, count)
    originals = open_source(f"folder:{source}")
    prepare(originals, folder / "raw", PrepareOptions(SIDE))
    prepare(originals, folder / "jpeg", PrepareOptions(SIDE, "jpeg"))
    paths = sorted(source.rglob("*.jpg"))
    plain = _each(lambda index: _plain(paths[index]), count)
    raw, jpeg = (open_source(f"prepared:{folder / name}") for name in ("raw", "jpeg"))
    size = f"{width} x {height}"
    for what, read, target in (
        ("a prepared store", lambda index: _pixels(raw.image(index)), "5"),
        ("one with `--encoding jpeg`", lambda index: _pixels(jpeg.image(index)), ""),
        ("`folder:DIR`", lambda index: _scaled(originals.image(index, (SIDE, SIDE))), "1"),
    ):
        yield _row(
            f"images a second of one core at a shorter side of {SIDE} from {what}, against Pillow "
            f"decoding and resizing JPEG files of {size}",
            count,
            _each(read, count),
            plain,
            target,
        )
    yield _row(
        f"the same as a network of {CROP} reads them, in float32, from a prepared store, against "
        f"`folder:DIR` with files of {size}",
        count,
        _each(_images(raw).__getitem__, count),
        _each(_images(originals).__getitem__, count),
        "",
    )


def _row(
    what: str, count: int, ours: Callable[[], object], peer: Callable[[], object], target: str
) -> Row:
    mine, theirs, ratio = in_turn(ours, peer, ROUNDS, clock=time.process_time)
    return Row(what, f"{count / mine:,.0f}", f"{count / theirs:,.0f}", ratio, target)


def _each(read: Callable[[int], object], count: int) -> Callable[[], object]:
    """Reads all images once, in an order by chance."""
    import numpy as np

    order = np.random.default_rng(0).permutation(count).tolist()
    return lambda: [read(index) for index in order] and None


def _plain(path: Path) -> Any:
    """What a person would write."""
    from PIL import Image

    with Image.open(path) as image:
        scale = SIDE / min(image.size)
        size = round(image.width * scale), round(image.height * scale)
        return _pixels(image.convert("RGB").resize(size, Image.Resampling.BILINEAR))


def _scaled(image: Any) -> Any:
    from archspec.spec.preprocessing import Preprocessing
    from archspec.training.pixels import frame

    found = frame(image, (3, CROP, CROP), Preprocessing(short_side=SIDE))
    return found.part(0, 0, found.width, found.height)


def _pixels(image: Any) -> Any:
    import numpy as np

    return np.asarray(image)


def _images(source: Source) -> Images:
    from archspec.spec.preprocessing import Preprocessing
    from archspec.training.data import Images
    from archspec.training.pixels import Scaling

    recipe, shape = Preprocessing(short_side=SIDE, mean=(120.0,) * 3), (3, CROP, CROP)
    return Images(source, range(len(source.labels)), shape, Scaling.of(recipe, 3), recipe)


def _photographs(folder: Path, width: int, height: int, count: int) -> Path:
    """JPEG files that compress like photographs: waves of colour, and texture at every scale.

    The amplitude of the texture falls with the frequency f as 1 / f^1.2, as that of natural images
    does about (Field 1987).
    """
    import numpy as np
    from PIL import Image

    numbers = np.random.default_rng(0)
    rows = np.fft.fftfreq(height)[:, None] * height
    columns = np.fft.rfftfreq(width)[None] * width
    frequency = np.maximum(np.hypot(rows, columns), 1.0)
    y, x = np.mgrid[:height, :width] / max(width, height)
    for index in range(count):
        noise = np.fft.rfft2(numbers.standard_normal((height, width))) / frequency**1.2
        texture = np.fft.irfft2(noise, (height, width))
        pixels = np.full((height, width, 3), 128.0) + 25 * (texture / texture.std())[..., None]
        for channel in range(3):
            for across, down in numbers.normal(0, 4, (4, 2)):
                wave = np.cos(2 * np.pi * (across * x + down * y) + 6 * numbers.random())
                pixels[..., channel] += 15 * wave
        path = folder / f"class{index % 2}" / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype("uint8")).save(path, quality=90)
    return folder
