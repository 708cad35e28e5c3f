"""Decoder of image files, by Pillow."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.Image import Resampling, Transpose

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


def decode(content: bytes, size: int | None) -> np.ndarray:
    """Returns the image in a file, upright, as uint8 (h,w,3); with `size`, its central square as (size,size,3).

    The square of the shorter side is resized with an antialiased bilinear filter: the same as resizing the shorter
    side to `size` and cropping the centre. Grey is repeated, transparency dropped, 16-bit grey keeps its high byte; of
    several frames the first is taken. Raises ValueError, or nearly any exception of Pillow's, for a damaged file.
    """
    try:
        image = Image.open(BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        kinds = ", ".join(FORMATS)
        raise ValueError(f"not an image, or of a kind that is not read ({kinds})" if content else "empty") from None
    with image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise ValueError(f"{width} x {height} pixels are more than {MOST_PIXELS}")
        image.load()
        turn = TURNS.get(_orientation(image))
        upright = _rgb(image)
        if size is not None:
            side = min(upright.size)
            left, top = (upright.width - side) / 2, (upright.height - side) / 2
            upright = upright.resize((size, size), Resampling.BILINEAR, (left, top, left + side, top + side))
        return np.asarray(upright if turn is None else upright.transpose(turn))


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
