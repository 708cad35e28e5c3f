"""Ticket files whose checksums are right and whose content lies are refused, before any large allocation."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tickets.forging import Fields, Tensors, outer, refused
from torch import Tensor

from lth.errors import TicketError
from lth.tickets import Ticket


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
