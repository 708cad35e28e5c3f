"""The adaptive search: which tickets it asks for, and which levels it finds to match.

Every rewind point is searched on its own for its knee, the sparsest level up to which tickets match: first its densest
level, then levels farther on, of which at most `FAILURES` may fail before the knee is known (the puzzle of the falling
eggs). A level that fails sends the search back to denser ones, a level that passes on to sparser ones.

The error rate assumes that the truth is monotone: where a level does not match, no sparser one of its rewind point
does. Then the probability that any level passes that does not match is at most 1 - `select.confidence`
(docs/adaptive-search.md). Where it is not, a dip between two probes stays unseen, and an island of matching levels
behind others that do not match is found only if a probe happens to fall on it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lth.results.statistics import difference, mean, quantile
from lth.runs.records import CellResult
from lth.spec.schema import Spec
from lth.spec.step import Step

if TYPE_CHECKING:
    from lth.results.index import Coordinates, Index

FAILURES = 3  # levels that may fail at one rewind point, its densest apart: each uses up a part of alpha


@dataclass(frozen=True)
class Probe:
    """A level of one rewind point that the search looks at: its place in the grid's sparsities, the `alpha` of its
    test, the seeds asked for so far, and whether it passed, None until that is known.

    `dropped`: the first seeds alone exclude a pass, whatever the others would bring.
    """

    position: int
    alpha: float
    seeds: tuple[int, ...]
    passed: bool | None
    dropped: bool = False


@dataclass(frozen=True)
class _Interval:
    """Where the knee lies: between the sparsest level passed and the densest failed; what may still fail, and alpha."""

    passed: int
    failed: int
    failures: int
    alpha: float

    @property
    def next(self) -> tuple[int, float] | None:
        """The level to probe and the alpha of its test; None where the knee is known."""
        between = self.failed - self.passed - 1
        if not between:
            return None
        return self.passed + _offset(between, self.failures), self.alpha / min(between, self.failures)

    def after(self, probe: Probe, passed: bool) -> _Interval:
        if passed:
            return replace(self, passed=probe.position)
        left = self.alpha - probe.alpha
        return replace(self, failed=probe.position, failures=self.failures - 1, alpha=left)


def probes(spec: Spec, found: Index, seeds: Sequence[int]) -> list[Coordinates]:
    """Returns the tickets, and arms, that the search asks for so far on these seeds: control, rewind, sparsity, seed.

    A pure function of the results, and more results never take back what was asked. Of a level first a few seeds are
    asked for, then, unless these exclude a pass, the rest, together with the first seeds of the level that a pass would
    lead to: so each level takes about one round of training.
    """
    kinds, levels = (None, *spec.grid.arms), spec.grid.sparsities
    _, alphas = _granted(spec, found)
    asked = {
        (spec.seeds.index(seed), at, probe.position)
        for at, rewind in enumerate(spec.grid.rewind)
        for alpha in alphas
        for probe in path(spec, found, rewind, alpha)
        for seed in probe.seeds
        if seed in seeds
    }
    return [
        (kind, spec.grid.rewind[at], levels[position], spec.seeds[seed])
        for seed, at, position in sorted(asked)
        for kind in kinds
    ]


def outcomes(spec: Spec, found: Index) -> dict[Step, tuple[float, list[Probe]]]:
    """Returns for each rewind point the alpha it was granted and the probes of its search."""
    granted, _ = _granted(spec, found)
    return {rewind: (granted[rewind], path(spec, found, rewind, granted[rewind])) for rewind in spec.grid.rewind}


def path(spec: Spec, found: Index, rewind: Step, alpha: float) -> list[Probe]:
    """Returns the levels probed at a rewind point that was granted `alpha`, and those looked ahead at, in order.

    The densest level is tested at `alpha`, on all seeds at once. Of the others each is tested at an equal part of the
    alpha that is left, by the number of levels that may still fail; a failure uses its part up.
    """
    probed: dict[int, Probe] = {}
    interval, everyone = _Interval(0, len(spec.grid.sparsities), FAILURES, alpha), len(spec.seeds)
    current: Probe | None = _probe(spec, found, rewind, (0, alpha), everyone)
    while current is not None:
        probed[current.position] = current
        ahead = _following(spec, found, rewind, interval.after(current, passed=True))
        if ahead is not None and len(current.seeds) == everyone:
            first = ahead.seeds[: _first(everyone, ahead.alpha)]
            probed[ahead.position] = Probe(ahead.position, ahead.alpha, first, None)
        if current.passed is None or (current.position == 0 and not current.passed):
            break
        interval = interval.after(current, current.passed)
        current = ahead if current.passed else _following(spec, found, rewind, interval)
    return list(probed.values())


def _following(spec: Spec, found: Index, rewind: Step, interval: _Interval) -> Probe | None:
    if interval.next is None:
        return None
    return _probe(spec, found, rewind, interval.next, _first(len(spec.seeds), interval.next[1]))


def _probe(spec: Spec, found: Index, rewind: Step, at: tuple[int, float], first: int) -> Probe:
    """The level at a position, tested at an alpha, as far as its results tell."""
    position, alpha = at
    sparsity, seeds, n = spec.grid.sparsities[position], spec.seeds[:first], len(spec.seeds)
    pairs, lost = _pairs(found, rewind, sparsity, seeds)
    if first < n:
        if lost or (len(pairs) == first and _hopeless(pairs, n, alpha, spec.select.tolerance)):
            return Probe(position, alpha, seeds, False, dropped=True)
        if len(pairs) < first:
            return Probe(position, alpha, seeds, None)
        pairs, lost = _pairs(found, rewind, sparsity, spec.seeds)
    passed = False if lost else _passes(pairs, alpha, spec.select.tolerance) if len(pairs) == n else None
    return Probe(position, alpha, spec.seeds, passed)


def _granted(spec: Spec, found: Index) -> tuple[dict[Step, float], list[float]]:
    """The alpha of each rewind point, by Holm's procedure as in `walk`; and all that any of them has searched with.

    A search that was granted more goes beyond what it found before, but what it asked for with less stays asked.
    """
    total, last = 1 - spec.select.confidence, len(spec.grid.sparsities) - 1
    granted: dict[Step, float] = {}
    left = list(spec.grid.rewind)
    fewest = len(left)
    while left:
        fewest = len(left)
        each = total / fewest
        ended = [
            rewind
            for rewind in left
            if any(probe.position == last and probe.passed for probe in path(spec, found, rewind, each))
        ]
        granted |= dict.fromkeys(ended or left, each)
        left = [rewind for rewind in left if rewind not in granted]
    return granted, [total / number for number in range(len(spec.grid.rewind), fewest - 1, -1)]


def _offset(between: int, failures: int) -> int:
    """How far beyond the last level passed to probe, of the levels `between`: with the fewest probes at worst.

    With d probes, k of which may fail, C(d, 1) + ... + C(d, k) levels can be told apart; of the offsets that keep to it
    the farthest, for a level that fails costs fewer seeds than one that passes.
    """
    depth = 1
    while _told_apart(depth, failures) < between:
        depth += 1
    return min(between, _told_apart(depth - 1, failures - 1) + 1)


def _told_apart(depth: int, failures: int) -> int:
    return sum(math.comb(depth, failed) for failed in range(1, failures + 1))


Pair = tuple[CellResult, CellResult]


def _pairs(found: Index, rewind: Step, sparsity: float, seeds: Sequence[int]) -> tuple[list[Pair], bool]:
    """Ticket and dense network of the seeds that have both; whether a network given up, or unsound, forbids a pass.

    A dense network given up leaves the level waiting, as it does the whole grid.
    """
    both = [(found.cells.get((None, rewind, sparsity, seed)), found.dense.get(seed)) for seed in seeds]
    pairs = [(ticket, dense) for ticket, dense in both if ticket is not None and dense is not None]
    unsound = any(not one.audit.passed or one.collapsed for pair in pairs for one in pair)
    given_up = any(
        ticket is None and found.failed(seed, rewind, sparsity) for seed, (ticket, _) in zip(seeds, both, strict=True)
    )
    return pairs, unsound or given_up


def _passes(pairs: Sequence[Pair], alpha: float, tolerance: float) -> bool:
    """Whether the lower bound, or the one seed's difference, lies above -tolerance: the test of `walk`."""
    tickets, denses = [ticket.validation_top1 for ticket, _ in pairs], [dense.validation_top1 for _, dense in pairs]
    gap = difference(tickets, denses, 1 / min(dense.validation_examples for _, dense in pairs))
    lower = gap.lower(alpha)
    return (gap.mean if lower is None else lower) > -tolerance


def _spread(n: int, alpha: float) -> float:
    """The square of what the bound takes off for each unit of the root of the sum of squares, at the least.

    The variance that `difference` uses is never below half that of the paired differences: with a covariance of at most
    0, the sum of two variances is at least half the variance of the difference.
    """
    return quantile(1 - alpha, n - 1) ** 2 / (2 * n * (n - 1))


def _first(n: int, alpha: float) -> int:
    """How many seeds can exclude a pass of all n: the fewest whose mean, if they agree, the rest cannot make up for."""
    if n == 1:
        return 1
    return next(first for first in range(1, n + 1) if (n - first) / (n * first) < _spread(n, alpha))


def _hopeless(pairs: Sequence[Pair], n: int, alpha: float, tolerance: float) -> bool:
    """Whether no differences of the other seeds could lift the bound of all n above -tolerance.

    The best they could do is to be equal. A value y above the mean m of the first r raises the mean of all by
    (n - r) y / n and their sum of squares S by r (n - r) y^2 / n, so that the bound, taking the root of `_spread` for
    each root of S, is at most m - sqrt(S (spread - (n - r) / (n r))).
    """
    gaps = [ticket.validation_top1 - dense.validation_top1 for ticket, dense in pairs]
    first, centre = len(gaps), mean(gaps)
    squares = math.fsum((gap - centre) ** 2 for gap in gaps)
    return centre - math.sqrt(squares * (_spread(n, alpha) - (n - first) / (n * first))) <= -tolerance
