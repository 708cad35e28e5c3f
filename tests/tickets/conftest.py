"""Tickets to test with: small, and a real LeNet-300-100 at 12 % density."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from tickets.forging import Fields, Tensors, compact
from torch import Tensor

from lth.pruning.mask import Mask
from lth.tickets import Accuracy, Parent, Ticket, TicketData, TicketHeader, TicketModel
from lth.tickets.format import payload_sha256
from lth.tickets.packing import to_tensors

torch.set_num_threads(1)


def header_for(mask: Mask, **changes: Any) -> TicketHeader:
    fields: dict[str, Any] = {
        "model": TicketModel(name="lenet_300_100", input_shape=(1, 28, 28), classes=10),
        "data": TicketData(
            dataset_id="ab" * 32, source="mnist", class_names=("zero", "één"), mean=(33.3,), std=(78.6,)
        ),
        "sparsity": 0.88,
        "density_prunable": mask.density,
        "density_all": 0.12,
        "rewind": "2ep5it",
        "seed": 3,
        "confirmed_on": (5, 6, 7),
        "order": "fresh",
        "accuracies": {"validation_top1": Accuracy(mean=0.97, lower=0.96, upper=0.98, confidence=0.95, seeds=3)},
        "verdict": "confirmed",
        "parent": Parent(experiment="cd" * 32, cell="s0.88-r2ep5it-seed3", weights_sha256="ef" * 32),
    }
    return TicketHeader(**{**fields, **changes})


def masked(state: dict[str, Tensor], mask: Mask) -> dict[str, Tensor]:
    return {name: value * mask.tensors[name] if name in mask.tensors else value for name, value in state.items()}


def small_ticket(trained: bool = True, dtype: torch.dtype = torch.float32, seed: int = 0) -> Ticket:
    """Returns a ticket of 18 weights in two layers, with a bias, an integer counter and a collapsed layer."""
    draw = torch.Generator().manual_seed(seed)

    def state() -> dict[str, Tensor]:
        return {
            "a.weight": torch.randn(3, 5, generator=draw).to(dtype),
            "a.bias": torch.randn(3, generator=draw).to(dtype),
            "b.weight": torch.randn(3, 1, generator=draw).to(dtype),
            "n.num_batches_tracked": torch.tensor(2**40 + 7),
            "n.empty": torch.empty(0, 4),
        }

    keep = torch.rand(3, 5, generator=draw) < 0.4
    mask = Mask({"b.weight": torch.zeros(3, 1, dtype=torch.bool), "a.weight": keep})
    weights = masked(state(), mask), masked(state(), mask) if trained else None
    return Ticket(mask, weights[0], weights[1], header_for(mask, model=TicketModel(name="mine.nets:Small")))


@pytest.fixture(scope="session")
def small() -> Callable[..., Ticket]:
    return small_ticket


@pytest.fixture(scope="session")
def header() -> Callable[..., TicketHeader]:
    return header_for


@pytest.fixture(scope="session")
def lenet() -> Ticket:
    """Returns a ticket of LeNet-300-100 that keeps 12 % of each layer's weights."""
    from lth.models.registry import build
    from lth.spec.schema import Model

    state = build(Model(name="lenet_300_100"), (1, 28, 28), 10, 0).state_dict()
    names = [name for name in state if name.endswith("weight")]
    mask = Mask({name: _smallest_left_out(state[name], 0.88) for name in names})
    return Ticket(mask, masked(state, mask), None, header_for(mask))


@pytest.fixture(scope="session")
def lenet_file(lenet: Ticket, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lenet") / "ticket.safetensors"
    lenet.save(path)
    return path


def _smallest_left_out(weights: Tensor, sparsity: float) -> Tensor:
    keep = torch.ones(weights.numel(), dtype=torch.bool)
    keep[weights.abs().reshape(-1).argsort(stable=True)[: round(sparsity * weights.numel())]] = False
    return keep.reshape(weights.shape)


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
