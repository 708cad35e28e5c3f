"""Ticket: saved and loaded bit for bit, small, and applied to a model all or nothing."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lth.errors import LthError, TicketError
from lth.models.registry import build
from lth.pruning.mask import Mask
from lth.spec.schema import Model
from lth.tickets import Ticket, TicketHeader, TicketModel
from lth.tickets.format import Content, pack, payload_sha256, unpack
from lth.tickets.packing import from_tensors, to_tensors

Make = Callable[..., Ticket]


NAN = float("nan")


def again(ticket: Ticket) -> Ticket:
    shapes = {name: tuple(keep.shape) for name, keep in ticket.mask.tensors.items()}
    content = unpack(pack(Content(ticket.header, shapes, to_tensors(ticket.mask, ticket.rewound, ticket.trained))))
    return Ticket(*from_tensors(content.shapes, content.tensors), content.header)


def bits(state: dict[str, Tensor]) -> str:
    return payload_sha256(state)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("trained", [True, False])
def test_round_trip_keeps_every_bit(small: Make, tmp_path: Path, dtype: torch.dtype, trained: bool) -> None:
    ticket = small(trained, dtype)
    ticket.save(tmp_path / "t.safetensors")
    loaded = Ticket.load(tmp_path / "t.safetensors")
    assert loaded == ticket
    assert bits(loaded.rewound) == bits(ticket.rewound)
    assert (loaded.trained is None) == (not trained)
    assert loaded.header == ticket.header
    assert list(loaded.mask.tensors) == ["b.weight", "a.weight"], "the order of the network is kept"
    assert loaded.mask.collapsed() == ("b.weight",)
    assert str(loaded.header.rewind) == "2ep5it"


@st.composite
def tickets(draw: st.DrawFn) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Returns masks and a state dict: odd names, any layer sizes, densities from 0 to 1, infinities in buffers."""
    names = draw(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4, unique=True))
    dtype = draw(st.sampled_from([torch.float32, torch.float16, torch.bfloat16]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    masks: dict[str, Tensor] = {}
    state: dict[str, Tensor] = {}
    for name in names:
        shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
        masks[name] = torch.rand(shape, generator=generator) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
        weights = torch.randn(shape, generator=generator).to(dtype)
        weights.view(-1)[0] = -0.0
        state[name] = weights.masked_fill(~masks[name], 0)
    state["\x00 buffer"] = torch.tensor([float("-inf"), -0.0, 1e-42])
    state["counter"] = torch.tensor(draw(st.integers(-(2**63), 2**63 - 1)))
    state["flags"] = torch.tensor([True, False, True])
    return masks, state


@given(tickets())
def test_any_ticket_survives_the_round_trip(parts: tuple[dict[str, Tensor], dict[str, Tensor]]) -> None:
    mask = Mask(parts[0])
    facts = TicketHeader(model=TicketModel(name="x"), sparsity=0.5, density_prunable=mask.density, rewind="0")
    ticket = Ticket(mask, parts[1], None, facts)
    loaded = again(ticket)
    assert loaded == ticket
    assert bits(loaded.rewound) == bits(parts[1])


def test_a_difference_of_one_bit_is_a_difference(small: Make) -> None:
    one, other = small(), small()
    assert one == other
    assert one.trained is not None
    one.trained["a.bias"].view(torch.int32)[0] ^= 1
    assert one != other
    assert one != "ticket"


def test_the_file_is_the_same_every_time(small: Make, tmp_path: Path) -> None:
    files = [tmp_path / "one", tmp_path / "two"]
    for file in files:
        small().save(file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_lenet_ticket_is_small(lenet: Ticket, lenet_file: Path) -> None:
    prunable, kept = 266_200, lenet.mask.kept
    assert (lenet.mask.total, round(kept / prunable, 3)) == (prunable, 0.12)
    needed = prunable / 8 + 4 * kept + 4 * 410  # mask, survivors, biases
    assert needed <= lenet_file.stat().st_size <= needed + 3000
    assert lenet_file.stat().st_size < 0.16 * 4 * 266_610


def test_a_failed_save_keeps_the_old_file(small: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.safetensors"
    small().save(path)
    before = path.read_bytes()

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(LthError, match="disk or the quota is full"):
        small(seed=1).save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["t.safetensors"]


def test_where_a_ticket_cannot_be_saved(small: Make, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none" / "t.safetensors"):
        with pytest.raises(TicketError, match=str(place)):
            small().save(place)
    assert os.listdir(tmp_path) == []


def test_build_gives_the_network_with_the_ticket_in_it(lenet: Ticket, lenet_file: Path) -> None:
    before = torch.get_rng_state()
    model = Ticket.load(lenet_file).build()
    assert torch.equal(before, torch.get_rng_state())
    assert bits(dict(model.state_dict())) == bits(lenet.rewound)
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert {p.device.type for p in model.parameters()} == {"cpu"}


def test_build_of_a_half_precision_ticket(lenet: Ticket) -> None:
    half = Ticket(lenet.mask, {name: value.half() for name, value in lenet.rewound.items()}, None, lenet.header)
    assert {value.dtype for value in half.build().state_dict().values()} == {torch.float16}


def test_mobilenet_with_its_statistics_goes_through(tmp_path: Path, header: Callable[..., TicketHeader]) -> None:
    arguments: dict[str, bool | int | float | str] = {"width_multiplier": 0.25}
    model = build(Model(name="mobilenet_v2", arguments=arguments), (3, 32, 32), 4, 1)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    state["features.0.1.num_batches_tracked"].fill_(12)
    name = "features.18.0.weight"
    mask = Mask({name: state[name] > 0})
    state[name] = state[name] * mask.tensors[name]
    facts = TicketModel(name="mobilenet_v2", arguments=arguments, input_shape=(3, 32, 32), classes=4)
    ticket = Ticket(mask, state, None, header(mask, model=facts))
    ticket.save(tmp_path / "t")
    built = Ticket.load(tmp_path / "t").build().state_dict()
    assert bits(dict(built)) == bits(ticket.rewound)
    assert built["features.0.1.num_batches_tracked"] == 12


@pytest.mark.parametrize(
    "facts",
    [
        {"name": "os:system", "input_shape": (1, 28, 28), "classes": 10},
        {"name": "lenet_300_100", "classes": 10},
        {"name": "lenet_300_100", "input_shape": (1, 28, 28)},
        {"name": "lenet_300_100", "input_shape": (28,), "classes": 10},
        {"name": "lenet_300_100", "input_shape": (1, 28, 29), "classes": 10},
        {"name": "lenet_300_100", "input_shape": (2**20, 2**20, 2**20), "classes": 10},
        {"name": "lenet_300_100", "input_shape": (2**20, 2**20, 1), "classes": 2**30},
        {"name": "lenet_300_100", "arguments": {"nope": 1}, "input_shape": (1, 28, 28), "classes": 10},
        {"name": "mobilenet_v2", "arguments": {"width_multiplier": 1e9}, "input_shape": (1, 28, 28), "classes": 10},
        {"name": "mobilenet_v2", "input_shape": (1, 28, 28), "classes": 10},
    ],
)
def test_build_refuses_a_header_that_lies_about_the_model(lenet: Ticket, facts: dict[str, object]) -> None:
    header = lenet.header.model_copy(update={"model": TicketModel.model_validate(facts)})
    with pytest.raises(TicketError, match="model"):
        Ticket(lenet.mask, lenet.rewound, None, header).build()


def test_training_with_the_mask_keeps_the_ticket(lenet: Ticket) -> None:
    model = copy.deepcopy(lenet.build())
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x, y = torch.randn(8, 1, 28, 28, generator=torch.Generator().manual_seed(0)), torch.arange(8)
    for _ in range(2):
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        for name, keep in lenet.mask.tensors.items():
            model.get_parameter(name).data.mul_(keep)
    trained = {name: value.detach() for name, value in model.state_dict().items()}
    assert Ticket(lenet.mask, lenet.rewound, trained, lenet.header).trained is not None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"a.weight": torch.zeros(3, 4)}, r"floats of shape \(3, 5\)"),
        ({"a.weight": torch.zeros(3, 5, dtype=torch.int64)}, "floats of shape"),
        ({"a.weight": torch.full((3, 5), NAN)}, "tensor 'rewound/a.weight': holds NaN"),
        ({"a.bias": torch.tensor([1.0, NAN, 0.0])}, "tensor 'rewound/a.bias': holds NaN"),
        ({"a.bias": torch.zeros(3, dtype=torch.complex64)}, "dtype that tickets store"),
        ({"a.bias": [1.0, 2.0]}, "dtype that tickets store"),
        ({"a.bias": torch.zeros(4)}, "differ in names, shapes or dtypes"),
        ({"another": torch.zeros(4)}, "differ in names, shapes or dtypes"),
    ],
)
def test_contradicting_parts_make_no_ticket(small: Make, change: dict[str, Tensor], words: str) -> None:
    ticket = small()
    with pytest.raises(TicketError, match=words):
        Ticket(ticket.mask, {**ticket.rewound, **change}, ticket.trained, ticket.header)


def test_the_mask_takes_its_weights_from_a_dense_checkpoint(small: Make) -> None:
    ticket = small(trained=False)
    dense = {**ticket.rewound, "a.weight": torch.arange(15.0).reshape(3, 5) - 20}
    made = Ticket(ticket.mask, dense, None, ticket.header).rewound["a.weight"]
    keep = ticket.mask.tensors["a.weight"]
    assert torch.equal(made[keep], dense["a.weight"][keep])
    assert not made[~keep].any()
    assert not made[~keep].signbit().any()
    assert dense["a.weight"].all(), "the caller's own stays as it was"


def test_trained_weights_must_have_been_trained_with_the_mask(small: Make) -> None:
    ticket = small()
    assert ticket.trained is not None
    pruned = int((~ticket.mask.tensors["a.weight"]).sum())
    with pytest.raises(TicketError, match=f"tensor 'trained/a.weight': {pruned} pruned weights are not 0"):
        Ticket(ticket.mask, ticket.rewound, {**ticket.trained, "a.weight": torch.ones(3, 5)}, ticket.header)
    minus = {**ticket.trained, "b.weight": -torch.zeros(3, 1)}
    kept = Ticket(ticket.mask, ticket.rewound, minus, ticket.header).trained
    assert kept is not None
    assert not kept["b.weight"].signbit().any()


def test_infinite_and_missing_weights_make_no_ticket(small: Make, header: Callable[..., TicketHeader]) -> None:
    ticket = small(trained=False)
    keep = ticket.mask.tensors["a.weight"]
    infinite = {**ticket.rewound, "a.weight": torch.zeros(3, 5).masked_fill(keep, float("inf"))}
    with pytest.raises(TicketError, match="infinite"):
        Ticket(ticket.mask, infinite, None, ticket.header)
    without = {name: value for name, value in ticket.rewound.items() if name != "b.weight"}
    with pytest.raises(TicketError, match=r"tensor 'rewound/b\.weight'"):
        Ticket(ticket.mask, without, None, ticket.header)
    with pytest.raises(TicketError, match="no tensor"):
        Ticket(Mask({}), ticket.rewound, None, ticket.header)
    with pytest.raises(TicketError, match="density_prunable"):
        Ticket(ticket.mask, ticket.rewound, None, header(ticket.mask, density_prunable=0.5))


def test_save_sees_what_was_changed_after_the_ticket_was_made(small: Make, tmp_path: Path) -> None:
    ticket = small()
    ticket.rewound["b.weight"][0] = 1.0
    with pytest.raises(TicketError, match="pruned weights are not 0"):
        ticket.save(tmp_path / "t")
    assert not (tmp_path / "t").exists()
