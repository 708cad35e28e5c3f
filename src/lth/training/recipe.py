"""The optimizer and the learning rate of every step."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from lth.spec.recipe import SGD, Adam, Constant, Cosine, Schedule, StepSchedule, Train

State = dict[str, Tensor]

MOMENTUM = "momentum_buffer"
MOMENTS = ("exp_avg", "exp_avg_sq")
PER_WEIGHT = (MOMENTUM, *MOMENTS)
STEPS = ("step", "step_without_decay")  # Adam counts for each of the two parts of the buffer
AVERAGE, STATISTICS = "average", "average_statistics"


def fresh_state(weights: Tensor, recipe: Train, statistics: Tensor | None = None) -> State:
    """Returns the state of a network that has taken no step: moments 0, moving averages equal to the network.

    `statistics` are its batch-norm statistics, which an average of weights (`train.ema`) needs averaged too.
    """
    state: State = {} if recipe.ema is None else {AVERAGE: weights.clone()}
    if recipe.ema is not None and statistics is not None:
        state[STATISTICS] = statistics.clone()
    if isinstance(recipe.optimizer, SGD):
        return {**state, MOMENTUM: torch.zeros_like(weights)} if recipe.optimizer.momentum else state
    moments = {key: torch.zeros_like(weights) for key in MOMENTS}
    return {**state, **moments, **{key: torch.zeros((), device=weights.device) for key in STEPS}}


def update(weights: Tensor, gradient: Tensor, state: State, lr: float | Tensor, spec: SGD | Adam, decayed: int) -> None:
    """Returns nothing; takes one step of torch's own optimizer over one flat buffer, in place.

    Only the first `decayed` elements are under weight decay. The functional form with the fused kernel: one
    pass over the buffer, and none of the bookkeeping of `Optimizer.step`, which a small network feels.
    """
    if decayed == len(weights):
        return _update(weights, gradient, state, lr, spec, spec.weight_decay)
    for part, decay, count in ((slice(decayed), spec.weight_decay, 0), (slice(decayed, None), 0.0, 1)):
        cut = {key: value[part] if value.dim() else value for key, value in state.items() if key in PER_WEIGHT}
        cut |= {STEPS[0]: state[STEPS[count]]} if STEPS[0] in state else {}
        _update(weights[part], gradient[part], cut, lr, spec, decay)


def _update(weights: Tensor, gradient: Tensor, state: State, lr: float | Tensor, spec: SGD | Adam, decay: float):
    if isinstance(spec, SGD):
        sgd(
            [weights], [gradient], [state.get(MOMENTUM)], foreach=False, fused=True, lr=lr, dampening=0.0,  # pyright: ignore[reportArgumentType]
            momentum=spec.momentum, nesterov=spec.nesterov, weight_decay=decay, maximize=False,
        )  # fmt: skip
        return
    first, second = MOMENTS
    adam(
        [weights], [gradient], [state[first]], [state[second]], [], [state[STEPS[0]]], foreach=False, fused=True, lr=lr,
        beta1=spec.betas[0], beta2=spec.betas[1], eps=spec.eps, weight_decay=decay, amsgrad=False,
        maximize=False, decoupled_weight_decay=spec.name == "adamw",
    )  # fmt: skip


def clip_(gradient: Tensor, most: float) -> None:
    """Returns nothing; scales the gradient of the whole network down to the norm `most` where it is longer.

    As torch.nn.utils.clip_grad_norm_ (Pascanu et al. 2013, section 3.2), without waiting for the device.
    """
    gradient.mul_((most / (gradient.norm() + 1e-6)).clamp_(max=1.0))


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
