"""How many weights each layer loses at a sparsity: the budget of kept weights, spread over the layers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from heapq import heapify, heappop, heapreplace
from typing import Literal, get_args

from lth.errors import LthError

Scope = Literal["global", "layerwise", "erk", "flops"]
LevelScope = Literal["global", "layerwise"]
HALF = Fraction(1, 2)


def budget(
    shapes: Mapping[str, Sequence[int]], sparsity: float, scope: Scope,
    rates: Mapping[str, float] | None, costs: Mapping[str, int] | None,
) -> list[tuple[list[str], int]]:  # fmt: skip
    """Returns the layers that are ranked together, each group with how many of its weights are pruned.

    A layer of a rate other than 1 stands by itself and loses `pruned_count(n, sparsity, rate)` of its n
    weights. The other layers share the scope's rule, and, but for "layerwise", lose together exactly
    `pruned_count(n, sparsity, 1)` of the n weights they have in all:

    - "global": they are one group.
    - "layerwise": every layer loses `pruned_count(n, sparsity, 1)` of its own n weights.
    - "erk": density proportional to the sum of the layer's dimensions over their product, at most 1
      (Erdos-Renyi kernel; Evci et al. 2020, "Rigging the Lottery", section 3).
    - "flops": every layer keeps the same number of multiply-adds, or all of its own where these are fewer.

    No layer gets a weight back at a higher sparsity, so masks are nested. `shapes` are those of the weights;
    `costs` has each layer's multiply-adds on one input, by the same names, and only "flops" reads it.
    Raises LthError for an unknown scope, a rate outside [0, 1] or for a layer that is not there, and under
    "flops" for a layer whose multiply-adds are missing or 0 (never called: exclude it, or give it a rate).
    """
    given = _checked(shapes, scope, rates)
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    if scope in get_args(LevelScope):
        return level_budget(sizes, sparsity, scope, rates)
    alone = [name for name in shapes if given.get(name, 1) != 1]
    rest = [name for name in shapes if name not in alone]
    pruned = pruned_count(sum(sizes[name] for name in rest), sparsity, 1)
    speeds = [_speed(name, shapes[name], sizes[name], scope, costs) for name in rest]
    counts = [sizes[name] for name in rest]
    kept = spread(counts, speeds, sum(counts) - pruned)
    own = {name: given[name] for name in alone}
    single = level_budget({name: sizes[name] for name in alone}, sparsity, "layerwise", own)
    return [([name], size - left) for name, size, left in zip(rest, counts, kept, strict=True)] + single


def level_budget(
    kept: Mapping[str, int], rate: float, scope: Scope, rates: Mapping[str, float] | None
) -> list[tuple[list[str], int]]:
    """Returns the groups as `budget` does, of the weights that a level of iterative pruning takes from those `kept`.

    A group that has n weights left loses `pruned_count(n, rate, layer's rate)` of them. Raises LthError for a
    scope other than "global" and "layerwise", which say nothing of what is left, and as `budget` does.
    """
    if scope not in get_args(LevelScope):
        what = "a level of iterative pruning is ranked over the network or within each layer"
        raise LthError(what, at="scope", value=scope, cure='Take "global" or "layerwise".')
    given = _checked(kept, scope, rates)
    alone = [name for name in kept if scope == "layerwise" or given.get(name, 1) != 1]
    rest = [name for name in kept if name not in alone]
    single = [([name], pruned_count(kept[name], rate, given.get(name, 1))) for name in alone]
    together = [(rest, pruned_count(sum(kept[name] for name in rest), rate, 1))] if rest else []
    return together + single


def pruned_count(n: int, sparsity: float, rate: float) -> int:
    """Returns sparsity * rate * n rounded half up, in exact arithmetic on the decimals as they are written."""
    return math.floor(Fraction(str(sparsity)) * Fraction(str(rate)) * n + HALF)


def spread(sizes: Sequence[int], speeds: Sequence[Fraction], kept: int) -> list[int]:
    """Returns how many weights each layer keeps: in all exactly `kept` (at most sum(sizes)), none more than its size.

    Layers fill up in proportion to their speeds (all > 0): the j-th weight of a layer comes at time
    (j - 1/2) / speed, and the first `kept` of all are kept, of equal times the earlier layer's. A larger
    budget so keeps all that a smaller one does. This is Webster's method of apportionment, with capacities.
    """
    # Rounding gives a layer at most 1/2 too much, so at this time no more than `kept` weights have come.
    time = _full(sizes, speeds, max(Fraction(0), kept - len(sizes) * HALF))
    counts = [min(size, math.floor(time * speed + HALF)) for size, speed in zip(sizes, speeds, strict=True)]
    waiting = [((counts[i] + HALF) / speeds[i], i) for i in range(len(sizes)) if counts[i] < sizes[i]]
    heapify(waiting)
    for _ in range(kept - sum(counts)):
        _, i = waiting[0]
        counts[i] += 1
        if counts[i] < sizes[i]:
            heapreplace(waiting, ((counts[i] + HALF) / speeds[i], i))
        else:
            heappop(waiting)
    return counts


def _full(sizes: Sequence[int], speeds: Sequence[Fraction], wanted: Fraction) -> Fraction:
    """The time t at which the layers, each filling at its speed up to its size, hold `wanted` in all."""
    left, flow, time = wanted, sum(speeds, Fraction(0)), Fraction(0)
    for until, size, speed in sorted((size / speed, size, speed) for size, speed in zip(sizes, speeds, strict=True)):
        time = left / flow
        if time <= until:
            break
        left, flow = left - size, flow - speed
    return time


def _speed(name: str, shape: Sequence[int], size: int, scope: Scope, costs: Mapping[str, int] | None) -> Fraction:
    """How fast a layer fills up: its kept weights are in proportion to it, until the layer is full."""
    if scope == "erk" or not size:
        return Fraction(max(1, sum(shape)))  # the density times the size
    at = "costs" if costs is None else f"costs.{name}"
    if costs is None or name not in costs:
        cure = "Give costs = lth.models.prunable.multiply_adds(model, input_shape)."
        raise LthError('the scope "flops" needs the multiply-adds of each layer', at=at, cure=cure)
    if not 0 < costs[name] < math.inf:
        what = "a layer without multiply-adds (it is never called) has no share in a budget of them"
        raise LthError(what, at=at, value=costs[name], cure="Exclude the layer, or give it a rate below 1.")
    return size / Fraction(costs[name])


def _checked(shapes: Mapping[str, object], scope: Scope, rates: Mapping[str, float] | None) -> dict[str, float]:
    given = dict(rates or {})
    if scope not in get_args(Scope):
        raise LthError("no such scope", at="scope", value=scope, cure='Take "global", "layerwise", "erk" or "flops".')
    for name, rate in given.items():
        if name not in shapes:
            cure = f"Layers: {', '.join(list(shapes)[:8])}."
            raise LthError("a rate for a layer that has no scores", at="rates", value=name, cure=cure)
        if not 0 <= rate <= 1:
            cure = "A rate of 0.5 halves the sparsity."
            raise LthError("a rate is outside [0, 1]", at=f"rates.{name}", value=rate, cure=cure)
    return given
