from __future__ import annotations

import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lth.data.sources.tar_header import plain_header

FORMS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


def header(name: str, size: int = 0, form: int = tarfile.USTAR_FORMAT, **fields: object) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    for key, value in fields.items():
        setattr(member, key, value)
    return member.tobuf(form)


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/"), min_size=1, max_size=99),
    st.integers(0, (8 << 30) - 1),
    st.sampled_from(FORMS),
)
def test_what_tarfile_writes(name: str, size: int, form: int) -> None:
    assert plain_header(header(name, size, form)) == (name.encode(), size)


@pytest.mark.parametrize(
    "block",
    [
        b"",
        bytes(512),
        bytes(511),
        header("x")[:511],
        header("folder", type=tarfile.DIRTYPE),
        header("link", type=tarfile.SYMTYPE, linkname="x"),
        header("x/"),
        header("", 1),
        header("a" * 60 + "/" + "b" * 60),  # with a prefix
        header("a" * 120, form=tarfile.GNU_FORMAT),
        header("ü" * 60, form=tarfile.PAX_FORMAT)[:512],
        header("x", 8 << 30, tarfile.GNU_FORMAT),  # a binary number
    ],
)
def test_everything_odd_is_for_tarfile(block: bytes) -> None:
    assert plain_header(block[:512]) is None


def test_a_flipped_bit_is_not_plain_or_means_nothing() -> None:
    whole = header("train/a/1.png", 1234)
    for place in range(512):
        for bit in (0, 4, 7):
            block = bytearray(whole)
            block[place] ^= 1 << bit
            assert plain_header(bytes(block)) in (None, (b"train/a/1.png", 1234)), (place, bit)
