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

from lth.results.racing import excluded, first_seeds
from lth.results.statistics import difference, mean
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

    `dropped`: the first seeds alone exclude a pass, whatever the others would bring; `promising`: they lie above half
    the tolerance.
    """

    position: int
    alpha: float
    seeds: tuple[int, ...]
    passed: bool | None
    dropped: bool = False
    promising: bool = False


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
    asked for, then, unless these exclude a pass, the rest; where they are promising together with the first seeds of
    the level that a pass would lead to, so that a level takes about one round of training.
    """
    kinds, levels, moments = (None, *spec.grid.arms), spec.grid.sparsities, spec.grid.rewind
    asked = {
        (spec.seeds.index(seed), moments.index(rewind), probe.position)
        for (rewind, _), some in _searched(spec, found)[1].items()
        for probe in some
        for seed in probe.seeds
        if seed in seeds
    }
    return [(kind, moments[at], levels[place], spec.seeds[seed]) for seed, at, place in sorted(asked) for kind in kinds]


def outcomes(spec: Spec, found: Index) -> dict[Step, tuple[float, list[Probe]]]:
    """Returns for each rewind point the alpha it was granted and the probes of its search."""
    granted, paths = _searched(spec, found)
    return {rewind: (granted[rewind], paths[rewind, granted[rewind]]) for rewind in spec.grid.rewind}


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
        if ahead is not None and (current.position == 0 or current.promising):
            first = ahead.seeds[: first_seeds(everyone, ahead.alpha)]
            probed[ahead.position] = Probe(ahead.position, ahead.alpha, first, None)
        if current.passed is None or (current.position == 0 and not current.passed):
            break
        interval = interval.after(current, current.passed)
        current = ahead if current.passed else _following(spec, found, rewind, interval)
    return list(probed.values())


def _following(spec: Spec, found: Index, rewind: Step, interval: _Interval) -> Probe | None:
    if interval.next is None:
        return None
    return _probe(spec, found, rewind, interval.next, first_seeds(len(spec.seeds), interval.next[1]))


def _probe(spec: Spec, found: Index, rewind: Step, at: tuple[int, float], first: int) -> Probe:
    """The level at a position, tested at an alpha, as far as its results tell; `first` seeds go ahead of the rest."""
    (position, alpha), tolerance, n = at, spec.select.tolerance, len(spec.seeds)
    sparsity, seeds, promising = spec.grid.sparsities[position], spec.seeds[:first], False
    pairs, lost = _pairs(found, rewind, sparsity, seeds)
    if first < n:
        gaps = [ticket.validation_top1 - dense.validation_top1 for ticket, dense in pairs]
        if lost or (len(gaps) == first and excluded(gaps, n, alpha, tolerance)):
            return Probe(position, alpha, seeds, False, dropped=True)
        if len(gaps) < first:
            return Probe(position, alpha, seeds, None)
        promising = mean(gaps) > -tolerance / 2
        pairs, lost = _pairs(found, rewind, sparsity, spec.seeds)
    passed = False if lost else _passes(pairs, alpha, tolerance) if len(pairs) == n else None
    return Probe(position, alpha, spec.seeds, passed, promising=promising)


def _searched(spec: Spec, found: Index) -> tuple[dict[Step, float], dict[tuple[Step, float], list[Probe]]]:
    """The alpha of each rewind point, by Holm's procedure as in `walk`, and the path of each at every alpha so far.

    A rewind point that is granted more may go other ways than before; what it asked for with less stays asked.
    """
    moments, total = spec.grid.rewind, 1 - spec.select.confidence
    paths: dict[tuple[Step, float], list[Probe]] = {}
    granted: dict[Step, float] = {}
    for number in range(len(moments), 0, -1):
        each, left = total / number, [rewind for rewind in moments if rewind not in granted]
        paths |= {(rewind, each): path(spec, found, rewind, each) for rewind in moments}
        ended = [rewind for rewind in left if _ended(spec, paths[rewind, each])]
        if number == len(left):
            granted |= dict.fromkeys(ended or left, each)
        if len(granted) == len(moments):
            break
    return granted, paths


def _ended(spec: Spec, probed: Sequence[Probe]) -> bool:
    last = len(spec.grid.sparsities) - 1
    return any(probe.position == last and probe.passed for probe in probed)


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
