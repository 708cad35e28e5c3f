"""Putting a ticket into a model: all of it or nothing, whatever wraps the model."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lth.errors import TicketError
from lth.models.registry import build
from lth.pruning.mask import Mask
from lth.spec.schema import Model
from lth.tickets import Ticket
from lth.tickets.format import payload_sha256

Make = Callable[..., Ticket]


def fresh() -> nn.Module:
    return build(Model(name="lenet_300_100"), (1, 28, 28), 10, 99)


def test_apply_returns_the_model_itself(lenet: Ticket) -> None:
    model = fresh()
    assert lenet.apply(model) is model
    assert payload_sha256(dict(model.state_dict())) == payload_sha256(lenet.rewound)
    model.get_parameter("fc1.weight").data.zero_()
    assert lenet.rewound["fc1.weight"].any(), "the ticket keeps its own copy"


def test_apply_takes_the_trained_weights(small: Make) -> None:
    ticket, model = small(), Small()
    assert ticket.trained is not None
    assert payload_sha256(dict(ticket.apply(model, "trained").state_dict())) == payload_sha256(ticket.trained)
    with pytest.raises(TicketError, match="no trained weights"):
        small(trained=False).apply(model, "trained")
    with pytest.raises(TicketError, match="no such weights"):
        ticket.apply(model, "final")


class Wrapped(nn.Module):
    """Names its only child as DistributedDataParallel does."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module


class Small(nn.Module):
    """The network of the small ticket."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.n = nn.Linear(5, 3), nn.Linear(1, 3, bias=False), nn.Module()
        self.n.register_buffer("num_batches_tracked", torch.tensor(0))
        self.n.register_buffer("empty", torch.empty(0, 4))
        self.n.register_buffer("passing", torch.zeros(2), persistent=False)


def compiled(model: nn.Module) -> nn.Module:
    return torch.compile(model, backend="eager")  # type: ignore[return-value]


@pytest.mark.parametrize("wrap", [Wrapped, compiled, lambda m: compiled(Wrapped(m)), lambda m: Wrapped(compiled(m))])
def test_apply_passes_over_the_prefixes_of_wrappers(lenet: Ticket, wrap: Callable[[nn.Module], nn.Module]) -> None:
    model = fresh()
    lenet.apply(wrap(model))
    assert payload_sha256(dict(model.state_dict())) == payload_sha256(lenet.rewound)


def test_apply_reaches_into_a_real_distributed_model_and_compiled_parts(lenet: Ticket, tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        model = fresh()
        lenet.apply(DistributedDataParallel(model))
        assert payload_sha256(dict(model.state_dict())) == payload_sha256(lenet.rewound)
        gc.collect()  # a wrapped network that outlives the group may wait for ever for the group's threads
    finally:
        torch.distributed.destroy_process_group()
    parts = fresh()
    parts.fc1 = compiled(parts.get_submodule("fc1"))
    lenet.apply(parts)
    assert torch.equal(parts.state_dict()["fc1._orig_mod.weight"], lenet.rewound["fc1.weight"])


def test_a_ticket_of_a_model_whose_child_is_called_module(small: Make) -> None:
    plain = small(trained=False)
    state = {f"module.{name}": value for name, value in plain.rewound.items()}
    mask = Mask({f"module.{name}": keep for name, keep in plain.mask.tensors.items()})
    model = Wrapped(Small())
    assert payload_sha256(dict(Ticket(mask, state, None, plain.header).apply(model).state_dict())) == payload_sha256(
        state
    )


def altered(name: str) -> nn.Module:
    """Returns a LeNet-300-100 that the ticket does not fit, for the reason `name`."""
    model = fresh()
    match name:
        case "missing":
            model.add_module("extra", nn.Linear(2, 2))
        case "lacks":
            model.fc2 = nn.Linear(300, 100, bias=False)
        case "shape":
            model.output = nn.Linear(100, 11)
        case "dtype":
            model.output = model.get_submodule("output").double()
        case "meta":
            model.output = nn.Linear(100, 10, device="meta")
        case "lazy":
            model.output = nn.LazyLinear(10)
    return model


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("missing", "the ticket lacks 'extra.bias', 'extra.weight'"),
        ("lacks", "the model lacks 'fc2.bias'"),
        ("shape", r"'output.weight' has shape \(10, 100\), in the model \(11, 100\)"),
        ("dtype", "'output.weight' is torch.float32, in the model torch.float64"),
        ("meta", "without memory"),
        ("lazy", "no shape before the first forward pass"),
    ],
)
def test_apply_touches_nothing_where_anything_differs(lenet: Ticket, reason: str, words: str) -> None:
    model = altered(reason)
    before = {name: value.detach().clone() for name, value in model.named_parameters() if name.startswith("fc")}
    with pytest.raises(TicketError, match=words):
        lenet.apply(model)
    assert all(torch.equal(value, model.get_parameter(name)) for name, value in before.items())


def test_apply_refuses_one_tensor_with_two_values(small: Make) -> None:
    model = Small()
    model.b.weight = nn.Parameter(torch.zeros(3, 1))
    model.c = model.b
    ticket = small(trained=False)
    twice = {**ticket.rewound, "c.weight": torch.ones(3, 1)}
    with pytest.raises(TicketError, match=r"'c\.weight' and 'b\.weight' are one tensor in the model"):
        Ticket(ticket.mask, twice, None, ticket.header).apply(model)
    twice["c.weight"] = twice["b.weight"]
    assert payload_sha256(
        dict(Ticket(ticket.mask, twice, None, ticket.header).apply(model).state_dict())
    ) == payload_sha256(twice)


class Talkative(Small):
    """Keeps something in its state dict that is no tensor."""

    def get_extra_state(self) -> dict[str, int]:
        return {"more": 1}


def test_apply_refuses_state_that_is_no_tensor(small: Make) -> None:
    with pytest.raises(TicketError, match="the ticket lacks '_extra_state'"):
        small().apply(Talkative())
