from __future__ import annotations

import csv
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lth.data import image as decoder
from lth.data.image import decode

TALL = np.random.default_rng(0).integers(0, 256, (7, 4, 3), np.uint8)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM", "TIFF", "WEBP"])
def test_an_image_decodes_to_its_pixels(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(decode(saved(Image.fromarray(TALL), kind, **options), None), TALL)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.full((3, 5), 204 * 256 + 17, np.uint16))
    else:
        image = Image.new("RGB", (5, 3), (204, 204, 204)).convert(mode)  # in the palette of P
    found = decode(saved(image, "TIFF" if mode in ("PA", "CMYK", "YCbCr") else "PNG"), None)
    assert (found.shape, found.dtype) == ((3, 5, 3), np.uint8)
    if mode == "1":
        assert set(np.unique(found)) == {0, 255}  # Pillow scatters black and white
    else:
        assert np.abs(found.astype(int) - 204).max() <= 2


def test_16_bits_keep_their_high_byte() -> None:
    levels = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    assert np.array_equal(decode(saved(Image.fromarray(levels)), None)[..., 1], np.arange(256).reshape(16, 16))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bits_are_refused(mode: str) -> None:
    with pytest.raises(ValueError, match="pixels of 32 bits"):
        decode(saved(Image.new(mode, (3, 3)), "TIFF"), None)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(10))
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    # What stands at (row, column) of the upright image, by the definition of the tag: 6 means turn it clockwise.
    stored = {
        2: TALL[:, ::-1],
        3: TALL[::-1, ::-1],
        4: TALL[::-1],
        5: TALL.transpose(1, 0, 2),
        6: np.rot90(TALL, 1),
        7: TALL[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(TALL, -1),
    }.get(orientation, TALL)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif)
    assert np.array_equal(decode(content, None), TALL)
    assert np.array_equal(decode(content, 4), decode(saved(Image.fromarray(TALL)), 4))


def test_the_central_square_is_taken() -> None:
    for height, width in ((4, 4), (6, 4), (4, 8)):
        pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
        top, left = (height - 4) // 2, (width - 4) // 2
        found = decode(saved(Image.fromarray(pixels)), 4)
        assert np.array_equal(found, pixels[top : top + 4, left : left + 4])


def test_resizing_averages_what_it_makes_smaller() -> None:
    # Alternate black and white columns: every second pixel, taken alone, would be all black or all white.
    stripes = np.zeros((64, 96, 3), np.uint8)
    stripes[:, ::2] = 255
    found = decode(saved(Image.fromarray(stripes)), 8)
    assert found.shape == (8, 8, 3)
    assert np.abs(found[:, 1:-1].astype(int) - 128).max() <= 6


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 24))
def test_a_square_of_any_size_comes_of_any_image(width: int, height: int, size: int) -> None:
    pixels = np.full((height, width, 3), (10, 120, 240), np.uint8)
    found = decode(saved(Image.fromarray(pixels)), size)
    assert found.shape == (size, size, 3)
    assert (found == (10, 120, 240)).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "^empty$"),
        (b"hello", r"not an image, or of a kind that is not read \(JPEG, PNG"),
        (saved(Image.fromarray(TALL))[:60], "truncated|broken"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n", "not an image"),
        (saved(Image.fromarray(TALL), "ICO"), "not an image"),
    ],
)
def test_what_is_no_image(content: bytes, message: str) -> None:
    with pytest.raises((ValueError, OSError, SyntaxError), match=message):
        decode(content, None)


def test_an_image_of_too_many_pixels_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved(Image.new("1", (9000, 9000)))
    assert len(content) < 20_000
    with pytest.raises(ValueError, match="9000 x 9000 pixels are more than 67108864"):
        decode(content, 8)
    monkeypatch.setattr(decoder, "MOST_PIXELS", 27)
    with pytest.raises(ValueError, match="4 x 7 pixels are more than 27"):
        decode(saved(Image.fromarray(TALL)), None)


def test_the_odd_images(test_data: Path) -> None:
    """Every real odd image decodes or is refused as it did when they were collected, with Pillow 13."""
    folder = test_data / "odd-images"
    with (folder / "EXPECTED.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 160
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for row in rows:
            content = (folder / row["file"]).read_bytes()
            # EXIFERR: the first look at the image failed, and the second gave what had been decoded until then.
            damaged = row["convert_rgb"] != "ok" or row["exif_orientation"] == "EXIFERR"
            try:
                whole, small = decode(content, None), decode(content, 16)
            except Exception:  # what is raised for a damaged file is Pillow's choice
                assert damaged or row["pillow_mode"] in ("I", "F"), row
                continue
            assert not damaged, row
            size = (int(row["width"]), int(row["height"]))
            assert whole.shape == (*(size if (row["exif_orientation"] or "1") in "5678" else size[::-1]), 3), row
            assert small.shape == (16, 16, 3), row
