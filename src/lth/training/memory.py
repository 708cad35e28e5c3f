"""How many tickets fit in memory together: an estimate, before the first of them boards."""

from __future__ import annotations

import copy
import gc
import math
from dataclasses import dataclass
from traceback import clear_frames

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lth.data.loader import Images
from lth.spec.recipe import Train
from lth.training.evaluate import BATCH
from lth.training.headroom import headroom
from lth.training.precision import autocast
from lth.training.recipe import fresh_state

SHARE = 0.8  # of what is free: an estimate knows neither fragments nor what others will take
COPIES = 3  # of a state while it is saved: of its tensors, in the writer's buffer, and its bytes
TEMPORARIES = 3  # tensors as large as the largest activation, at one moment of a pass on the CPU


@dataclass(frozen=True)
class Room:
    """The bytes that each ticket in lockstep needs, that all need once, and that are free within `bound`."""

    ticket: int
    shared: int
    free: float
    bound: str

    @property
    def tickets(self) -> float:
        """Returns how many tickets are expected to fit together, at least 1: an estimate.

        What makes it safe is that a group which does not fit after all is halved (`grid.work.loop`).
        """
        return max(1, (SHARE * self.free - self.shared) // self.ticket) if self.free < math.inf else math.inf

    def __str__(self) -> str:
        free = f"{SHARE:.0%} of {_mib(self.free)} free within {self.bound}"
        return f"{_mib(self.ticket)} a ticket and {_mib(self.shared)} for all, estimated, in {free}"


def room(network: nn.Module, resident: Images, recipe: Train, *, states: int, sharers: int) -> Room:
    """Returns the room for tickets like `network`, now that the data are in memory.

    Each ticket has weights, mask, last gradient, optimizer state, averages and buffers; all of them share one
    gradient, the activations of one batch, and on the CPU `states` states to start from and the copies made
    to save one of them. What is free is divided among `sharers` workers.
    """
    weights, ticket, saved = ticket_bytes(network, recipe)
    trial = copy.deepcopy(network).to(resident.device).train()
    if resident.device.type == "cuda":
        shared = _peak_on_gpu(trial, resident, recipe)
        del trial
        torch.cuda.empty_cache()
        return Room(ticket, shared, torch.cuda.mem_get_info(resident.device)[0] / sharers, str(resident.device))
    shared = resident.buffer_bytes + _peak_on_cpu(trial, resident, recipe) + (1 + states) * weights + COPIES * saved
    return Room(ticket, shared, *headroom(sharers))


def ticket_bytes(network: nn.Module, recipe: Train) -> tuple[int, int, int]:
    """Returns the bytes of a network's weights, of all that a ticket keeps in training, and of what is saved of it."""
    parameters, buffers = list(network.parameters()), list(network.buffers())
    flat = torch.empty(sum(value.numel() for value in parameters), dtype=parameters[0].dtype, device="meta")
    floating = [value for value in buffers if value.is_floating_point()]
    statistics = torch.empty(sum(value.numel() for value in floating), dtype=flat.dtype, device="meta")
    state = sum(value.nbytes for value in fresh_state(flat, recipe, statistics).values())
    saved = flat.nbytes + state + sum(value.nbytes for value in buffers)
    return flat.nbytes, saved + 2 * flat.nbytes + flat.numel(), saved  # mask, last gradient, the mask as it was drawn


def free(problem: BaseException) -> None:
    """Returns nothing; what the frames of a failed attempt held in memory is free again."""
    clear_frames(problem.__traceback__)
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _peak_on_gpu(network: nn.Module, resident: Images, recipe: Train) -> int:
    """The most memory taken by a step on one batch and by an evaluation, measured."""
    torch.cuda.reset_peak_memory_stats(resident.device)
    before = torch.cuda.memory_allocated(resident.device)
    x = _blank(resident, recipe.micro_batch or resident.data.batch_size)
    _loss(network, x, recipe).backward()
    with torch.no_grad():
        _loss(network, _blank(resident, min(BATCH, resident.train_examples)), recipe)
    return torch.cuda.max_memory_allocated(resident.device) - before


def _peak_on_cpu(network: nn.Module, resident: Images, recipe: Train) -> int:
    """The activations that a step keeps for its backward pass, or those of an evaluation if they are more.

    Reckoned from what autograd keeps for 2 and for 4 images, both of which a batch norm can take.
    """
    (two, largest), (four, larger) = (_kept(network, _blank(resident, images), recipe) for images in (2, 4))
    image, widest = (four - two) // 2, (larger - largest) // 2
    batch, evaluated = recipe.micro_batch or resident.data.batch_size, min(BATCH, resident.train_examples)
    step = two + image * (batch - 2) + TEMPORARIES * (largest + widest * (batch - 2))
    return max(step, TEMPORARIES * widest * evaluated)


def _kept(network: nn.Module, x: Tensor, recipe: Train) -> tuple[int, int]:
    """The bytes that autograd keeps of a batch for the backward pass, weights left out: all, and the largest tensor."""
    sizes: dict[int, int] = {}
    weights = {value.untyped_storage().data_ptr() for value in network.parameters()}

    def keep(value: Tensor) -> Tensor:
        sizes[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        loss = _loss(network, x, recipe)  # keeps them alive, so that no two have one address
    found = [size for address, size in sizes.items() if address not in weights]
    del loss
    return sum(found), max(found, default=0)


def _blank(resident: Images, images: int) -> Tensor:
    x = torch.zeros((images, *resident.input_shape), device=resident.device)
    return x.contiguous(memory_format=resident.layout)


def _loss(network: nn.Module, x: Tensor, recipe: Train) -> Tensor:
    with autocast(x.device, recipe.precision):
        return cross_entropy(network(x), torch.zeros(len(x), dtype=torch.long, device=x.device))


def _mib(size: float) -> str:
    return f"{size / 2**20:.0f} MiB"
