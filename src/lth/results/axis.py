"""Whether the rewind points of a grid differ at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lth.results.index import Index
from lth.results.statistics import mean, quantile
from lth.results.walk import Level
from lth.results.wording import brackets, count, share, size
from lth.spec.schema import Spec
from lth.spec.step import Step

CONFIDENCE = 0.95


@dataclass(frozen=True)
class RewindAxis:
    """What the grid says about its rewind points. `flat` is None where it cannot tell.

    With 95 % confidence no rewind point differs from another by more than `largest`, a fraction of validation
    accuracy averaged over `sparsities`; the axis is flat where that is within the tolerance.
    """

    flat: bool | None
    largest: float | None
    sparsities: tuple[float, ...]
    sentence: str


def rewind_axis(spec: Spec, found: Index, levels: Sequence[Level]) -> RewindAxis:
    """Returns whether the rewind points differ in mean validation accuracy over the sparsities that hold up.

    Those are the sparsities whose difference to dense, averaged over the rewind points, is within the tolerance,
    or all where none is; an average over rewind points favours none of them. After an adaptive search only those that
    every rewind point trained on all seeds, the densest among them. Analysis of variance in blocks: each
    seed's mean at each rewind point, the seed's own level removed, the residual variance pooled with
    (points - 1)(seeds - 1) degrees of freedom, and Student intervals of all pairs with Bonferroni's correction.
    Assumes that rewind points vary alike.
    """
    used = _holding(spec, levels)
    if len(spec.grid.rewind) == 1:
        return RewindAxis(None, None, used, "There is one rewind point: nothing to compare.")
    means = _means(spec, found, used)
    seeds = count(len(means), "seed")
    if len(means) < 2:
        return RewindAxis(None, None, used, f"Whether rewind points differ cannot be told from {seeds}.")
    gap, half, better, worse = _widest(spec.grid.rewind, means, _rounding(found, len(used)))
    over = share(used[0]) if len(used) == 1 else f"{share(used[0])} to {share(used[-1])}"
    basis = f"(simultaneous 95 % interval, {seeds}, sparsities {over})"
    small, shown, most = gap + half <= spec.select.tolerance, gap > half, size(gap + half)
    lead = f"{better} is better than {worse} by {size(gap)} {brackets((gap - half, gap + half))}"
    if shown and small:
        text = f"The rewind axis is nearly flat here: {lead}, less than the tolerance {basis}."
    elif shown:
        text = f"The rewind point matters here: {lead} {basis}."
    elif small:
        text = f"The rewind axis is flat here: no rewind point differs from another by more than {most} {basis}."
    else:
        text = f"No rewind point is shown to differ from another, but up to {most} is not excluded {basis}."
    return RewindAxis(True if small else False if shown else None, gap + half, used, text)


def _holding(spec: Spec, levels: Sequence[Level]) -> tuple[float, ...]:
    """The sparsities whose mean difference over the rewind points lies above -tolerance; all where none does."""
    everywhere = _everywhere(spec, levels)
    gaps: dict[float, list[float]] = {sparsity: [] for sparsity in everywhere}
    for level in levels:
        if level.difference is not None and level.sparsity in gaps:
            gaps[level.sparsity].append(level.difference)
    holding = tuple(sparsity for sparsity, found in gaps.items() if found and mean(found) > -spec.select.tolerance)
    return holding or everywhere


def _everywhere(spec: Spec, levels: Sequence[Level]) -> tuple[float, ...]:
    """The sparsities that every rewind point was to train; after an adaptive search those it trained on all seeds."""
    if spec.grid.search == "full":
        return spec.grid.sparsities
    whole = [level.sparsity for level in levels if level.n == len(spec.seeds)]
    shared = tuple(one for one in spec.grid.sparsities if whole.count(one) == len(spec.grid.rewind))
    return shared or spec.grid.sparsities


def _means(spec: Spec, found: Index, sparsities: tuple[float, ...]) -> list[list[float]]:
    """For every seed that has all tickets: the mean validation accuracy at each rewind point."""
    means: list[list[float]] = []
    for seed in spec.seeds:
        cells = [[found.cells.get((None, step, level, seed)) for level in sparsities] for step in spec.grid.rewind]
        whole = [[cell.validation_top1 for cell in row if cell is not None] for row in cells]
        if all(len(row) == len(sparsities) for row in whole):
            means.append([mean(row) for row in whole])
    return means


def _rounding(found: Index, levels: int) -> float:
    """The variance that rounding to whole examples gives a mean over so many levels."""
    smallest = min(result.validation_examples for result in found.cells.values())
    return 1 / (12 * smallest**2 * levels)


def _widest(rewind: Sequence[Step], means: list[list[float]], floor: float) -> tuple[float, float, Step, Step]:
    """The largest difference of two points, the half-width of every pair's interval, the better and the worse point."""
    seeds, points = len(means), len(rewind)
    by_point = [mean([row[point] for row in means]) for point in range(points)]
    centre = mean(by_point)
    residuals = [row[point] - by_point[point] - mean(row) + centre for row in means for point in range(points)]
    df, pairs = (points - 1) * (seeds - 1), math.comb(points, 2)
    variance = max(math.fsum(value * value for value in residuals) / df, floor)
    half = quantile(1 - (1 - CONFIDENCE) / 2 / pairs, df) * math.sqrt(2 * variance / seeds)
    best, worst = max(by_point), min(by_point)
    return best - worst, half, rewind[by_point.index(best)], rewind[by_point.index(worst)]
