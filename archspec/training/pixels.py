"""From an image as it is stored to the array that a network reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archspec.layers.base import Shape

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

    Array = npt.NDArray[np.floating[Any]]


def fitted(image: Image.Image, shape: Shape) -> Array:
    """An image as H,W,C of 0 to 255 in float32.

    The largest part of the input's proportions is cut out of the middle and scaled to the
    input's size, bilinear, averaging where it shrinks. `shape` is (channels, height, width).
    """
    import numpy as np
    from PIL import Image

    channels, height, width = shape
    image = _in_colours(image, channels)
    scale = min(image.width / width, image.height / height)
    left, top = (image.width - width * scale) / 2, (image.height - height * scale) / 2
    # The part is cut out by the same call that scales it: scaling first would make a strip of
    # 1 x 50,000 pixels a picture of gigabytes. Rounding must not leave the image.
    box = (
        max(left, 0.0),
        max(top, 0.0),
        min(left + width * scale, float(image.width)),
        min(top + height * scale, float(image.height)),
    )
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR, box=box)
    return np.asarray(image, dtype="float32").reshape(height, width, channels)


def _in_colours(image: Image.Image, channels: int) -> Image.Image:
    """8 bits a channel: red, green, blue, or the grey of their brightness. Alpha is dropped."""
    import numpy as np
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits; Pillow would cut everything above 255 off
        wide = np.asarray(image).clip(0, 65535).astype("uint32")
        image = Image.fromarray(((wide * 255 + 32767) // 65535).astype("uint8"))
    elif image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    return image.convert("RGB" if channels == 3 else "L")
