"""Ticket files that are damaged, foreign or forged: each refused, with its name and what is wrong."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lth.errors import TicketError
from lth.pruning.mask import Mask
from lth.tickets import Ticket, TicketHeader, TicketModel
from lth.tickets.format import MAX_HEADER, Content, pack, payload_sha256, unpack
from lth.tickets.packing import from_tensors, to_tensors

Fields = dict[str, Any]
Tensors = dict[str, Tensor]


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def whole(small: Callable[..., Ticket], folder: Path) -> bytes:
    small().save(folder / "whole")
    return (folder / "whole").read_bytes()


@pytest.fixture
def forge(small: Callable[..., Ticket], folder: Path) -> Callable[..., Path]:
    """Returns a maker of files whose checksums are right and whose content was changed by the two functions."""

    def forged(
        fields: Callable[[Fields], object] | None = None, tensors: Callable[[Tensors], object] | None = None
    ) -> Path:
        ticket = small()
        content = {
            name: value.clone() for name, value in to_tensors(ticket.mask, ticket.rewound, ticket.trained).items()
        }
        if tensors:
            tensors(content)
        head: Fields = ticket.header.model_dump(mode="json")
        head["shapes"] = {name: list(keep.shape) for name, keep in ticket.mask.tensors.items()}
        head["payload_sha256"] = payload_sha256(content)
        if fields:
            fields(head)
        head["header_sha256"] = hashlib.sha256(compact(head).encode()).hexdigest()
        path = folder / "forged.safetensors"
        path.write_bytes(safetensors.torch.save(content, {"lth": compact(head)}))
        return path

    return forged


def refused(path: Path, words: str = "weights need a mask") -> TicketError:
    with pytest.raises(TicketError, match=words) as caught:
        Ticket.load(path)
    assert str(path) in str(caught.value)
    return caught.value


def decoded(data: bytes) -> Ticket:
    content = unpack(data)
    return Ticket(*from_tensors(content.shapes, content.tensors), content.header)


def load(data: bytes, folder: Path) -> Ticket:
    path = folder / "damaged"
    path.write_bytes(data)
    return Ticket.load(path)


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


def outer(header: str | bytes, body: bytes = b"", length: int | None = None) -> bytes:
    text = header.encode() if isinstance(header, str) else header
    return (len(text) if length is None else length).to_bytes(8, "little") + text + body


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


def set_field(name: str, value: object) -> Callable[[Fields], object]:
    return lambda fields: fields.__setitem__(name, value)


def set_shape(value: object) -> Callable[[Fields], object]:
    return lambda fields: fields["shapes"].__setitem__("a.weight", value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (set_field("format_version", 2), "ticket format 2; this lth reads format 1.*Install a newer lth"),
        (set_field("format_version", 0), "field 'format_version'"),
        (set_field("format_version", "1"), "field 'format_version'"),
        (lambda fields: fields.pop("format_version"), None),
        (set_field("future", {"of": 1}), None),
        (lambda fields: fields.pop("payload_sha256"), "checksum"),
        (set_field("payload_sha256", "0" * 64), "checksum"),
        (set_field("sparsity", 1.5), "field 'sparsity'"),
        (set_field("sparsity", float("nan")), "field 'sparsity'"),
        (set_field("density_prunable", 0.99), "field 'density_prunable'"),
        (set_field("rewind", "soon"), "field 'rewind'"),
        (set_field("model", {"name": "x\x1b[2J", "classes": -1}), "field 'model.classes'"),
        (set_field("data", [[1]]), "field 'data'"),
        (set_field("accuracies", {"test_top1": {"mean": 2}}), "field 'accuracies.test_top1.mean'"),
        (set_field("shapes", {}), "field 'shapes'"),
        (set_field("shapes", [["a.weight", [3, 5]]]), "field 'shapes'"),
        (lambda fields: fields["shapes"].pop("a.weight"), "differ in names"),
        (lambda fields: fields["shapes"].__setitem__("c.weight", [3]), "differ in names"),
        (set_shape([5, 5]), "tensor 'mask/a.weight': 25 weights need a mask of 4 uint8"),
        (set_shape([2**40, 2**40]), "weights need a mask of"),
        (set_shape([2, 2]), "4 weights need a mask of 1 uint8"),
        (set_shape([3, -5]), "impossible shape"),
        (set_shape([3, True]), "impossible shape"),
        (set_shape([0, 5]), "impossible shape"),
        (set_shape([15.0]), "impossible shape"),
        (set_shape([]), "impossible shape"),
        (set_shape("15"), "impossible shape"),
        (set_shape([1] * 17), "impossible shape"),
        (set_shape([3, 3]), "padding bits|mask keeps"),
    ],
)
def test_a_header_that_lies_is_refused(forge: Callable[..., Path], fields: Any, words: str | None) -> None:
    path = forge(fields)
    if words is None:
        assert Ticket.load(path).header.format_version == 1
    else:
        assert str(refused(path, words)).isprintable()


def put(name: str, value: Tensor) -> Callable[[Tensors], object]:
    return lambda tensors: tensors.__setitem__(name, value)


NAN = float("nan")


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (put("mask/a.weight", torch.full((3,), 255, dtype=torch.uint8)), "weights need a mask of 2 uint8"),
        (put("mask/a.weight", torch.tensor([0, 128], dtype=torch.uint8)), "'mask/a.weight': padding bits"),
        (put("mask/a.weight", torch.zeros(2, dtype=torch.int8)), "need a mask of 2 uint8"),
        (put("mask/a.weight", torch.zeros(2, 1, dtype=torch.uint8)), "need a mask of 2 uint8"),
        (put("mask/a.weight", torch.zeros(2, dtype=torch.uint8)), "'rewound/a.weight': the mask keeps 0 weights"),
        (put("rewound/a.weight", torch.zeros(1)), "'rewound/a.weight': the mask keeps"),
        (put("rewound/a.weight", torch.zeros(3, 5)), "'rewound/a.weight': the mask keeps"),
        (
            lambda t: put("rewound/a.weight", t["rewound/a.weight"].int())(t),
            "'rewound/a.weight': the mask is for floats",
        ),
        (lambda t: put("rewound/a.weight", t["rewound/a.weight"] * NAN)(t), "'rewound/a.weight': holds NaN"),
        (lambda t: put("trained/a.weight", t["trained/a.weight"] / 0)(t), "'trained/a.weight': holds an infinite"),
        (put("rewound_state/a.bias", torch.full((3,), NAN, dtype=torch.float16)), "'rewound/a.bias': holds NaN"),
        (put("trained_state/a.bias", torch.zeros(4)), "differ in names, shapes or dtypes"),
        (lambda t: t.pop("rewound/a.weight"), "'rewound/a.weight': missing"),
        (lambda t: t.pop("trained/b.weight"), "'trained/b.weight': missing"),
        (lambda t: t.pop("mask/a.weight"), "differ in names"),
        (lambda t: t.pop("trained_state/a.bias"), "differ in names, shapes or dtypes"),
        (put("optimizer/a.weight", torch.zeros(1)), "'optimizer/a.weight': .* no place"),
        (put("loose", torch.zeros(1)), "'loose': .* no place"),
        (put("rewound/a.bias", torch.zeros(3)), "'rewound/a.bias': .* no place"),
        (put("rewound_state/a.weight", torch.zeros(3, 5)), "'rewound_state/a.weight': .* no place"),
        (put("rewound_state/x", torch.zeros(0, 2**40)), "impossible shape"),
        (put("rewound_state/x", torch.zeros([1] * 20)), "impossible shape"),
    ],
)
def test_tensors_that_do_not_belong_together_are_refused(forge: Callable[..., Path], tensors: Any, words: str) -> None:
    assert str(refused(forge(None, tensors), words)).isprintable()


def test_a_dtype_that_tickets_do_not_use_is_refused(whole: bytes, folder: Path) -> None:
    path = folder / "foreign dtype"
    path.write_bytes(whole.replace(b'"rewound_state/a.bias":{"dtype":"F32"', b'"rewound_state/a.bias":{"dtype":"U32"'))
    refused(path, "'rewound_state/a.bias': a dtype")


def test_truth_values_are_0_or_1(forge: Callable[..., Path], folder: Path) -> None:
    data = forge(None, put("rewound_state/x", torch.tensor([1, 3], dtype=torch.uint8))).read_bytes()
    path = folder / "truth"
    longer = data[8:].replace(b'/x":{"dtype":"U8"', b'/x":{"dtype":"BOOL"')
    path.write_bytes((int.from_bytes(data[:8], "little") + 2).to_bytes(8, "little") + longer)
    refused(path, "'rewound_state/x': a truth value")


def test_a_ticket_of_another_model_is_refused(lenet_file: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(784, 10))
    with pytest.raises(TicketError, match=r"the ticket lacks '0\.bias', '0\.weight'; the model lacks 'fc1\.bias'"):
        Ticket.load(lenet_file).apply(model)


@pytest.mark.parametrize("shape", [[2**40, 2**40], [2**60], [10**9]])
def test_a_lie_costs_no_memory(forge: Callable[..., Path], shape: list[int]) -> None:
    path = forge(set_shape(shape))
    tracemalloc.start()
    refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * path.stat().st_size + 200_000


def test_a_header_length_of_gigabytes_costs_no_memory(folder: Path) -> None:
    path = folder / "sparse"
    with open(path, "wb") as file:
        file.write(outer("{}", length=2**31))
        file.truncate(2**32)
    tracemalloc.start()
    refused(path, "longer than")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000
