"""Trained networks and masks of a run, read from its directory."""

from __future__ import annotations

from torch import Tensor

from lth.errors import RunError
from lth.pruning.mask import Mask
from lth.runs.files import sha256_of
from lth.runs.records import CellResult
from lth.runs.run import DAMAGED, Run
from lth.spec.step import Step
from lth.spec.values import decimal
from lth.training.checkpoint import load_state


def trained_state(run: Run, result: CellResult) -> dict[str, Tensor]:
    """Returns the state dict at the end of a training, on the CPU.

    Raises RunError where its file is missing, or not the one that the record names.
    """
    name = "weights.safetensors"
    if result.kind == "dense":
        name = result.checkpoints[str(Step(0, result.last_step).canonical(result.steps_per_epoch))]
    path = run.artefact(result, name)
    if path.exists() and sha256_of(path.read_bytes()) != result.files[name]:
        raise RunError("the file is not the one its result.json names (sha256 differs)", at=path, cure=DAMAGED)
    return load_state(path)


def mask_of(run: Run, ticket: CellResult) -> Mask:
    """Returns the mask of a ticket: its own file in iterative pruning, else the seed's at its sparsity."""
    if "mask.safetensors" in ticket.files:
        return Mask.load(run.artefact(ticket, "mask.safetensors"))
    return Mask.load(run.layout.mask(ticket.seed, decimal(ticket.sparsity or 0.0)))
