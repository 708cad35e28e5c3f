"""Iterative magnitude pruning, one level at a time: a share of what the level before keeps (Frankle & Carbin 2019)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lth.errors import LthError
from lth.pruning.allocate import LevelScope, level_budget
from lth.pruning.mask import Mask
from lth.pruning.score import magnitude
from lth.pruning.threshold import kept_before, surviving


def next_mask(
    before: Mask | None, weights: Mapping[str, Tensor], rate: float, scope: LevelScope, rates: Mapping[str, float]
) -> Mask:
    """Returns the mask of the next level: nested in `before` (None: everything is kept), without its smallest weights.

    `weights` are the trained ones at the end of the level before, by name. Which layers are ranked together, and
    that a group with n weights left loses exactly `pruned_count(n, rate, layer's rate)` of the smallest
    magnitudes, says `lth.pruning.allocate.level_budget`; equal magnitudes go as in `lth.pruning.threshold.masks`.
    Raises LthError for a rate outside [0, 1), weights that do not fit `before` or are not numbers, and as
    `level_budget` does.
    """
    if not 0 <= rate < 1:
        raise LthError("a rate is outside [0, 1)", at="rate", value=rate, cure="Write 20 % a level as 0.2.")
    kept = kept_before(before, weights)
    left = {name: int(layer.count_nonzero()) for name, layer in kept.items()}
    scores, layers = magnitude(weights), {}
    for names, pruned in level_budget(left, rate, scope, rates):
        layers |= surviving({name: scores[name] for name in names}, [pruned], kept)[0]
    return Mask({name: layers[name] for name in weights})
