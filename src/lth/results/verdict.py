"""The verdict on every level: winning, matching, worse or undecided, and the tests that say so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lth.results.early_stop import EarlyStop, early_stop
from lth.results.evidence import WINNERS_CONTROLS, Evidence, Place, control_gap, inferior, non_inferior, superior
from lth.results.index import Index, faults
from lth.results.statistics import seeds_to_show
from lth.results.walk import Level
from lth.results.wording import count, rounded_up, share
from lth.spec.schema import Spec
from lth.spec.step import Step
from lth.spec.variants import VARIANTS

Word = Literal["winning", "matching", "worse", "undecided"]


@dataclass(frozen=True)
class LevelVerdict:
    """What the grid's seeds say of one sparsity and rewind point.

    "winning": rewound to 0, its walk passed it, its early stop is not later than dense, and better than reinit and
    than the shuffled mask (Frankle & Carbin 2019). "matching": its walk passed it; at rewind point 0 `missing` says
    what else a winning ticket has. "worse": shown to lie more than the tolerance below dense. "undecided": neither;
    `reason` says why, and with `needs` seeds in all, at the difference and spread seen, one of two runs would
    decide it; None where no number of seeds would, or where that cannot be told.
    """

    rewind: Step
    sparsity: float
    word: Word
    evidence: tuple[Evidence, ...] = ()
    early_stop: EarlyStop | None = None
    missing: tuple[str, ...] = ()
    needs: int | None = None
    reason: str = ""

    @property
    def sentence(self) -> str:
        """Returns the verdict, and why it is no better one."""
        text = f"At {share(self.sparsity)} sparsity, rewound to {self.rewind}, the verdict is: {self.word}"
        if self.missing:
            return f"{text}, not winning: {'; '.join(self.missing)}."
        if self.word == "undecided":
            text += f", needs about {count(self.needs, 'seed')}" if self.needs else ""
        return f"{text}: {self.reason}." if self.reason else f"{text}."

    @property
    def details(self) -> tuple[str, ...]:
        """Returns a sentence for each test, and for the early stop."""
        shown = [f"{one.sentence}." for one in self.evidence]
        if self.early_stop is not None:
            shown.append(f"{self.early_stop.sentence}.")
        return tuple(text[0].upper() + text[1:] for text in shown)


def verdicts(
    spec: Spec, found: Index, levels: Sequence[Level], decidable: float | None = None
) -> tuple[LevelVerdict, ...]:
    """Returns the verdict on every level of the walks, in their order.

    `decidable` is the smallest tolerance that the validation examples can decide: where it is larger than the spec's
    nothing matches, and worse are the levels that lie more than `decidable` below dense.
    """
    limit = -max(spec.select.tolerance, decidable or 0.0)
    worse, better = inferior(spec, found, levels, limit), superior(spec, found, levels)
    needs = _needs(spec, found, levels, worse)
    made: list[LevelVerdict] = []
    for level in levels:
        place = (level.rewind, level.sparsity)
        evidence = [non_inferior(spec, level), worse.get(place), *better.get(place, ())]
        shown = tuple(one for one in evidence if one is not None and (one.claim != "inferior" or not level.passed))
        made.append(_verdict(spec, found, level, shown, limit, needs.get(place)))
    return tuple(made)


def _verdict(
    spec: Spec, found: Index, level: Level, evidence: tuple[Evidence, ...], limit: float, needs: int | None
) -> LevelVerdict:
    place = (level.rewind, level.sparsity)
    stop = early_stop(spec, found, *place)
    if any(one.claim == "inferior" and one.held for one in evidence):
        return LevelVerdict(*place, "worse", evidence, stop)
    if level.passed and limit < -spec.select.tolerance:
        why = f"the validation examples cannot decide a tolerance below {rounded_up(-limit)}"
        return LevelVerdict(*place, "undecided", evidence, stop, reason=why)
    if level.n == 1 or not level.passed:
        why = "one seed has no interval" if level.n == len(spec.seeds) == 1 else level.reason
        return LevelVerdict(*place, "undecided", evidence, stop, needs=needs, reason=why)
    if level.rewind != Step():
        return LevelVerdict(*place, "matching", evidence, stop)
    missing = tuple(_missing(spec, found, level, evidence, stop))
    return LevelVerdict(*place, "matching" if missing else "winning", evidence, stop, missing)


def _missing(spec: Spec, found: Index, level: Level, evidence: Sequence[Evidence], stop: EarlyStop | None) -> list[str]:
    """What keeps a level of rewind point 0 that passed from winning."""
    tested = {one.other: one for one in evidence if one.claim == "superior"}
    missing: list[str] = []
    for name in WINNERS_CONTROLS:
        words = VARIANTS[name].words
        if name not in spec.grid.controls:
            missing.append(f"{words} is not trained (grid.controls)")
        elif control_gap(spec, found, name, level) is None:
            missing.append(f"{words} is not trained on every seed")
        elif name in tested and not tested[name].held:
            missing.append(f"not shown to be better than {words}")
    if stop is None or not stop.not_later:
        missing.append("its early stop is later than dense")
    return missing


def _needs(spec: Spec, found: Index, levels: Sequence[Level], worse: dict[Place, Evidence]) -> dict[Place, int]:
    """The seeds that would decide a level; all that its walk must pass before it count, in either direction."""
    needs: dict[Place, int] = {}
    for step in spec.grid.rewind:
        walk = [level for level in levels if level.rewind == step and level.gap is not None]
        for chain in (walk, walk[::-1]):
            up, most = chain is walk, 0
            for level in chain:
                place = (step, level.sparsity)
                if level.passed if up else place in worse and worse[place].held:
                    continue
                wanted = _own_needs(level, -spec.select.tolerance, worse.get(place), up)
                if wanted is None or (up and faults(found, spec.seeds, *place)):
                    break
                needs[place] = most = max(most, wanted)
    return needs


def _own_needs(level: Level, limit: float, worse: Evidence | None, up: bool) -> int | None:
    """The seeds at which the level's own test would show it to match (`up`) or to be worse, at what is seen now."""
    if worse is None or level.gap is None or level.gap.error is None:
        return None
    distance = level.gap.mean - limit if up else worse.limit - level.gap.mean
    alpha = level.alpha if up else worse.alpha
    return seeds_to_show(distance, level.gap.error * math.sqrt(level.n), alpha, level.n)
