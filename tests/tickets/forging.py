"""Forged and damaged ticket files, and what must come of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from lth.errors import TicketError
from lth.tickets import Ticket
from lth.tickets.format import unpack
from lth.tickets.packing import from_tensors

Fields = dict[str, Any]
Tensors = dict[str, Tensor]


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


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


def outer(header: str | bytes, body: bytes = b"", length: int | None = None) -> bytes:
    text = header.encode() if isinstance(header, str) else header
    return (len(text) if length is None else length).to_bytes(8, "little") + text + body
