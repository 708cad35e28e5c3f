"""Trained networks and masks of a run, read from its directory."""

from __future__ import annotations

from torch import Tensor

from lth.pruning.mask import Mask
from lth.runs.records import CellResult
from lth.runs.run import Run
from lth.spec.step import Step
from lth.spec.values import decimal
from lth.training.checkpoint import checked_state


def trained_state(run: Run, result: CellResult) -> dict[str, Tensor]:
    """Returns the state dict at the end of a training, on the CPU.

    Raises RunError where its file is missing, or not the one that the record names.
    """
    name = "weights.safetensors"
    if result.kind == "dense":
        name = result.checkpoints[str(Step(0, result.last_step).canonical(result.steps_per_epoch))]
    return checked_state(run.artefact(result, name), result.files[name])


def mask_of(run: Run, ticket: CellResult) -> Mask:
    """Returns the mask of a ticket: its own file in iterative pruning, else the seed's at its sparsity."""
    if "mask.safetensors" in ticket.files:
        return Mask.load(run.artefact(ticket, "mask.safetensors"))
    return Mask.load(run.layout.mask(ticket.seed, decimal(ticket.sparsity or 0.0)))
