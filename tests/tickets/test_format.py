"""Ticket files that are damaged, foreign or forged: each refused, with its name and what is wrong."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tickets.forging import decoded, load, outer, refused

from lth.errors import TicketError
from lth.pruning.mask import Mask
from lth.tickets import Ticket, TicketHeader, TicketModel
from lth.tickets.format import MAX_HEADER, Content, pack
from lth.tickets.packing import to_tensors


def test_an_untouched_forgery_is_a_ticket(forge: Callable[..., Path], small: Callable[..., Ticket]) -> None:
    assert Ticket.load(forge()) == small()


def test_a_header_length_that_looks_like_a_pickle_is_no_pickle() -> None:
    mask = Mask({"w": torch.tensor([True])})
    lengths = set()
    for extra in range(600):
        about = TicketHeader(model=TicketModel(name="x" * extra), sparsity=0, density_prunable=1, rewind="0")
        ticket = Ticket(mask, {"w": torch.ones(1)}, None, about)
        data = pack(Content(about, {"w": (1,)}, to_tensors(mask, ticket.rewound, None)))
        assert decoded(data) == ticket
        lengths.add(data[:2])
    assert lengths & {b"\x80\x03", b"\x80\x04", b"\x80\x05"}


def test_every_truncation_is_refused(whole: bytes, folder: Path) -> None:
    for length in range(len(whole)):
        with pytest.raises(TicketError):
            decoded(whole[:length])
    for length in (0, 1, 7, 8, 9, 500, len(whole) - 1):
        with pytest.raises(TicketError, match=str(folder / "damaged")):
            load(whole[:length], folder)


def test_anything_appended_is_refused(whole: bytes, folder: Path) -> None:
    for more in (b"\0", b"\n", whole):
        with pytest.raises(TicketError):
            load(whole + more, folder)


def flipped(whole: bytes, bit: int) -> bytes:
    data = bytearray(whole)
    data[bit // 8] ^= 1 << bit % 8
    return bytes(data)


def test_a_flipped_bit_in_each_byte_is_found(whole: bytes) -> None:
    original, unseen = decoded(whole), []
    for byte in range(len(whole)):
        try:
            survived = decoded(flipped(whole, 8 * byte + (byte * 5) % 8))
        except TicketError:
            continue
        unseen += [byte]
        assert survived == original, f"byte {byte} changed the ticket unseen"
    assert len(unseen) <= 5, "only the case of hexadecimal digits in JSON escapes may change without effect"


@given(data=st.data())
def test_any_flipped_bit_is_found_with_the_name_of_the_file(data: st.DataObject, whole: bytes, folder: Path) -> None:
    damaged = flipped(whole, data.draw(st.integers(0, 8 * len(whole) - 1)))
    message = ""
    try:
        assert load(damaged, folder) == decoded(whole)
    except TicketError as problem:
        message = str(problem)
    assert not message or str(folder / "damaged") in message


@given(noise=st.binary(max_size=300))
def test_noise_is_no_ticket(noise: bytes, folder: Path) -> None:
    with pytest.raises(TicketError):
        load(noise, folder)
    with pytest.raises(TicketError):
        load(len(noise).to_bytes(8, "little") + noise, folder)


def entry(name: str, start: int, end: int, shape: str = "[4]", dtype: str = "U8") -> str:
    return f'"{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}'


NESTED = "not valid JSON|nested more than|truncated, damaged"
FOREIGN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "pickle": (b"\x80\x04\x95\x0b\x00\x00\x00\x00", "a pickle"),
    "zip": (b"PK\x03\x04" + bytes(60), "a zip archive"),
    "gzip": (gzip.compress(bytes(60)), "a gzip file"),
    "a header of 1 GiB": (outer("{}", length=2**30), "its header alone should have 1073741824"),
    "a header of 16 EiB": (outer("{}", length=2**64 - 1), "its header alone"),
    "a long header": (outer("{}" + " " * MAX_HEADER), "longer than"),
    "no metadata": (outer("{}"), "no ticket"),
    "other metadata": (outer('{"__metadata__":{"format":"pt"}}'), "no ticket"),
    "a list": (outer('{"__metadata__":{"lth":"[]"}}'), "not a JSON object"),
    "half an object": (outer('{"__metadata__":{"lth":"{"}}'), "not valid JSON"),
    "terminal commands": (outer('{"__metadata__":{"lth":"\\u001b[2J{"}}'), "not valid JSON"),
    "a number": (outer('{"__metadata__":{"lth":7}}'), "truncated, damaged"),
    "an empty object": (outer('{"__metadata__":{"lth":"{}"}}'), "checksum"),
    "overlap": (outer("{" + entry("a", 0, 4) + "," + entry("b", 2, 6) + "}", bytes(6)), "truncated, damaged"),
    "gap": (outer("{" + entry("a", 0, 4) + "," + entry("b", 6, 10) + "}", bytes(10)), "truncated, damaged"),
    "one name twice": (outer("{" + entry("a", 0, 4) + "," + entry("a", 0, 4) + "}", bytes(4)), "no ticket"),
    "backwards": (outer("{" + entry("a", 4, 0) + "}", bytes(4)), "truncated, damaged"),
    "wrong shape": (outer("{" + entry("a", 0, 4, "[5]") + "}", bytes(4)), "truncated, damaged"),
    "negative shape": (outer("{" + entry("a", 0, 4, "[-4]") + "}", bytes(4)), "truncated, damaged"),
    "overflowing shape": (outer("{" + entry("a", 0, 4, f"[{2**62}, 8]") + "}", bytes(4)), "truncated, damaged"),
    "beyond the end": (outer("{" + entry("a", 0, 2**50, f"[{2**50}]") + "}", bytes(4)), "truncated, damaged"),
    "nested lists": (outer("[" * 100_000), "truncated, damaged"),
    "nested objects": (outer('{"a":' * 100_000), "truncated, damaged"),
    "an ignored nested field": (
        outer('{"a":{"x":' + "[" * 9000 + "]" * 9000 + "," + entry("a", 0, 0, "[0]")[5:] + "}"),
        NESTED,
    ),
    "nested inside": (outer('{"__metadata__":{"lth":"' + "[" * 100_000 + '"}}'), "not valid JSON"),
    "nested 300 deep": (outer('{"__metadata__":{"lth":"' + "[" * 300 + "]" * 300 + '"}}'), "nested more than 8 deep"),
    "nested 20 deep": (
        outer('{"__metadata__":{"lth":"' + '{\\"a\\":' * 20 + "1" + "}" * 20 + '"}}'),
        "nested more than 8",
    ),
    "a long number": (outer('{"__metadata__":{"lth":"{\\"a\\":' + "9" * 5000 + '}"}}'), "not valid JSON"),
    "no UTF-8": (outer(b'{"\xff":1}'), "truncated, damaged"),
}


@pytest.mark.parametrize(("data", "words"), FOREIGN.values(), ids=FOREIGN)
def test_foreign_and_malformed_files_are_refused(data: bytes, words: str, folder: Path) -> None:
    path = folder / "foreign.safetensors"
    path.write_bytes(data)
    message = str(refused(path, words))
    assert message.isprintable(), "nothing from the file can command the terminal"


def test_what_is_no_file_is_refused(folder: Path, tmp_path: Path) -> None:
    refused(tmp_path / "missing.safetensors", "No such file")
    refused(tmp_path, "a folder")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "not a plain file")
    refused(Path("/dev/zero"), "not a plain file")


def test_a_torch_checkpoint_is_refused_without_opening_it(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "renamed.safetensors")
    refused(tmp_path / "renamed.safetensors", "a zip archive, such as torch.save writes, not a ticket file")
