"""Ticket file, format 1: bytes <-> header, shapes of the masked tensors, and tensors. The page is docs/tickets.md."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from lth.errors import TicketError
from lth.tickets.header import FORMAT_VERSION, TicketHeader, read_header

Shapes = dict[str, tuple[int, ...]]

# As safetensors spells them. Narrower formats would need scales that format 1 does not store.
DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
SPELLING = {dtype: name for name, dtype in DTYPES.items()}
MAX_HEADER = 16 * 2**20  # bytes; a network of 1 000 tensors needs about 0.1 MB
MAX_DIMENSIONS = 16
MAX_NESTING = 8
COPY = "Copy the file again from where it was made."
FOREIGN = {
    b"PK\x03\x04": "a zip archive, such as torch.save writes",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"\x1f\x8b": "a gzip file",
}


@dataclass(frozen=True)
class Content:
    """What a ticket file holds: `shapes` are those of the masked parameters, in the order of the network."""

    header: TicketHeader
    shapes: Shapes
    tensors: Mapping[str, Tensor]


def pack(content: Content) -> bytes:
    """Returns the bytes of the ticket file: the same content gives the same bytes."""
    fields: dict[str, Any] = content.header.model_dump(mode="json")
    fields["shapes"] = {name: list(shape) for name, shape in content.shapes.items()}
    fields["payload_sha256"] = payload_sha256(content.tensors)
    fields["header_sha256"] = _header_sha256(fields)
    return safetensors.torch.save(dict(content.tensors), {"lth": _compact(fields)})


def read_file(path: Path) -> bytes:
    """Returns the bytes of a file that may be a ticket. Raises TicketError on anything that cannot be one."""
    cure = "Name a ticket file, such as winner/ticket.safetensors."
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise TicketError("not a plain file", cure=cure)
            start = file.read(8)
            _check_start(start, about.st_size)
            return start + file.read(about.st_size - len(start))
    except IsADirectoryError as problem:
        raise TicketError("a folder, not a ticket file", cure=cure) from problem
    except OSError as problem:
        raise TicketError(f"cannot be read: {problem.strerror}", cure=cure) from problem


def _open_without_waiting(path: str, flags: int) -> int:
    """Returns a file descriptor, at once even for a pipe that nobody writes to."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def unpack(data: bytes) -> Content:
    """Returns the content of a ticket file's bytes, every checksum verified.

    Raises TicketError on anything else, before it allocates more than a few times the file's size.
    """
    _check_start(data[:8], len(data))
    try:
        raw = safetensors.deserialize(data)
    except safetensors.SafetensorError as problem:
        raise TicketError(f"truncated, damaged, or no safetensors file: {problem}", cure=COPY) from problem
    fields = _fields(data)
    payload, shapes = fields.pop("payload_sha256", None), fields.pop("shapes", None)
    header = read_header(fields)
    tensors = {name: _tensor(name, value, len(data)) for name, value in raw}
    if payload_sha256(tensors) != payload:
        raise TicketError("the tensors do not have the checksum that the header states", cure=COPY)
    return Content(header, _shapes(shapes, tensors), tensors)


def payload_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Returns the sha256 over each tensor in order of name: a JSON line [name, dtype, shape], then its bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        digest.update((_compact([name, SPELLING[value.dtype], list(value.shape)]) + "\n").encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _check_start(start: bytes, size: int) -> None:
    if size == 0:
        raise TicketError("the file is empty", cure=COPY)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > size - 8:
        kinds = [kind for magic, kind in FOREIGN.items() if start.startswith(magic)]
        if kinds:
            raise TicketError(f"{kinds[0]}, not a ticket file", cure="Make tickets with Ticket.save or `lth run`.")
        cure = f"It is truncated or no safetensors file. {COPY}"
        raise TicketError(f"the file has {size} bytes, its header alone should have {length}", at="offset 0", cure=cure)
    if length > MAX_HEADER:
        raise TicketError(f"the header is longer than {MAX_HEADER} bytes", at="offset 0", value=length, cure=COPY)


def _fields(data: bytes) -> dict[str, Any]:
    """Returns the JSON object under the metadata key "lth", without its checksum, which is verified."""
    outer = _json(data[8 : 8 + int.from_bytes(data[:8], "little")], "the safetensors header")
    metadata = outer.get("__metadata__")
    if not isinstance(metadata, dict) or "lth" not in metadata:
        cure = "Open it with safetensors; only files written by Ticket.save are tickets."
        raise TicketError('a safetensors file, but no ticket: its metadata has no key "lth"', cure=cure)
    fields = _json(metadata["lth"], 'the metadata key "lth"')
    version = fields.get("format_version")
    if type(version) is int and version > FORMAT_VERSION:
        cure = "Install a newer lth to open it."
        what = f"ticket format {version}; this lth reads format {FORMAT_VERSION}"
        raise TicketError(what, at="format_version", cure=cure)
    stated = fields.pop("header_sha256", None)
    if _header_sha256(fields) != stated:
        raise TicketError("the header does not have the checksum that it states", at="header_sha256", cure=COPY)
    return fields


def _json(text: bytes | str, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise TicketError(f"{what} is not valid JSON: {problem}", cure=COPY) from problem
    if not _shallow(value):
        raise TicketError(f"{what} is nested more than {MAX_NESTING} deep", cure=COPY)
    if not isinstance(value, dict):
        raise TicketError(f"{what} is not a JSON object", value=value, cure=COPY)
    return value


def _shallow(value: Any, allowed: int = MAX_NESTING) -> bool:
    """Returns whether `value` is nested at most `allowed` deep: what is deeper could not even be printed."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not inner or (allowed > 0 and all(_shallow(item, allowed - 1) for item in inner))


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _header_sha256(fields: dict[str, Any]) -> str:
    return hashlib.sha256(_compact(fields).encode()).hexdigest()


def _tensor(name: str, raw: Mapping[str, Any], size: int) -> Tensor:
    """Returns the tensor that safetensors found, on its bytes; `size` is the file's."""
    dtype, shape, data = DTYPES.get(raw["dtype"]), raw["shape"], raw["data"]
    if dtype is None:
        raise TicketError("a dtype that tickets do not use", at=f"tensor {name!r}", value=raw["dtype"])
    if len(shape) > MAX_DIMENSIONS or max(shape, default=0) > size:
        raise TicketError("an impossible shape", at=f"tensor {name!r}", value=shape, cure=COPY)
    if not data:
        return torch.empty(shape, dtype=dtype)
    if dtype is torch.bool and max(data) > 1:
        raise TicketError("a truth value that is neither 0 nor 1", at=f"tensor {name!r}", cure=COPY)
    return torch.frombuffer(data, dtype=dtype).reshape(shape)


def _shapes(stated: Any, tensors: Mapping[str, Tensor]) -> Shapes:
    """Returns the shapes of the masked parameters; each fits its packed mask to the byte, so none exceeds the file."""
    if not isinstance(stated, dict) or not stated:
        raise TicketError("wrong header: no shapes of masked tensors", at="field 'shapes'", value=stated)
    masks = {name.removeprefix("mask/") for name in tensors if name.startswith("mask/")}
    if masks != set(stated):
        raise TicketError("the header's shapes and the masks differ in names", value=sorted(masks ^ set(stated))[:3])
    return {name: _shape(name, shape, tensors[f"mask/{name}"]) for name, shape in stated.items()}


def _shape(name: str, shape: Any, packed: Tensor) -> tuple[int, ...]:
    at = f"tensor {'mask/' + name!r}"
    sizes = shape if isinstance(shape, list) else [0]
    if not 1 <= len(sizes) <= MAX_DIMENSIONS or not all(type(size) is int and size > 0 for size in sizes):
        raise TicketError("the header states an impossible shape", at=at, value=shape)
    count = math.prod(sizes)
    if packed.dtype != torch.uint8 or packed.dim() != 1 or packed.numel() != -(-count // 8):
        found = f"{packed.dtype} of shape {tuple(packed.shape)}"
        raise TicketError(f"{count} weights need a mask of {-(-count // 8)} uint8", at=at, value=found)
    if count % 8 and int(packed[-1]) >> (count % 8):
        raise TicketError("padding bits after the last weight are not zero", at=at)
    return tuple(sizes)
