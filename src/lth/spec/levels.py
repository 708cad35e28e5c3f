"""The sparsities at which the levels of iterative pruning stand."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

MOST = 99


def level_sparsities(prune: Mapping[str, object], grid: Mapping[str, object]) -> tuple[float, ...]:
    """Returns the nominal sparsity 1 - (1 - rate)^n of every level n from 1 on, in exact arithmetic; () where the
    tables, as they were written, do not say.

    As many levels as `grid.levels`, or all that keep at least `grid.min_density`.
    """
    rate, levels, least = prune.get("rate"), grid.get("levels"), grid.get("min_density")
    if prune.get("method") != "iterative" or not isinstance(rate, float) or not 0 < rate < 1:
        return ()
    kept = 1 - Fraction(str(rate))
    if type(levels) is int and 1 <= levels <= MOST:
        return tuple(float(1 - kept**level) for level in range(1, levels + 1))
    if levels is None and isinstance(least, float) and 0 < least < 1:
        wanted = Fraction(str(least))
        return tuple(float(1 - kept**level) for level in range(1, MOST + 1) if kept**level >= wanted)
    return ()
