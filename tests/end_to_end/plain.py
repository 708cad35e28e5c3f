"""Plain PyTorch, written out: what the networks of a small run should have become."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lth.data.order import stream_seed
from lth.experiment import run as run_spec
from lth.models.registry import build
from lth.runs.run import Run
from lth.spec import Spec
from lth.training.workspace import Workspace

EPOCHS, WARMUP, LR, DECAY_AT = 3, 1, 0.05, 2  # the recipe: linear warm-up of an epoch, a tenth from epoch 2 on
STEPS = 6  # an epoch: 120 training examples in batches of 20
LAST = EPOCHS * STEPS
K = STEPS  # the rewind point "1ep"
SPEC: dict[str, Any] = {
    "name": "plain",
    "seeds": [0, 1],
    "data": {
        "source": "synthetic:examples=150,test_examples=30,classes=3,size=5,noise=0.5",
        "batch_size": 20, "validation": {"fraction": 0.2},
    },
    "model": {"name": "lenet_300_100"},
    "train": {
        "epochs": EPOCHS, "guard_epochs": 0,
        "optimizer": {"name": "sgd", "lr": LR, "momentum": 0.9, "weight_decay": 0.001},
        "schedule": {"name": "step", "milestones": [f"{DECAY_AT}ep"], "warmup_epochs": WARMUP},
    },
    "prune": {"scope": "layerwise", "rates": {"output": 0.5}},
    "select": {"tolerance": 0.5},
    "execute": {"device": "cpu"},
}  # fmt: skip
State = dict[str, Tensor]
Masks = dict[str, Tensor]


def trained(folder: Path, **tables: Any) -> Plain:
    """Returns the finished run of SPEC with these tables changed, to be held against plain PyTorch."""
    spec = Spec.model_validate({**SPEC, **{name: {**SPEC.get(name, {}), **given} for name, given in tables.items()}})
    run = run_spec(spec, folder)
    assert not run.results().failed, run.results().failed
    return Plain(run)


class Plain:
    """What a run recorded, and the same things done plainly."""

    def __init__(self, run: Run):
        self.run, self.work, self.done = run, Workspace(run, Event()), run.results().done

    def weights(self, name: str, file: str = "weights.safetensors") -> State:
        """Returns a file of weights of a network by its id."""
        return safetensors.torch.load_file(self.run.artefact(self.done[name], file))

    def dense(self, step: str, seed: int = 0) -> State:
        """Returns what the dense network kept at "0ep", "1ep" or "3ep"."""
        return self.weights(f"dense-seed{seed}", f"{step}.safetensors")

    def fresh(self, stream: str = "reinit", seed: int = 0, model: Any = None) -> nn.Module:
        """Returns a newly initialised network."""
        return build(model or self.run.spec.model, (1, 5, 5), 3, stream_seed(seed, stream))

    def train(
        self, start: State | nn.Module, masks: Masks | None, steps: range, stream: str = "ticket",
        position: Callable[[int], int] = lambda step: step, remask: Callable[[int, State], Masks | None] | None = None,
    ) -> State:  # fmt: skip
        """Returns the weights after these steps of torch's own SGD, the mask applied after each."""
        model = start if isinstance(start, nn.Module) else self.fresh()
        if not isinstance(start, nn.Module):
            model.load_state_dict(start)
        masks = masks or {}
        _apply(model, masks)
        optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9, weight_decay=0.001)
        batches = self.work.stream(0, stream)
        for step in steps:
            optimizer.param_groups[0]["lr"] = plain_rate(position(step))
            x, y = batches.batch_at(step)
            optimizer.zero_grad()
            cross_entropy(model(x), y).backward()
            optimizer.step()
            if remask is not None and (found := remask(step + 1, model.state_dict())) is not None:
                masks = found
            _apply(model, masks)
        return {name: value.detach().clone() for name, value in model.state_dict().items()}


def plain_rate(position: int) -> float:
    """Returns the learning rate at a place of the schedule."""
    if position < WARMUP * STEPS:
        return LR * (position + 1) / (WARMUP * STEPS)
    return LR * (0.1 if position >= DECAY_AT * STEPS else 1.0)


def _apply(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, kept in masks.items():
            model.get_parameter(name).mul_(kept)


def layerwise(weights: State, sparsity: float, before: Masks | None = None, rate: float | None = None) -> Masks:
    """Returns the masks that keep the largest weights of every layer, the output layer pruned at half of it.

    With a `rate` so much of what `before` keeps goes, and `sparsity` is not read.
    """
    masks: Masks = {}
    for name in ("fc1.weight", "fc2.weight", "output.weight"):
        there = torch.ones_like(weights[name]).bool() if before is None else before[name].bool()
        share = (sparsity if rate is None else rate) * (0.5 if name.startswith("output") else 1.0)
        count = weights[name].numel() if rate is None else int(there.sum())
        pruned = math.floor(share * count + 0.5 + 1e-9) + (0 if rate is None else int((~there).sum()))
        size = torch.where(there, weights[name].abs(), -1.0).flatten()
        kept = torch.ones(size.numel(), dtype=torch.bool)
        kept[size.argsort(stable=True)[:pruned]] = False
        masks[name] = kept.reshape(weights[name].shape)
    return masks


def zeros(state: State) -> Masks:
    """Returns the masks that a trained network shows: where its weights are not 0."""
    return {name: value.ne(0) for name, value in state.items() if value.ndim > 1}


def counts(masks: Masks) -> list[int]:
    """Returns how many weights each layer keeps."""
    return [int(kept.sum()) for kept in masks.values()]


def assert_same(found: State, wanted: State) -> None:
    """Returns nothing; the weights agree to what two orders of summation leave open."""
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, atol=2e-5, rtol=1e-4, msg=lambda text, name=name: name + text)
