"""Decoder of image files and the resize to one size, by Pillow: the same function for every engine and every source."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError, features
from PIL import __version__ as pillow_version
from PIL.Image import Resampling, Transpose

Policy = Literal["squash", "center", "keep256"]
KEPT = 256  # what the shorter side becomes under the policy keep256

# Named, so that no file reaches a decoder that starts another program, as that of EPS does.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "PPM", "TIFF")
MOST_PIXELS = 1 << 26
ORIENTATION = 0x0112
# Exif 2.32, tag Orientation -> what sets the image upright.
TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)

FILTER = "bilinear, antialiased"
DECODER = "Pillow"
# What becomes of an image that is not plain RGB; part of the identity of prepared data.
RULES = {
    "alpha": "dropped",
    "cmyk": "converted by Pillow, without its colour profile",
    "exif_orientation": "applied",
    "frames": "the first",
    "gray": "repeated",
    "gray_16_bit": "high byte",
    "gray_32_bit": "refused",
    "most_pixels": str(MOST_PIXELS),
    "palette": "looked up",
}


@dataclass(frozen=True)
class Picture:
    """An image, upright, in RGB, and the width and height that it had in its file (upright too)."""

    image: Image.Image
    width: int
    height: int


def versions() -> dict[str, str]:
    """Returns the versions of what decodes here: another one may round pixels of lossy formats otherwise."""
    libraries = {name: features.version(name) for name in ("libjpeg_turbo", "webp")}
    return {"pillow": pillow_version, **{name: found for name, found in libraries.items() if found}}


def decode(content: bytes | np.ndarray, size: int | None, policy: Policy = "center") -> np.ndarray:
    """Returns the image in a file, upright, as uint8 (h,w,3); with `size`, as (size,size,3) by the `policy`.

    The rest is as `picture` says.
    """
    return np.asarray(picture(content, size, policy).image)


def picture(content: bytes | np.ndarray, size: int | None, policy: Policy = "center") -> Picture:
    """Returns the image in a file, or of pixels uint8 (h,w,1) or (h,w,3), resized by the `policy` to `size` x `size`.

    `squash` resizes the whole image, `center` the central square of the shorter side, which is the same as resizing
    the shorter side to `size` and cropping the centre; `keep256` resizes the shorter side to 256 and crops the centre.
    The filter is bilinear and antialiased. Grey is repeated, transparency dropped, 16-bit grey keeps its high byte; of
    several frames the first is taken. Raises ValueError, or nearly any exception of Pillow's, for a damaged file.
    """
    if isinstance(content, np.ndarray):
        image = _pixels(content)
        return Picture(_resized(image, size, policy), *image.size)
    try:
        opened = Image.open(BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        kinds = ", ".join(FORMATS)
        raise ValueError(f"not an image, or of a kind that is not read ({kinds})" if content else "empty") from None
    with opened as image:
        _bounded(*image.size)
        image.load()
        orientation = _orientation(image)
        small = _resized(_rgb(image), size, policy)
        turn = TURNS.get(orientation)
        width, height = image.size[::-1] if orientation in SIDEWAYS else image.size
        return Picture(small if turn is None else small.transpose(turn), width, height)


def _resized(image: Image.Image, size: int | None, policy: Policy) -> Image.Image:
    if size is None:
        return image
    if policy == "squash":
        return image.resize((size, size), Resampling.BILINEAR)
    side = min(image.size) if policy == "center" else min(image.size) * size / KEPT
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return image.resize((size, size), Resampling.BILINEAR, (left, top, left + side, top + side))


def _bounded(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise ValueError(f"{width} x {height} pixels are more than {MOST_PIXELS}")


def _pixels(array: np.ndarray) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (1, 3) or not array.size:
        raise ValueError(f"{array.dtype} pixels of shape {array.shape}, where uint8 (h,w,1) or (h,w,3) is read")
    _bounded(array.shape[1], array.shape[0])
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).convert("RGB")


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of 32 bits (mode {image.mode}), which have no fixed black and white")
    if image.mode.startswith("I;16"):
        # Pillow would cut everything above 255 off.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ORIENTATION, 1)
    except Exception:  # as for any of the many ways in which an EXIF block can be damaged: pixels are all that counts
        return 1
