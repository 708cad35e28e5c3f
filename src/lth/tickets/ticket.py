"""The ticket: a mask, the weights at the rewind point, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from lth.errors import ModelError, TicketError
from lth.models.registry import MODELS, build
from lth.pruning.mask import Mask
from lth.runs.files import atomic_write
from lth.spec.schema import Model
from lth.tickets.fit import copy_into, targets
from lth.tickets.format import Content, pack, payload_sha256, read_file, unpack
from lth.tickets.header import TicketHeader
from lth.tickets.packing import State, check, from_tensors, owned, pruned, to_tensors

NAME_A_FILE = "Name a file in a folder that exists."


class Ticket:
    """A mask with the rewound weights, optionally the trained ones, and the provenance.

    `rewound` and `trained` are whole state dicts, kept as copies on the CPU. Of the rewound weights the mask keeps
    its own and sets the others to 0, so a dense checkpoint will do; of the trained weights the pruned ones must be
    0 already. Raises TicketError where the parts contradict each other, or a weight is not a number.
    """

    def __init__(
        self, mask: Mask, rewound: Mapping[str, Tensor], trained: Mapping[str, Tensor] | None, header: TicketHeader
    ):
        self.mask, self.header = mask, header
        self.rewound: State = pruned(owned(rewound), mask)
        self.trained: State | None = None if trained is None else owned(trained)
        self._check()
        if self.trained is not None:
            self.trained = pruned(self.trained, mask)  # a multiplication by the mask leaves -0.0

    @classmethod
    def load(cls, path: str | Path) -> Ticket:
        """Returns the ticket in the file `path`. Raises TicketError naming the file and what is wrong with it."""
        try:
            content = unpack(read_file(Path(path)))
            return cls(*from_tensors(content.shapes, content.tensors), content.header)
        except TicketError as problem:
            where = path if problem.at is None else f"{path}: {problem.at}"
            raise TicketError(problem.what, at=where, value=problem.value, cure=problem.cure) from problem

    def save(self, path: str | Path) -> None:
        """Returns nothing; `path` holds the ticket in full, or what it held before. Raises LthError where it cannot."""
        self._check()
        shapes = {name: tuple(keep.shape) for name, keep in self.mask.tensors.items()}
        data = pack(Content(self.header, shapes, to_tensors(self.mask, self.rewound, self.trained)))
        if Path(path).is_dir():
            raise TicketError("a folder", at=path, cure=NAME_A_FILE)
        try:
            atomic_write(Path(path), data)
        except OSError as problem:
            raise TicketError(f"cannot write here: {problem.strerror}", at=path, cure=NAME_A_FILE) from problem

    def apply(self, model: nn.Module, weights: str = "rewound") -> nn.Module:
        """Returns `model` itself, holding the ticket's "rewound" or "trained" weights, pruned ones 0.

        Names, shapes and dtypes must be the model's own, all of them; wrappers' prefixes ("module.", "_orig_mod.")
        are passed over. Raises TicketError before anything is touched. To keep pruned weights at 0 while you
        train, use `lth.pruning.enforce.Enforcer` with `ticket.mask`.
        """
        copy_into(model, self.state(weights))
        return model

    def build(self, weights: str = "rewound") -> nn.Module:
        """Returns a new network of lth's own models, on the CPU, with the ticket applied.

        Raises TicketError for a model outside the registry: nothing is ever imported because a file says so.
        """
        facts, state, at = self.header.model, self.state(weights), "field 'model'"
        shape, classes = facts.input_shape, facts.classes
        if facts.name not in MODELS or shape is None or len(shape) != 3 or classes is None:
            cure = "Build it yourself and call ticket.apply(model)."
            raise TicketError("not one of lth's own models", at=at, value=facts.name, cure=cure)
        model, dtype = Model(name=facts.name, arguments=facts.arguments), state[next(iter(self.mask.tensors))].dtype
        try:
            with torch.device("meta"):  # so that a header that lies about sizes costs no memory
                targets(build(model, shape, classes, 0).to(dtype), state)
        except (ModelError, RuntimeError, OverflowError) as problem:
            raise TicketError(f"the model cannot be built: {problem}", at=at, value=facts.name) from problem
        return self.apply(build(model, shape, classes, 0).to(dtype), weights)

    def state(self, weights: str = "rewound") -> State:
        """Returns the ticket's state dict "rewound" or "trained". Raises TicketError where it has none."""
        if weights not in ("rewound", "trained"):
            raise TicketError("no such weights", value=weights, cure='Ask for "rewound" or "trained".')
        state = self.rewound if weights == "rewound" else self.trained
        if state is None:
            raise TicketError("the ticket holds no trained weights", cure='Use weights="rewound" and train.')
        return state

    def __eq__(self, other: object) -> bool:
        """Returns whether mask, provenance and every weight are the same, bit for bit."""
        if not isinstance(other, Ticket):
            return NotImplemented
        mine, theirs = (to_tensors(ticket.mask, ticket.rewound, ticket.trained) for ticket in (self, other))
        same = self.mask == other.mask and self.header == other.header
        return same and payload_sha256(mine) == payload_sha256(theirs)

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def _check(self) -> None:
        check(self.mask, self.rewound, self.trained, self.header.density_prunable)
