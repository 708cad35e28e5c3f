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
from PIL import __version__ as pillow_version

from lth.data import image as decoder
from lth.data.image import decode, picture, versions

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


@pytest.mark.parametrize("shape", [(30, 47), (47, 30), (300, 401), (33, 33)])
@pytest.mark.parametrize("size", [8, 24])
def test_the_policies_are_what_they_say(shape: tuple[int, int], size: int) -> None:
    height, width = shape
    image = Image.fromarray(np.random.default_rng(2).integers(0, 256, (height, width, 3), np.uint8))
    content = saved(image)
    whole = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    assert np.array_equal(decode(content, size, "squash"), whole)
    side = min(shape)
    box = ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)
    square = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box))
    assert np.array_equal(decode(content, size, "center"), square)
    # What keep256 is short for: the shorter side to 256, by a whole number of pixels where that is possible.
    if shape == (33, 33):
        longer = image.resize((256, 256), Image.Resampling.BILINEAR)
        begin = (256 - size) // 2
        crop = np.asarray(longer.crop((begin, begin, begin + size, begin + size)))
        assert np.abs(decode(content, size, "keep256").astype(int) - crop).max() <= 1
    assert decode(content, size, "keep256").shape == (size, size, 3)


def test_keep256_of_an_image_of_that_size_keeps_its_pixels() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (256, 300, 3), np.uint8)
    assert np.array_equal(decode(saved(Image.fromarray(pixels)), 224, "keep256"), pixels[16:240, 38:262])


def test_pixels_go_the_same_way_as_files() -> None:
    colours = np.random.default_rng(4).integers(0, 256, (20, 31, 3), np.uint8)
    for policy in ("squash", "center", "keep256"):
        assert np.array_equal(decode(colours, 8, policy), decode(saved(Image.fromarray(colours)), 8, policy))
    grey = colours[..., :1]
    assert np.array_equal(decode(grey, 8), decode(saved(Image.fromarray(grey[..., 0])), 8))
    assert np.array_equal(decode(grey, None), np.repeat(grey, 3, 2))
    assert np.array_equal(decode(colours[::-1, ::2], None), colours[::-1, ::2]), "whatever their layout in memory"


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((3, 3), np.uint8),
        np.zeros((3, 3, 4), np.uint8),
        np.zeros((3, 3, 3), np.float32),
        np.zeros((0, 3, 3), np.uint8),
    ],
)
def test_pixels_that_are_no_image(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"where uint8 \(h,w,1\) or \(h,w,3\) is read"):
        decode(pixels, 8)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_width_and_height_are_those_of_the_upright_original(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    made = picture(saved(Image.fromarray(TALL), exif=exif), 5)
    assert made.image.size == (5, 5)
    assert (made.width, made.height) == ((7, 4) if orientation > 4 else (4, 7))


def test_versions_name_pillow_and_its_jpeg_decoder() -> None:
    assert versions()["pillow"] == pillow_version
    assert "libjpeg_turbo" in versions()


# What Pillow gives pixels of and we refuse, one by one.
REFUSED = {
    "pillow/16bit.s.tif": "pixels of 32 bits",  # signed 16 bits, for Pillow 32: no fixed black and white
    # Their end is missing. Pillow refuses them too at the first look, and gives what came before it at the second.
    "pillow/broken_data_stream.png": "unrecognized data stream",
    "pillow/truncated_end_chunk.png": "Truncated File Read",
}


def test_the_odd_images(test_data: Path) -> None:
    """Every real odd image decodes or is refused as it was with Pillow 13 when they were collected."""
    folder = test_data / "odd-images"
    with (folder / "EXPECTED.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 160
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for row in rows:
            content = (folder / row["file"]).read_bytes()
            if row["convert_rgb"] != "ok" or row["file"] in REFUSED:
                # What is raised for a damaged file is Pillow's choice.
                with pytest.raises(Exception, match=REFUSED.get(row["file"], "")):
                    decode(content, 16)
                continue
            whole, small = decode(content, None), picture(content, 16)
            width, height = int(row["width"]), int(row["height"])
            upright = (height, width) if (row["exif_orientation"] or "1") in "5678" else (width, height)
            assert whole.shape == (*upright[::-1], 3), row
            assert (small.width, small.height) == upright, row
            assert small.image.size == (16, 16), row
