"""The walk of every rewind point from dense to sparse, to the first level that does not match."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lth.results.index import Index, faults
from lth.results.search import Probe, outcomes
from lth.results.statistics import Difference, difference, mean
from lth.results.wording import count, points, share
from lth.spec.schema import Spec
from lth.spec.step import Step


@dataclass(frozen=True)
class Level:
    """One sparsity of one walk. Accuracies and differences are fractions, of validation, over the grid's seeds.

    `lower` is the one-sided bound of ticket - dense at confidence 1 - `alpha`, the level this walk was granted, or the
    part of it at which an adaptive search tests; `low` and `high` are the two-sided 95 % interval; one seed has none
    of these. `n` counts the seeds with both networks, `gap` is their difference as it is tested. `passed` is true of
    the levels before the walk's first failure, or of those that passed in the search; `reason` says why not, or what
    to know about a pass.
    """

    rewind: Step
    sparsity: float
    n: int
    ticket: float | None
    dense: float | None
    difference: float | None
    alpha: float
    lower: float | None
    low: float | None
    high: float | None
    method: str | None
    passed: bool
    reason: str
    gap: Difference | None = None


@dataclass(frozen=True)
class _Measured:
    """A level before any test: its accuracies, their difference, and what forbids a pass."""

    ticket: float | None
    dense: float | None
    difference: Difference | None
    fault: str


def walks(spec: Spec, found: Index) -> tuple[Level, ...]:
    """Returns every level of the grid, rewind points in order and each from dense to sparse.

    At each level the hypothesis "the deficit is at least the tolerance" is tested by the lower bound; a walk
    stops at the first level that it cannot reject (fixed sequence). Over m rewind points each walk starts with
    alpha / m, and a walk that passed every level leaves its alpha to the others (Holm 1979; for chains of
    hypotheses a graphical procedure, Bretz, Maurer, Brannath & Posch 2009), so that the probability of passing
    any level that does not match is at most alpha. One seed has no bound: its difference itself is compared.
    An adaptive search tests some of the levels, each at its own part of the walk's alpha (`search.path`).
    """
    if spec.grid.search == "adaptive":
        return tuple(
            level
            for rewind, (alpha, path) in outcomes(spec, found).items()
            for level in _probed(spec, found, rewind, alpha, path)
        )
    levels = spec.grid.sparsities
    measured = {step: [_measure(spec, found, step, level) for level in levels] for step in spec.grid.rewind}
    lengths = dict.fromkeys(spec.grid.rewind, len(levels))
    granted = shares(lengths, 1 - spec.select.confidence, lambda step, each: _reached(spec, measured[step], each))
    return tuple(level for step in measured for level in _levels(spec, step, measured[step], granted[step]))


def shares(lengths: Mapping[Step, int], alpha: float, reached: Callable[[Step, float], int]) -> dict[Step, float]:
    """Returns the alpha that each of several fixed sequences of tests is granted, one for a rewind point.

    Each starts with an equal share; a sequence that rejected its every hypothesis, `lengths` of them, leaves its
    share to the others. `reached` says how many hypotheses of a sequence are rejected, in order, at an alpha.
    """
    granted: dict[Step, float] = {}
    left = list(lengths)
    while left:
        each = alpha / len(left)
        ended = [step for step in left if reached(step, each) == lengths[step]]
        granted |= dict.fromkeys(ended or left, each)
        left = [step for step in left if step not in granted]
    return granted


def _measure(spec: Spec, found: Index, rewind: Step, sparsity: float) -> _Measured:
    pairs = [(found.cells.get((None, rewind, sparsity, seed)), found.dense.get(seed)) for seed in spec.seeds]
    both = [(ticket, dense) for ticket, dense in pairs if ticket is not None and dense is not None]
    fault = faults(found, spec.seeds, rewind, sparsity)
    if not both:
        return _Measured(None, None, None, fault)
    tickets, denses = [ticket.validation_top1 for ticket, _ in both], [dense.validation_top1 for _, dense in both]
    gap = difference(tickets, denses, 1 / min(dense.validation_examples for _, dense in both))
    return _Measured(mean(tickets), mean(denses), gap, fault)


def _bound(measured: _Measured, alpha: float) -> float | None:
    """What must lie above -tolerance: the lower bound, or one seed's difference; None where a fault forbids a pass."""
    if measured.fault or measured.difference is None:
        return None
    lower = measured.difference.lower(alpha)
    return measured.difference.mean if lower is None else lower


def _reached(spec: Spec, levels: Sequence[_Measured], alpha: float) -> int:
    """The number of levels passed before the first failure."""
    for position, measured in enumerate(levels):
        bound = _bound(measured, alpha)
        if bound is None or bound <= -spec.select.tolerance:
            return position
    return len(levels)


def _levels(spec: Spec, rewind: Step, levels: Sequence[_Measured], alpha: float) -> list[Level]:
    reached, sparsities = _reached(spec, levels, alpha), spec.grid.sparsities
    found: list[Level] = []
    for position, (sparsity, one) in enumerate(zip(sparsities, levels, strict=True)):
        if position > reached:
            reason = f"not tested: the walk stopped at {share(sparsities[reached])}"
        else:
            reason = _remark(one) if position < reached else _failure(spec, one, alpha)
        found.append(_level(rewind, sparsity, one, alpha, position < reached, reason))
    return found


def _probed(spec: Spec, found: Index, rewind: Step, alpha: float, path: Sequence[Probe]) -> list[Level]:
    """The levels of one rewind point as an adaptive search that was granted `alpha` left them."""
    probes, levels = {probe.position: probe for probe in path}, list[Level]()
    for position, sparsity in enumerate(spec.grid.sparsities):
        one, probe = _measure(spec, found, rewind, sparsity), probes.get(position)
        if probe is None:
            what = "not tested" if one.difference else "not trained"
            levels.append(_level(rewind, sparsity, one, alpha, False, f"{what}: the search did not ask for it"))
        else:
            reason = _outcome(spec, one, probe, faults(found, probe.seeds, rewind, sparsity))
            levels.append(_level(rewind, sparsity, one, probe.alpha, bool(probe.passed), reason))
    return levels


def _outcome(spec: Spec, one: _Measured, probe: Probe, fault: str) -> str:
    """Why a probed level did not pass, or what to know about its pass; `fault` is that of the seeds asked for."""
    if probe.passed:
        return _remark(one)
    if probe.passed is None:
        return fault or "not tested: looked ahead at, and not needed"
    if probe.dropped and not fault and one.difference is not None:
        seen = f"{points(one.difference.mean)} over {count(one.difference.n, 'seed')}"
        return f"{seen}: no results of the others could make it pass"
    return fault or _failure(spec, one, probe.alpha)


def _level(rewind: Step, sparsity: float, one: _Measured, alpha: float, passed: bool, reason: str) -> Level:
    gap = one.difference
    low, high = (gap and gap.interval()) or (None, None)
    return Level(
        rewind=rewind,
        sparsity=sparsity,
        n=gap.n if gap else 0,
        ticket=one.ticket,
        dense=one.dense,
        difference=gap and gap.mean,
        alpha=alpha,
        lower=gap and gap.lower(alpha),
        low=low,
        high=high,
        method=gap and gap.method,
        passed=passed,
        reason=reason,
        gap=gap,
    )


def _remark(one: _Measured) -> str:
    if one.difference is None or not one.difference.rounded:
        return ""
    return "the seeds differ by less than one example; the rounding of the accuracies gives the bound"


def _failure(spec: Spec, one: _Measured, alpha: float) -> str:
    bound = _bound(one, alpha)
    if bound is None:
        return one.fault
    what = "difference" if one.difference and one.difference.method == "one seed" else "lower bound"
    return f"{what} {points(bound)} is not above −{points(spec.select.tolerance)[1:]}"
