"""What is done to a training image by chance, as a function of the numbers that it is given."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from archspec.layers.base import Shape
from archspec.spec.preprocessing import (
    Augmentation,
    PcaJitter,
    Preprocessing,
    RandomCrop,
    RandomResizedCrop,
)
from archspec.training.pixels import Frame, fitted, frame, in_colours, whole

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

    Array = npt.NDArray[np.floating[Any]]
    Pixels = npt.NDArray[np.uint8]

# How often a random resized crop is drawn until one lies within the picture.
TRIES = 10


def augmented(
    image: Image.Image,
    shape: Shape,
    preprocessing: Preprocessing,
    augmentation: Augmentation,
    numbers: np.random.Generator,
) -> tuple[Pixels, Array | None]:
    """Pixels H,W,C of 0 to 255, and what the colour jitter adds after `rescale`, one a channel.

    Numbers are drawn for everything whether it is used or not: to switch the jitter off leaves
    the crops where they are.
    """
    normal = numbers.standard_normal(shape[0])
    mirror, *place = numbers.random(3)
    crop = augmentation.random_crop
    resized = augmentation.random_resized_crop
    if crop is not None:
        pixels = _cropped(frame(image, shape, preprocessing), shape, crop, place)
    elif resized is not None:
        start = (
            whole(in_colours(image, shape[0]))
            if preprocessing.short_side is None
            else frame(image, shape, preprocessing)
        )
        pixels = _resized(start, shape, resized, numbers)
    else:
        pixels = fitted(image, shape, preprocessing)
    if mirror < augmentation.horizontal_flip:
        pixels = pixels[:, ::-1]
    jitter = augmentation.pca_jitter
    return pixels, None if jitter is None else shifted(jitter, normal)


def shifted(jitter: PcaJitter, normal: Array) -> Array:
    """[p1 p2 p3] [a1 m1, a2 m2, a3 m3]^T, with a = std x `normal`: what is added to each channel.

    p are the principal components of the pixel values and m their eigenvalues, as section 4.1 of
    Krizhevsky et al. (2012) prints it, or the roots of these, as the authors' code has it.
    """
    import numpy as np

    sizes = np.asarray(jitter.eigenvalues, "float64")
    if jitter.magnitude == "deviation":
        sizes = np.sqrt(sizes)
    added: Array = (jitter.std * normal * sizes) @ np.asarray(jitter.eigenvectors, "float64")
    return added


def _cropped(found: Frame, shape: Shape, crop: RandomCrop, place: list[float]) -> Pixels:
    """The part of the input's size at a random position, each as likely."""
    _, height, width = shape
    left, top = (
        int(share * (room + 2 * crop.padding + 1)) - crop.padding
        for share, room in zip(place, (found.width - width, found.height - height), strict=True)
    )
    return found.part(left, top, width, height)


def _resized(
    found: Frame, shape: Shape, crop: RandomResizedCrop, numbers: np.random.Generator
) -> Pixels:
    """A part of random area and proportions, scaled to the input (Szegedy et al. 2015, section 6).

    Where none of ten lies within the picture it is the largest part in the middle whose
    proportions are allowed.
    """
    _, height, width = shape
    area = found.width * found.height
    low, high = (math.log(ratio) for ratio in crop.ratio)
    box: tuple[float, float, float, float] | None = None
    for share, shape_of, across, down in numbers.random((TRIES, 4)).tolist():
        part = area * (crop.scale[0] + share * (crop.scale[1] - crop.scale[0]))
        ratio = math.exp(low + shape_of * (high - low))
        w, h = math.sqrt(part * ratio), math.sqrt(part / ratio)
        if w <= found.width and h <= found.height:
            box = (across * (found.width - w), down * (found.height - h), w, h)
            break
    if box is None:
        ratio = min(max(found.width / found.height, crop.ratio[0]), crop.ratio[1])
        w = min(float(found.width), found.height * ratio)
        h = w / ratio
        box = ((found.width - w) / 2, (found.height - h) / 2, w, h)
    return found.zoomed(box, width, height).part(0, 0, width, height)
