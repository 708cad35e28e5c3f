"""The optimizer and the learning rate of every step."""

from __future__ import annotations

import math

import torch

from lth.spec.recipe import SGD, Adam, Constant, Cosine, Schedule, StepSchedule


def optimizer(weights: torch.nn.Parameter, spec: SGD | Adam) -> torch.optim.Optimizer:
    """Returns the optimizer over one flat buffer, fused: one kernel whatever the number of layers."""
    if isinstance(spec, SGD):
        return torch.optim.SGD(
            [weights],
            spec.lr,
            momentum=spec.momentum,
            nesterov=spec.nesterov,
            weight_decay=spec.weight_decay,
            fused=True,
        )
    kind = torch.optim.Adam if spec.name == "adam" else torch.optim.AdamW
    return kind([weights], spec.lr, betas=spec.betas, eps=spec.eps, weight_decay=spec.weight_decay, fused=True)


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
