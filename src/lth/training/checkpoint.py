"""Weights on disk: state dicts, their hash, and the state a killed training resumes from."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from lth.errors import AuditError, RunError
from lth.pruning.audit import check_resumed
from lth.runs.files import atomic_write, sha256_of
from lth.runs.known import DAMAGED
from lth.runs.layout import previous
from lth.training.trainee import Trainee


def state_of(trainee: Trainee) -> dict[str, Tensor]:
    """Returns a copy of the network's whole state dict on the CPU, buffers included."""
    state = trainee.model.state_dict().items()
    return {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in state}


def weights_hash(state: Mapping[str, Tensor]) -> str:
    """Returns the sha256 over sorted (name, dtype, shape, bytes of value + 0.0): never over a file."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu()
        value = value + 0.0 if value.is_floating_point() else value
        digest.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_state(path: Path, state: Mapping[str, Tensor]) -> bytes:
    """Returns the bytes of the safetensors file written at `path`.

    Raises MemoryError or RuntimeError where memory runs out.
    """
    # safetensors makes up to three copies and panics when there is no memory for one: tried here first.
    tried = [torch.empty(sum(value.nbytes for value in state.values()), dtype=torch.uint8) for _ in range(3)]
    del tried
    try:
        data = safetensors.torch.save({name: value.contiguous() for name, value in state.items()})
    except BaseException as problem:  # its panic is no Exception, and its class cannot be imported
        if type(problem).__name__ != "PanicException":
            raise
        raise MemoryError("no memory left to write the weights") from problem
    atomic_write(path, data)
    return data


def load_state(path: Path) -> dict[str, Tensor]:
    """Returns the tensors of a safetensors file. Raises RunError where it is missing or damaged."""
    try:
        return safetensors.torch.load(path.read_bytes())
    except FileNotFoundError as problem:
        raise RunError(
            "the file is missing", at=path, cure="Delete its unit's folder to have it made again."
        ) from problem
    except (ValueError, safetensors.SafetensorError) as problem:
        raise RunError(
            f"not a whole safetensors file: {problem}", at=path, cure="Delete its unit's folder."
        ) from problem


def checked_state(path: Path, sha256: str) -> dict[str, Tensor]:
    """Returns the tensors of a file whose checksum a result names. Raises RunError where it is missing or another."""
    if path.exists() and sha256_of(path.read_bytes()) != sha256:
        raise RunError("the file is not the one its result.json names (sha256 differs)", at=path, cure=DAMAGED)
    return load_state(path)


def save_resume(
    path: Path,
    trainee: Trainee,
    key: str,
    numerics: Mapping[str, Any],
    metrics: list[dict[str, Any]],
    extra: Mapping[str, Any],
) -> None:
    """Returns nothing; `path` holds all that the training needs to go on exactly, and the caller's `extra`.

    What it held before is kept beside it, as `previous(path)`.
    """
    live = _live(trainee)
    content = {
        **extra,
        "key": key,
        "numerics": dict(numerics),
        "step": trainee.step,
        "metrics": metrics,
        "losses": torch.stack(trainee.losses).cpu() if trainee.losses else torch.empty(0),
        "tensors": live,
        "sha256": weights_hash(live),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with contextlib.suppress(FileNotFoundError):  # the first save
        os.replace(path, previous(path))
    atomic_write(path, buffer.getvalue())


def load_resume(
    path: Path, key: str, numerics: Mapping[str, Any], other_numerics: bool = False
) -> tuple[dict[str, Any] | None, str]:
    """Returns the saved content, or None, and a remark: "", "absent", "damaged: why", "another unit"
    or "other numerics".

    A state saved in another numerics class is returned only where `other_numerics` allows it.
    """
    if not path.exists():
        return None, "absent"
    try:
        content = torch.load(io.BytesIO(path.read_bytes()), weights_only=True)
        whole = weights_hash(content["tensors"]) == content["sha256"]
    except Exception as problem:  # a damaged file can fail anywhere inside torch's reader; starting over is right
        return None, f"damaged: {str(problem).splitlines()[0] if str(problem) else type(problem).__name__}"
    if not whole:
        return None, "damaged: its hash is another"
    if content["key"] != key:
        return None, "another unit"
    if content["numerics"] == dict(numerics):
        return content, ""
    return (content if other_numerics else None), "other numerics"


def resume(trainee: Trainee, content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the metrics so far; the trainee goes on at the saved step.

    Raises AuditError where its state is then not the saved one.
    """
    saved: dict[str, Tensor] = content["tensors"]
    trainee.step = int(content["step"])
    trainee.losses = list(content["losses"].to(trainee.weights.device))
    with torch.no_grad():
        trainee.weights.copy_(saved["weights"])
        for name, value in trainee.model.named_buffers():
            value.copy_(saved[f"buffer.{name}"])
        if "mask" in saved and trainee.mask is not None:
            trainee.mask.copy_(saved["mask"])
            trainee.remasked = True
    state = {name.removeprefix("optimizer."): value for name, value in saved.items() if name.startswith("optimizer.")}
    restore_optimizer(trainee, state)
    if not all(check_resumed(saved, _live(trainee)).values()):
        raise AuditError("resumed_state_equal: the resumed network is not the saved one", at=trainee.name)
    return list(content["metrics"])


def restore_optimizer(trainee: Trainee, state: Mapping[str, Tensor]) -> None:
    """Returns nothing; the optimizer goes on from `state`, its tensors by name; an empty one leaves it fresh."""
    for name, value in state.items():
        trainee.state[name].copy_(value)


def _live(trainee: Trainee) -> dict[str, Tensor]:
    """The tensors a step depends on: flat weights, optimizer state, buffers, a mask that moved on the way."""
    optimizer = {f"optimizer.{name}": value for name, value in trainee.state.items()}
    buffers = {f"buffer.{name}": value for name, value in trainee.model.named_buffers()}
    live = {"weights": trainee.weights, **optimizer, **buffers}
    if trainee.remasked and trainee.mask is not None:
        live["mask"] = trainee.mask
    return {name: value.detach().cpu().clone() for name, value in live.items()}
