"""Gradual magnitude pruning: the network loses its smallest weights while it trains (Zhu & Gupta 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from torch import Tensor

from lth.errors import LthError
from lth.pruning.allocate import Scope
from lth.pruning.mask import Mask
from lth.pruning.score import magnitude
from lth.pruning.threshold import nested_mask


def sparsity_at(step: int, final: float, begin: int, end: int) -> float:
    """Returns the sparsity after `step` steps: 0 up to `begin`, `final` from `end` on, rising ever more slowly between.

    final - final (1 - (step - begin) / (end - begin))^3 (Zhu & Gupta 2017, equation 1, from sparsity 0).
    """
    if step >= end:
        return final
    left = 1 - max(0, step - begin) / (end - begin)
    return final - final * left**3


def pruning_moments(total_steps: int, steps_per_epoch: int) -> list[int]:
    """Returns the steps, rising, after which the network is pruned; `begin` is the first of them, `end` the last.

    They are total_steps / 100 steps apart, rounded up, and end when 3/4 of the training are done, so that the
    last quarter heals the network at its final sparsity. They begin after 1/10 of the training, which is past the
    usual warm-up, but not within the first epoch, and at the latest after 1/4. (Zhu & Gupta 2017, section 3, leave
    the three to the user: the end before the learning rate is small, the frequency such that weights recover.)
    Raises LthError for counts below 1.
    """
    for name, count in (("total_steps", total_steps), ("steps_per_epoch", steps_per_epoch)):
        if count < 1:
            raise LthError("a training has at least one step", at=name, value=count, cure="Give a count from 1 on.")
    end = 3 * total_steps // 4
    begin = min(max(steps_per_epoch, total_steps // 10), total_steps // 4)
    return list(range(end, begin - 1, -ceil(total_steps / 100)))[::-1]


def regrow_free_mask(
    before: Mask | None, weights: Mapping[str, Tensor], sparsity: float, scope: Scope,
    rates: Mapping[str, float] | None = None, costs: Mapping[str, int] | None = None,
) -> Mask:  # fmt: skip
    """Returns the mask of the next moment: what `before` (None: nothing) has pruned stays so, and the smallest go.

    `weights` are those of this moment, by name; the counts are exactly those of a one-shot mask of this sparsity,
    see `lth.pruning.allocate.budget`. Raises LthError as `lth.pruning.threshold.nested_mask` and `magnitude` do.
    """
    return nested_mask(before, magnitude(weights), sparsity, scope=scope, rates=rates, costs=costs)
