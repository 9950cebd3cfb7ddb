"""From an image as it is stored to the array that a network reads."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from archspec.analysis.numbers import counted
from archspec.diagnostics import ArchspecError
from archspec.layers.base import Shape, show
from archspec.spec.preprocessing import Preprocessing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

    Array = npt.NDArray[np.floating[Any]]
    Pixels = npt.NDArray[np.uint8]

PLAIN = Preprocessing()
# The picture that ten crops are cut out of, to the input's side, where the recipe says none: the
# 256 of Krizhevsky et al. (2012) to their 224.
AROUND = 256 / 224


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture at a size, `width` x `height`, of which parts are computed when asked for.

    It is a part of `image`, in 8 bits a channel, that begins at `left`, `top`; one of its pixels
    is `across` x `down` of the image's.
    """

    image: Image.Image
    left: float
    top: float
    across: float
    down: float
    width: int
    height: int

    def part(self, left: int, top: int, width: int, height: int) -> Pixels:
        """Pixels H,W,C of the part that begins at `left`, `top`; black outside of the frame.

        Scaled bilinear, averaging where it shrinks: as if the whole frame were computed and then
        cut, within 1 of 255.
        """
        import numpy as np

        begin = max(left, 0), max(top, 0)
        end = min(left + width, self.width), min(top + height, self.height)
        size = end[0] - begin[0], end[1] - begin[1]
        if size == (width, height):
            return self._scaled(*begin, *end)
        found = np.zeros((height, width, len(self.image.getbands())), "uint8")
        if min(size) > 0:
            rows = slice(begin[1] - top, begin[1] - top + size[1])
            columns = slice(begin[0] - left, begin[0] - left + size[0])
            found[rows, columns] = self._scaled(*begin, *end)
        return found

    def centre(self, width: int, height: int) -> Frame:
        """The frame of this size in the middle of this one."""
        # Rounded as Python does, to the even neighbour: so does torchvision's CenterCrop.
        left, top = round((self.width - width) / 2), round((self.height - height) / 2)
        return replace(
            self,
            left=self.left + left * self.across,
            top=self.top + top * self.down,
            width=width,
            height=height,
        )

    def zoomed(self, box: tuple[float, float, float, float], width: int, height: int) -> Frame:
        """The part `box` of this frame (left, top, width, height) at another size."""
        left, top, across, down = box
        return Frame(
            self.image,
            self.left + left * self.across,
            self.top + top * self.down,
            self.across * across / width,
            self.down * down / height,
            width,
            height,
        )

    def _scaled(self, left: int, top: int, right: int, bottom: int) -> Pixels:
        import numpy as np
        from PIL import Image

        size = right - left, bottom - top
        # Rounding must not leave the image.
        box = (
            max(self.left + left * self.across, 0.0),
            max(self.top + top * self.down, 0.0),
            min(self.left + right * self.across, float(self.image.width)),
            min(self.top + bottom * self.down, float(self.image.height)),
        )
        if self.across == self.down == 1.0 and box[0].is_integer() and box[1].is_integer():
            x, y = int(box[0]), int(box[1])
            image = self.image
            if size != image.size:
                image = image.crop((x, y, x + size[0], y + size[1]))
        else:
            # The part is cut out by the call that scales it: scaling first would make a strip
            # of 1 x 50,000 pixels a picture of gigabytes.
            image = self.image.resize(size, Image.Resampling.BILINEAR, box=box)
        return np.asarray(image).reshape(size[1], size[0], -1)


@dataclass(frozen=True, eq=False)
class Scaling:
    """(p x rescale - mean) / std for a pixel value p, with one mean and std a channel."""

    rescale: float
    mean: Array
    std: Array | None

    @classmethod
    def of(cls, preprocessing: Preprocessing, channels: int) -> Scaling:
        """The numbers of a recipe, which must be numbers and not `data`.

        Raises ArchspecError where they are not one a channel, or take any pixel value out of
        float32.
        """
        import numpy as np

        arrays = []
        for name in ("mean", "std"):
            value = getattr(preprocessing, name)
            if value is not None and len(value) != channels:
                raise ArchspecError(
                    f"the recipe's preprocessing.{name} has {counted(len(value), 'number')} and "
                    f"the network reads {counted(channels, 'channel')}"
                )
            with np.errstate(over="ignore"):
                arrays.append(None if value is None else np.asarray(value, dtype="float32"))
        mean, std = arrays
        assert mean is not None  # a recipe has always one
        found = cls(preprocessing.rescale, mean, std)
        extremes = np.repeat(np.asarray([[[0]], [[255]]], "uint8"), channels, axis=2)
        with np.errstate(all="ignore"):
            if not np.isfinite(found.scaled(extremes)).all():
                raise ArchspecError(
                    "the recipe's preprocessing (rescale, mean, std) makes numbers of pixel "
                    "values that float32 cannot hold: one of the three is far too large or small"
                )
        return found

    def scaled(
        self, pixels: npt.NDArray[Any], shift: Array | None = None, out: Array | None = None
    ) -> Array:
        """An image H,W,C of 0 to 255 as the network reads it, in float32, written into `out`.

        `shift`, one number a channel, is added before the division.
        """
        import numpy as np

        height, width, channels = pixels.shape
        mean = self.mean if shift is None else self.mean - shift.astype("float32")
        found = np.empty(pixels.shape, "float32") if out is None else out
        # Whole rows at once: NumPy is slow where the last axis has three elements.
        rows = found.reshape(height, width * channels)
        values = pixels.reshape(height, width * channels)
        np.multiply(values, self.rescale, out=rows, dtype="float32")
        rows -= np.tile(mean, width)
        if self.std is not None:
            rows /= np.tile(self.std, width)
        return found


def frame(image: Image.Image, shape: Shape, preprocessing: Preprocessing) -> Frame:
    """What `short_side` and `center_crop` leave of an image, in the colours of `shape`.

    Without `short_side` that is the largest part of the input's proportions out of the middle, at
    the input's size. `shape` is (channels, height, width).
    """
    channels, height, width = shape
    image = in_colours(image, channels)
    if preprocessing.short_side is None:
        scale = min(image.width / width, image.height / height)
        left, top = (image.width - width * scale) / 2, (image.height - height * scale) / 2
        return Frame(image, max(left, 0.0), max(top, 0.0), scale, scale, width, height)
    width, height = short_side(image.size, preprocessing.short_side)
    found = whole(image).zoomed((0, 0, *image.size), width, height)
    if preprocessing.center_crop is None:
        return found
    rows, columns = preprocessing.center_crop
    return found.centre(columns, rows)


def whole(image: Image.Image) -> Frame:
    """The frame of all pixels of an image, in its colours."""
    return Frame(image, 0.0, 0.0, 1.0, 1.0, image.width, image.height)


def fitted(image: Image.Image, shape: Shape, preprocessing: Preprocessing = PLAIN) -> Pixels:
    """An image as H,W,C of 0 to 255 at the input's size, cut out of the middle of its `frame`.

    `shape` is (channels, height, width).
    """
    _, height, width = shape
    return frame(image, shape, preprocessing).centre(width, height).part(0, 0, width, height)


def ten_crops(image: Image.Image, shape: Shape, preprocessing: Preprocessing) -> Array:
    """Ten views of an image as the network reads them, 10,H,W,C in float32.

    The four corners of its `frame` (top left, top right, bottom left, bottom right), the middle,
    and the mirror image of each in the same order: section 4.1 of Krizhevsky et al. (2012), who
    average the network's softmax over them. A recipe without `short_side` has the shorter side
    scaled to 256/224 of the input's longer one, as theirs. Raises ArchspecError for a recipe
    whose numbers do not fit the input.
    """
    import numpy as np

    preprocessing = around(shape, preprocessing)
    scaling = Scaling.of(preprocessing, shape[0])
    channels, height, width = shape
    found = frame(image, shape, preprocessing)
    right, bottom = found.width - width, found.height - height
    middle = found.centre(width, height)
    views = [found.part(left, top, width, height) for top in (0, bottom) for left in (0, right)]
    views.append(middle.part(0, 0, width, height))
    crops = np.empty((10, height, width, channels), "float32")
    for place, pixels in enumerate(views):
        scaling.scaled(pixels, out=crops[place])
    crops[5:] = crops[:5, :, ::-1]
    return crops


def around(shape: Shape, preprocessing: Preprocessing) -> Preprocessing:
    """The recipe with a picture to cut crops out of: its own, or 256/224 of the input's side."""
    if preprocessing.short_side is not None:
        return preprocessing
    return preprocessing.model_copy(update={"short_side": round(max(shape[1:]) * AROUND)})


def least(shape: Shape, preprocessing: Preprocessing, smallest: float = 1.0) -> tuple[int, int]:
    """The width and height that is needed of an image, so that nothing is enlarged.

    `smallest` is the side of the smallest part that is cut out and scaled to the input, to the
    side of the whole.
    """
    _, height, width = shape
    side = preprocessing.short_side
    size = (width, height) if side is None else (side, side)
    if smallest < 1.0:
        size = (math.ceil(max(*size, width, height) / smallest),) * 2
    return size


def require_fit(shape: Shape, preprocessing: Preprocessing) -> None:
    """Raise ArchspecError where a recipe cuts less out of an image than the network reads."""
    side, crop = preprocessing.short_side, preprocessing.center_crop
    for name, size, said in (
        ("short_side", side and (side, side), str(side)),
        ("center_crop", crop, crop and show(crop)),
    ):
        for given, needed in zip(size or shape[1:], shape[1:], strict=True):
            if given < needed:
                raise ArchspecError(
                    f"the recipe's preprocessing.{name} is {said} and the network reads "
                    f"{show(shape[1:])}: the input is cut out of that picture, so it takes at "
                    f"least {needed}"
                )


def short_side(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height where the shorter one is scaled to `side`; the other is rounded down."""
    shorter = min(size)
    width, height = (side if length == shorter else side * length // shorter for length in size)
    return width, height


def in_colours(image: Image.Image, channels: int) -> Image.Image:
    """8 bits a channel: red, green, blue, or the grey of their brightness. Alpha is dropped."""
    import numpy as np
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits; Pillow would cut everything above 255 off
        wide = np.asarray(image).clip(0, 65535).astype("uint32")
        image = Image.fromarray(((wide * 255 + 32767) // 65535).astype("uint8"))
    elif image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    mode = "RGB" if channels == 3 else "L"
    return image if image.mode == mode else image.convert(mode)
