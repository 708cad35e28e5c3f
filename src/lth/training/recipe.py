"""The optimizer and the learning rate of every step."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from lth.spec.recipe import SGD, Adam, Constant, Cosine, Schedule, StepSchedule

State = dict[str, Tensor]


def fresh_state(weights: Tensor, spec: SGD | Adam) -> State:
    """Returns the optimizer state of a network that has taken no step: all zero."""
    if isinstance(spec, SGD):
        return {"momentum_buffer": torch.zeros_like(weights)} if spec.momentum else {}
    moments = {"exp_avg": torch.zeros_like(weights), "exp_avg_sq": torch.zeros_like(weights)}
    return {**moments, "step": torch.zeros((), device=weights.device)}


def update(weights: Tensor, gradient: Tensor, state: State, lr: float, spec: SGD | Adam) -> None:
    """Returns nothing; takes one step of torch's own optimizer over one flat buffer, in place.

    The functional form with the fused kernel: one pass over the buffer, and none of the bookkeeping of
    `Optimizer.step`, which a small network feels.
    """
    if isinstance(spec, SGD):
        sgd(
            [weights], [gradient], [state.get("momentum_buffer")], foreach=False, fused=True, lr=lr, dampening=0.0,
            momentum=spec.momentum, nesterov=spec.nesterov, weight_decay=spec.weight_decay, maximize=False,
        )  # fmt: skip
        return
    moments = [state["exp_avg"]], [state["exp_avg_sq"]]
    adam(
        [weights], [gradient], *moments, [], [state["step"]], foreach=False, fused=True, lr=lr, beta1=spec.betas[0],
        beta2=spec.betas[1], eps=spec.eps, weight_decay=spec.weight_decay, amsgrad=False, maximize=False,
        decoupled_weight_decay=spec.name == "adamw",
    )  # fmt: skip


def learning_rate(step: int, last_step: int, steps_per_epoch: int, base: float, schedule: Schedule) -> float:
    """Returns the learning rate of optimizer step `step` (from 0) of `last_step`.

    Warm-up rises linearly to `base` over its epochs (Goyal 2017, section 2.2). A rewound network enters at
    its rewind step, so it takes the schedule's value there and sees no second warm-up.
    """
    warmup = schedule.warmup_epochs * steps_per_epoch
    if step < warmup:
        return base * (step + 1) / warmup
    match schedule:
        case Constant():
            return base
        case StepSchedule():
            passed = sum(milestone.index(steps_per_epoch) <= step for milestone in schedule.milestones)
            return base * schedule.gamma**passed
        case Cosine():
            progress = (step - warmup) / (last_step - warmup)
            return schedule.final_lr + (base - schedule.final_lr) * (1 + math.cos(math.pi * progress)) / 2
