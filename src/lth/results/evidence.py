"""The tests that a verdict rests on, each with its name, its level and how that was corrected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lth.results.index import Index
from lth.results.statistics import Difference, Method, difference
from lth.results.walk import Level, shares
from lth.results.wording import count, points, share, size
from lth.spec.schema import Spec
from lth.spec.step import Step
from lth.spec.variants import VARIANTS

Claim = Literal["non_inferior", "inferior", "superior"]
TESTS: dict[Method, str] = {"paired": "paired t", "welch": "Welch's t, n - 1 degrees of freedom", "one seed": "none"}
WINNERS_CONTROLS = ("reinit", "shuffled_mask")  # those a winning ticket must beat (Frankle & Carbin 2019)


@dataclass(frozen=True)
class Evidence:
    """One one-sided Student test of the ticket against `other` over `n` seeds, validation accuracy as fractions.

    Claims: "non_inferior" and "superior" that the difference ticket - other lies above `limit`, "inferior" that it
    lies below. `bound` is the one-sided bound at confidence 1 - `alpha`, the level that `correction` left to this
    test; `p` its p-value before any correction. `held` tells whether the claim is shown; a test that a fixed
    sequence did not reach shows nothing, whatever its bound.
    """

    claim: Claim
    other: str
    test: str
    n: int
    difference: float
    bound: float
    limit: float
    p: float
    alpha: float
    correction: str
    held: bool

    @property
    def sentence(self) -> str:
        """Returns claim, bound and test in words."""
        below = self.claim == "inferior"
        end = "upper" if below else "lower"
        side = ("below" if below else "above") if self.held else ("not below" if below else "not above")
        limit = points(self.limit) if self.limit else "0"
        numbers = f"{points(self.difference)}, {end} bound {points(self.bound)} {side} {limit}"
        return f"{self._claim()}: {numbers} ({self._test()})"

    def _claim(self) -> str:
        if self.claim == "superior":
            return f"{'better' if self.held else 'not shown to be better'} than {VARIANTS[self.other].words}"
        what = f"worse than dense by more than {size(self.limit)}"
        if self.claim == "inferior":
            return what if self.held else f"not shown to be {what}"
        return f"not {what}" if self.held else f"not shown to match dense within {size(self.limit)}"

    def _test(self) -> str:
        return f"{self.test}, {count(self.n, 'seed')}, one-sided at {share(self.alpha)}: {self.correction}"


Place = tuple[Step, float]


def non_inferior(spec: Spec, level: Level) -> Evidence | None:
    """Returns the walk's own test of a level; None where there is no interval."""
    gap, limit = level.gap, -spec.select.tolerance
    if gap is None or (p := gap.p_above(limit)) is None or level.lower is None:
        return None
    corrected = _walked(spec, "dense to sparse")
    return _evidence("non_inferior", "dense", gap, level.lower, limit, p, level.alpha, corrected, level.passed)


def inferior(spec: Spec, found: Index, levels: Sequence[Level], limit: float) -> dict[Place, Evidence]:
    """Returns, for every level with all its seeds and passed audits, the test that the difference lies below `limit`.

    The walk the other way round: a fixed sequence for each rewind point, from the sparsest such level to the densest,
    with Holm's correction over the rewind points; so the probability of calling any level worse that is not is at
    most alpha.
    """
    chains: dict[Step, list[tuple[Level, Difference]]] = {step: [] for step in spec.grid.rewind}
    for level in reversed(levels):
        if level.gap is not None and level.gap.error is not None and _whole(spec, found, level):
            chains[level.rewind].append((level, level.gap))

    def reached(step: Step, alpha: float) -> int:
        gaps = [gap for _, gap in chains[step]]
        return next((at for at, gap in enumerate(gaps) if (gap.upper(alpha) or 0.0) >= limit), len(gaps))

    lengths = {step: len(chain) for step, chain in chains.items() if chain}
    granted = shares(lengths, 1 - spec.select.confidence, reached)
    tests: dict[Place, Evidence] = {}
    for step, alpha in granted.items():
        for at, (level, gap) in enumerate(chains[step]):
            bound, p = gap.upper(alpha) or 0.0, 1 - (gap.p_above(limit) or 0.0)
            held = at < reached(step, alpha)
            tests[step, level.sparsity] = _evidence(
                "inferior", "dense", gap, bound, limit, p, alpha, _walked(spec, "sparse to dense"), held
            )
    return tests


def superior(spec: Spec, found: Index, levels: Sequence[Level]) -> dict[Place, tuple[Evidence, ...]]:
    """Returns, for the levels of rewind point 0 that have both controls on all seeds, the tests against them.

    A winning ticket must beat both, so the two tests of one level need no correction (intersection-union test, Berger
    1982); over the levels Holm's correction applies to the larger of their two p-values.
    """
    gaps: dict[float, dict[str, Difference]] = {}
    for level in (one for one in levels if one.rewind == Step()):
        pair = {name: control_gap(spec, found, name, level) for name in WINNERS_CONTROLS}
        both = {name: gap for name, gap in pair.items() if gap is not None}
        if len(both) == len(WINNERS_CONTROLS):
            gaps[level.sparsity] = both
    largest = {sparsity: max(gap.p_above(0.0) or 0.0 for gap in pair.values()) for sparsity, pair in gaps.items()}
    granted = _holm(largest, 1 - spec.select.confidence)
    corrected = "both controls must be beaten; Holm over " + count(len(gaps), "level")
    return {
        (Step(), sparsity): tuple(
            _evidence("superior", name, gap, gap.lower(alpha) or 0.0, 0.0, p, alpha, corrected, p < alpha)
            for name, gap in gaps[sparsity].items()
            if (p := gap.p_above(0.0)) is not None
        )
        for sparsity, alpha in granted.items()
    }


def _holm(p: Mapping[float, float], alpha: float) -> dict[float, float]:
    """The alpha of each hypothesis in Holm's step-down: after the first that fails, all others have its alpha."""
    granted: dict[float, float] = {}
    failed: float | None = None
    for rank, (name, value) in enumerate(sorted(p.items(), key=lambda item: item[1])):
        each = alpha / (len(p) - rank) if failed is None else failed
        granted[name] = each
        failed = each if value >= each else failed
    return granted


def control_gap(spec: Spec, found: Index, name: str, level: Level) -> Difference | None:
    """Returns ticket minus control in validation accuracy; None unless all seeds, two at least, have sound ones."""
    tickets = [found.get(None, level.rewind, level.sparsity, seed) for seed in spec.seeds]
    others = [found.get(name, level.rewind, level.sparsity, seed) for seed in spec.seeds]
    first = [one.validation_top1 for one in tickets if one is not None and one.audit.passed]
    second = [one.validation_top1 for one in others if one is not None and one.audit.passed]
    if not len(first) == len(second) == len(spec.seeds) > 1:
        return None
    return difference(first, second, 1 / min(one.validation_examples for one in tickets if one is not None))


def _whole(spec: Spec, found: Index, level: Level) -> bool:
    """Whether every seed has both networks and no audit failed: collapsed tickets may well be called worse."""
    tickets = [found.get(None, level.rewind, level.sparsity, seed) for seed in spec.seeds]
    networks = [*tickets, *(found.dense.get(seed) for seed in spec.seeds)]
    return all(network is not None and network.audit.passed for network in networks)


def _walked(spec: Spec, way: str) -> str:
    walks = len(spec.grid.rewind)
    return f"fixed sequence from {way}" + (f", Holm over {walks} rewind points" if walks > 1 else "")


def _evidence(
    claim: Claim, other: str, gap: Difference, bound: float, limit: float, p: float, alpha: float, how: str, held: bool
) -> Evidence:
    return Evidence(claim, other, TESTS[gap.method], gap.n, gap.mean, bound, limit, p, alpha, how, held)
