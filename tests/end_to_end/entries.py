"""Training functions for `train.entry`: one that learns, and others that go wrong in every way."""

from __future__ import annotations

import os
import time
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lth.training.entry import Job


def learn(job: Job) -> None:
    """Plain gradient descent, without torch's optimizers, whose first use takes a second."""
    descend(job, range(job.first_step, job.last_step))


def descend(job: Job, steps: range) -> None:
    masks: dict[str, Tensor] = job.mask.tensors if job.mask else {}
    for step in steps:
        images, labels = job.batch_at(step)
        loss = cross_entropy(job.model(images), labels)
        weights = dict(job.model.named_parameters())
        gradients = torch.autograd.grad(loss, list(weights.values()))
        with torch.no_grad():
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
                weight.sub_(0.2 * gradient * masks.get(name, 1))
        job.after_step(step)


def raises(job: Job) -> None:
    print("about to fail")
    raise ValueError("no luck today")


def returns_nan(job: Job) -> dict[str, Any]:
    learn(job)
    return {"validation_top1": float("nan"), "validation_loss": 0.1}


def moves(job: Job) -> None:
    learn(job)
    with torch.no_grad():
        for weight in job.model.parameters():
            weight.add_(0.001)


def halves(job: Job) -> None:
    learn(job)
    job.model.half()


def exits(job: Job) -> None:
    os._exit(0)


def crashes(job: Job) -> None:
    import ctypes

    ctypes.string_at(0)


def hangs(job: Job) -> None:
    (job.folder / "pid").write_text(str(os.getpid()))
    time.sleep(600)


def silent(job: Job) -> None:
    """Trains, and never says so."""
    with torch.no_grad():
        next(job.model.parameters()).add_(0.1)


def idles(job: Job) -> None:
    """Says that it trains, and does not."""
    for step in range(job.first_step, job.last_step):
        job.after_step(step)


def ends_early(job: Job) -> None:
    descend(job, range(job.first_step, job.last_step - 1))


def resumable(job: Job) -> None:
    """Saves its weights after every step, and waits after the third for a file `go`."""
    saved, first = job.folder / "state.pt", job.first_step
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        job.model.load_state_dict(state["model"])
        first = state["step"]
    with open(job.folder / "starts", "a") as file:
        file.write(f"{first} {os.getpid()}\n")
    try:
        for step in range(first, job.last_step):
            while step == job.first_step + 3 and not os.path.exists(os.environ["ENTRY_GO"]):
                time.sleep(0.01)
            descend(job, range(step, step + 1))
            torch.save({"model": job.model.state_dict(), "step": step + 1}, saved.with_suffix(".new"))
            os.replace(saved.with_suffix(".new"), saved)
    finally:
        (job.folder / "left in peace").touch()


FAULTS = {
    "s0.5-r1ep-seed0": raises,
    "s0.55-r1ep-seed0": returns_nan,
    "s0.6-r1ep-seed0": moves,
    "s0.65-r1ep-seed0": halves,
    "s0.7-r1ep-seed0": exits,
    "s0.75-r1ep-seed0": crashes,
    "s0.8-r1ep-seed0": hangs,
    "s0.85-r1ep-seed0": ends_early,
    "dense-seed1": silent,
    "dense-seed2": idles,
}


def faulty(job: Job) -> Any:
    """Goes wrong in the way that the unit's name stands for; learns where it stands for none."""
    return FAULTS.get(job.name, learn)(job)
