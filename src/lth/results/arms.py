"""Other ways to a sparse network beside rewinding: arms that keep the trained weights, and methods without a ticket."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from lth.results.index import Index
from lth.results.statistics import Difference, difference, mean
from lth.results.wording import brackets, count, points, share, size
from lth.runs.records import CellResult
from lth.spec.schema import Spec
from lth.spec.step import Step
from lth.spec.variants import VARIANTS, variant

REWINDING = "rewinding"


@dataclass(frozen=True)
class Arm:
    """An arm or method minus what it is held `against`, validation accuracy over the `n` seeds that have both.

    `against` is "rewinding", the ticket at the same sparsity and rewind point, or the method whose sanity check this
    is. `retraining_epochs` are those of the last training, `total_epochs` with the dense network and earlier levels,
    as far as they are needed, `ends_at` is where in the learning-rate schedule it stops, in epochs; each beside the
    same of `against`. `low` and `high` are the two-sided 95 % interval, not corrected for the number of comparisons.
    """

    name: str
    against: str
    sparsity: float
    rewind: Step
    n: int
    accuracy: float
    difference: float
    low: float | None
    high: float | None
    retraining_epochs: float
    total_epochs: float | None
    ends_at: float
    against_retraining_epochs: float
    against_total_epochs: float | None
    against_ends_at: float
    sentence: str


def arms(spec: Spec, found: Index) -> tuple[Arm, ...]:
    """Returns every arm and method at every sparsity and rewind point of the grid where some seed has both networks."""
    names = (*spec.grid.arms, *spec.grid.methods)
    places = [(step, sparsity) for step in spec.grid.rewind for sparsity in spec.grid.sparsities]
    made = [_arm(spec, found, name, step, sparsity) for name in names for step, sparsity in places]
    return tuple(one for one in made if one is not None)


@dataclass(frozen=True)
class _Side:
    """Some networks of one name, and how they were trained, means over seeds."""

    name: str
    accuracies: list[float]
    retraining: float
    total: float | None
    ends_at: float


def _arm(spec: Spec, found: Index, name: str, rewind: Step, sparsity: float) -> Arm | None:
    base = _checked(name)
    against = base if base in spec.grid.methods else None
    pairs = [
        (found.get(name, rewind, sparsity, seed), found.get(against, rewind, sparsity, seed)) for seed in spec.seeds
    ]
    both = [(one, other) for one, other in pairs if one is not None and other is not None]
    if not both:
        return None
    mine = _side(spec, found, name, [one for one, _ in both], rewind)
    theirs = _side(spec, found, against, [other for _, other in both], rewind)
    gap = difference(mine.accuracies, theirs.accuracies, 1 / min(one.validation_examples for one, _ in both))
    low, high = gap.interval() or (None, None)
    text = f"{_words(mine, theirs, gap)} ({_place(sparsity, rewind, gap)}){_cost(mine, theirs)}."
    return Arm(
        name=name,
        against=theirs.name,
        sparsity=sparsity,
        rewind=rewind,
        n=gap.n,
        accuracy=mean(mine.accuracies),
        difference=gap.mean,
        low=low,
        high=high,
        retraining_epochs=mine.retraining,
        total_epochs=mine.total,
        ends_at=mine.ends_at,
        against_retraining_epochs=theirs.retraining,
        against_total_epochs=theirs.total,
        against_ends_at=theirs.ends_at,
        sentence=text[0].upper() + text[1:],
    )


def _checked(name: str) -> str | None:
    """The method whose sanity check this is: "snip" of "snip_shuffled"."""
    base = name.partition("_")[0]
    return base if base != name and base in VARIANTS and VARIANTS[base].kind == "method" else None


def _side(spec: Spec, found: Index, name: str | None, networks: list[CellResult], rewind: Step) -> _Side:
    totals = [_total_epochs(spec, found, name, one, rewind) for one in networks]
    whole = [total for total in totals if total is not None]
    return _Side(
        name or REWINDING,
        [one.validation_top1 for one in networks],
        mean([one.epochs for one in networks]),
        mean(whole) if len(whole) == len(totals) else None,
        mean([one.last_step / one.steps_per_epoch for one in networks]),
    )


def _total_epochs(spec: Spec, found: Index, name: str | None, one: CellResult, rewind: Step) -> float | None:
    """Epochs that this network took: its own, and unless its method starts anew the dense ones and earlier levels."""
    kind = variant(name)
    if kind is not None and kind.kind == "method":
        return one.epochs
    dense = found.dense.get(one.seed)
    earlier = [level for level in spec.grid.sparsities if spec.iterative and level < (one.sparsity or 0.0)]
    levels = [found.cells.get((name, rewind, level, one.seed)) for level in earlier]
    if dense is None or any(level is None for level in levels):
        return None
    return dense.epochs + sum(level.epochs for level in levels if level is not None) + one.epochs


def _words(mine: _Side, theirs: _Side, gap: Difference) -> str:
    name, other, interval = VARIANTS[mine.name].words, _other(theirs.name), gap.interval()
    if interval is None:
        return f"one seed puts {name} {points(gap.mean)} from {other}, without an interval"
    low, high = interval
    if low > 0 or high < 0:
        return f"{name} is {'better' if low > 0 else 'worse'} than {other} by {size(gap.mean)} {brackets(interval)}"
    return f"no difference between {name} and {other} is shown: {points(gap.mean)} {brackets(interval)}"


def _other(name: str) -> str:
    return name if name == REWINDING else VARIANTS[name].words


def _place(sparsity: float, rewind: Step, gap: Difference) -> str:
    interval = ", two-sided 95 % interval" if gap.error is not None else ""
    return f"at {share(sparsity)} sparsity, rewound to {rewind}, validation, {count(gap.n, 'seed')}{interval}"


def _cost(mine: _Side, theirs: _Side) -> str:
    """Where each ends and how many epochs it trained, so that no budget is compared unseen."""
    other, kind = _other(theirs.name), VARIANTS[mine.name].kind
    parts = list(_basis(mine, theirs, other)) if kind == "arm" else []
    if mine.total is not None and theirs.total is not None:
        parts.append(f"{mine.total:.4g} epochs of training in all, {other} {theirs.total:.4g}")
    return f": {'; '.join(parts)}" if parts else ""


def _basis(mine: _Side, theirs: _Side, other: str) -> Iterator[str]:
    if math.isclose(mine.retraining, theirs.retraining):
        yield f"equal retraining epochs ({mine.retraining:.4g})"
    else:
        yield f"{mine.retraining:.4g} retraining epochs, {other} {theirs.retraining:.4g}"
    if math.isclose(mine.ends_at, theirs.ends_at):
        yield f"ends at T like {other}"
    else:
        yield f"ends at epoch {mine.ends_at:.4g} of the schedule, {other} at {theirs.ends_at:.4g}"
