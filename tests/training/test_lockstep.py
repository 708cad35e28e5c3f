"""The contract of lockstep on real networks: a ticket has, bit for bit, what it has when trained alone.

Weights, batch-norm statistics, optimizer state and averages, whatever the company, the order of boarding and the slot
that it takes over; dropout, crops and flips included.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lth.data.loader import Resident, Stream
from lth.data.sources import open_source
from lth.models.registry import build
from lth.pruning.mask import Mask
from lth.pruning.score import magnitude_masks
from lth.spec.recipe import Train
from lth.spec.schema import Data, Model
from lth.training.loop import train
from lth.training.precision import channels_last
from lth.training.trainee import Timing, Trainee

MODELS: dict[str, dict[str, Any]] = {
    "lenet": {"name": "lenet_300_100"},
    "resnet": {"name": "resnet_20", "arguments": {"width": 4}},
    "mobilenet": {
        "name": "mobilenet_v2", "arguments": {"width_multiplier": 0.1, "stem_stride": 2, "dropout": 0.2},
    },
}  # fmt: skip
MOMENTUM = {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}
ADAM = {"name": "adamw", "lr": 1e-3, "weight_decay": 1e-2}
RECIPES: dict[str, dict[str, Any]] = {
    "momentum": {"optimizer": {**MOMENTUM, "nesterov": True}},
    "adam": {"optimizer": ADAM, "schedule": {"name": "cosine", "warmup_epochs": 1}},
    "everything": {
        "optimizer": {**MOMENTUM, "decay_norm_and_bias": False},
        "ema": 0.9, "clip_norm": 0.5, "label_smoothing": 0.1,
    },
    "adam-everything": {
        "optimizer": {**ADAM, "decay_norm_and_bias": False}, "ema": 0.8, "clip_norm": 0.5, "micro_batch": 4,
    },
    "bf16": {"optimizer": MOMENTUM, "precision": "bf16"},
    "micro-batch": {"optimizer": MOMENTUM, "micro_batch": 4, "ema": 0.9},
}  # fmt: skip
FAST = [
    ("lenet", "everything"),
    ("resnet", "adam-everything"),
    ("mobilenet", "momentum"),
    ("resnet", "bf16"),
    ("lenet", "adam"),
    ("mobilenet", "micro-batch"),
]
REST = [pair for pair in itertools.product(MODELS, RECIPES) if pair not in FAST]
PAIRS = [*FAST, *(pytest.param(*pair, marks=pytest.mark.long) for pair in REST)]
STEPS, EPOCHS, BATCH = 3, 2, 8


@dataclass(frozen=True)
class Ticket:
    """What makes a ticket: where it starts, how sparse it is, and the seed of its dropout."""

    step: int
    sparsity: float | None
    seed: int


TICKETS = (Ticket(0, 0.5, 1), Ticket(2, 0.9, 2), Ticket(4, 0.8, 3), Ticket(0, None, 4))


class World:
    """One network, one recipe, and their tickets."""

    def __init__(self, model: str, recipe: str):
        channels = 1 if model == "lenet" else 3
        size = 8 if model == "lenet" else 32
        source = f"synthetic:examples=32,test_examples=4,classes=4,channels={channels},size={size}"
        validation, augment = {"count": 32 - STEPS * BATCH}, {"crop": 2, "flip": True}
        raw = {"source": source, "batch_size": BATCH, "validation": validation, "augment": augment}
        self.data, self.spec = Data.model_validate(raw), Model.model_validate(MODELS[model])
        self.recipe = Train.model_validate({"epochs": EPOCHS, **RECIPES[recipe]})
        self.layout = channels_last(self.network(0), self.recipe)
        self.dataset = open_source(source)
        self.gradient: Tensor | None = None

    def network(self, seed: int) -> nn.Module:
        channels, size = (1, 8) if self.spec.name == "lenet_300_100" else (3, 32)
        return build(self.spec, (channels, size, size), 4, seed)

    def stream(self) -> Stream:
        home = torch.device("cpu")
        return Stream(Resident(self.dataset, self.data, 0, home, channels_last=self.layout), 1, 2)

    def mask(self, ticket: Ticket) -> Mask | None:
        if ticket.sparsity is None:
            return None
        return magnitude_masks(self.network(ticket.seed), [ticket.sparsity])[ticket.sparsity]

    def trainee(self, ticket: Ticket) -> Trainee:
        made = Trainee(
            str(ticket), self.network(ticket.seed), self.recipe, STEPS, timing=Timing(ticket.step),
            mask=self.mask(ticket), dropout_seed=ticket.seed, channels_last=self.layout, gradient=self.gradient,
        )  # fmt: skip
        self.gradient = made.gradient  # one for all, as a worker has it
        return made

    def board(self, slot: Trainee, ticket: Ticket) -> Trainee:
        state = self.network(ticket.seed).state_dict()
        slot.board(str(ticket), state, timing=Timing(ticket.step), mask=self.mask(ticket), dropout_seed=ticket.seed)
        return slot


Bits = dict[str, bytes]


def bits(one: Trainee) -> Bits:
    """Returns every byte that training changes."""
    assert one.step == one.last_step == EPOCHS * STEPS
    buffers = {f"buffer {name}": value for name, value in one.model.named_buffers()}
    assert one.last_gradient is not None
    tensors = {"weights": one.weights, "gradient": one.last_gradient, **one.state, **buffers}
    return {name: value.detach().numpy().tobytes() for name, value in tensors.items()}


def together(world: World, tickets: Iterable[Ticket]) -> list[Bits]:
    """Returns the bits of tickets trained in lockstep, in the order in which they board."""
    trainees = [world.trainee(ticket) for ticket in tickets]
    stream = world.stream()
    list(train(trainees, stream, (), lambda: False))
    return [bits(one) for one in trainees]


@pytest.mark.parametrize(("model", "recipe"), PAIRS)
def test_a_ticket_in_any_company_and_any_slot_has_the_bits_it_has_alone(model: str, recipe: str) -> None:
    world = World(model, recipe)
    alone = [together(World(model, recipe), [ticket])[0] for ticket in TICKETS]
    assert len({one["weights"] for one in alone}) == len(TICKETS)
    assert together(world, TICKETS) == alone
    assert together(world, TICKETS[::-1]) == alone[::-1]
    assert together(world, TICKETS[1:3]) == alone[1:3]
    assert in_two_slots(world) == alone


def in_two_slots(world: World) -> list[Bits]:
    """Returns the bits of all tickets, in order, of which the later ones board the slots of the earlier ones.

    A slot is taken over while the other is in mid-training, and a pruned network's by a dense one.
    """
    first, second, third, fourth = TICKETS
    slots, found = [world.trainee(first), world.trainee(second)], dict[Ticket, Bits]()
    for _ in train(slots, world.stream(), (), lambda: slots[1].step >= 5):
        break  # as at an interruption
    list(train([slots[1]], world.stream(), (), lambda: False))
    found[second] = bits(slots[1])
    world.board(slots[1], third)
    list(train(slots, world.stream(), (), lambda: False))
    found[first], found[third] = bits(slots[0]), bits(slots[1])
    for slot in slots:
        world.board(slot, fourth)
        list(train([slot], world.stream(), (), lambda: False))
        assert found.setdefault(fourth, bits(slot)) == bits(slot)
    return [found[ticket] for ticket in TICKETS]


def test_augmentation_and_dropout_do_take_part() -> None:
    """The test above would pass on a stream that does nothing: crops, flips and dropout must change the bits."""
    world = World("mobilenet", "momentum")
    moved = together(world, TICKETS[:1])[0]["weights"]
    world.data = world.data.model_copy(update={"augment": world.data.augment.model_copy(update={"crop": 0})})
    assert together(world, TICKETS[:1])[0]["weights"] != moved
    other = World("mobilenet", "momentum")
    other.spec = Model.model_validate({"name": "mobilenet_v2", "arguments": {"width_multiplier": 0.1, "dropout": 0.0}})
    assert together(other, TICKETS[:1])[0]["weights"] != moved
