"""How alike masks and signs of a run are: between seeds, between moments of training, before and after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Literal

from lth.analysis.cache import Cache
from lth.analysis.networks import mask_of, trained_state
from lth.analysis.overlap import Overlap, mask_overlap, sign_agreement
from lth.pruning.score import magnitude
from lth.pruning.threshold import masks
from lth.results.statistics import mean
from lth.runs.records import CellResult, Results
from lth.spec.step import Step
from lth.training.workspace import Workspace

What = Literal["seeds", "moments", "start"]


@dataclass(frozen=True)
class Likeness:
    """The means, over `n` comparisons, of the overlap of masks, of what chance gives, and of the share of equal signs.

    "seeds": the masks of two seeds, and the signs of the trained weights that both keep. "moments": the mask that
    the dense weights at `moment` would give and the one of the run, and the signs then and in the end of the weights
    that the run's mask keeps. "start": the signs of a ticket's trained weights and of those it started from at
    `moment`; there is one mask, so no overlap.
    """

    what: What
    sparsity: float
    moment: Step | None
    n: int
    overlap: float | None
    by_chance: float | None
    signs: float

    def as_json(self) -> dict[str, Any]:
        """Returns the numbers as JSON values."""
        return {**asdict(self), "moment": None if self.moment is None else str(self.moment)}


def likenesses(work: Workspace, cache: Cache, results: Results) -> Iterator[Likeness]:
    """Yields the likenesses of all tickets that a pruning gave; what the cache knows is not computed again.

    In one-shot pruning a seed has one mask for all rewind points, and dense weights of other moments are ranked as
    the run ranks them; in iterative pruning each rewind point has masks of its own.
    """
    tickets = [one for one in results.done.values() if one.control is None and one.sparsity]
    tickets.sort(key=lambda one: (one.sparsity, (one.rewind or Step()).index(one.steps_per_epoch), one.seed))
    yield from _between_seeds(work, cache, tickets)
    if not work.spec.iterative:
        yield from _over_time(work, cache, results, tickets)
    yield from _since_start(work, cache, tickets)


def _between_seeds(work: Workspace, cache: Cache, tickets: Sequence[CellResult]) -> Iterator[Likeness]:
    for sparsity, rewind in dict.fromkeys((one.sparsity, one.rewind) for one in tickets):
        here = [one for one in tickets if (one.sparsity, one.rewind) == (sparsity, rewind)]
        found = [
            cache.once(f"seeds {a.weights_sha256} {b.weights_sha256}", lambda a=a, b=b: _two_seeds(work, a, b))
            for a, b in combinations(here, 2)
        ]
        if found:
            yield _likeness("seeds", sparsity or 0.0, rewind, found)


def _two_seeds(work: Workspace, a: CellResult, b: CellResult) -> dict[str, float]:
    first, second = mask_of(work.run, a), mask_of(work.run, b)
    signs = sign_agreement(trained_state(work.run, a), trained_state(work.run, b), [first, second])
    return _numbers(mask_overlap(first, second), signs)


def _over_time(work: Workspace, cache: Cache, results: Results, tickets: Sequence[CellResult]) -> Iterator[Likeness]:
    """Each seed's dense weights at every kept moment but the end."""
    dense = {one.seed: one for one in results.done.values() if one.kind == "dense"}
    first = {(one.sparsity, one.seed): one for one in reversed(tickets) if one.seed in dense}
    found: dict[tuple[float, Step], list[dict[str, float]]] = {}
    for (sparsity, seed), ticket in sorted(first.items(), key=lambda item: (item[0][1], item[0][0] or 0.0)):
        kept = [Step.parse(text) for text in dense[seed].checkpoints]
        for moment in sorted(kept, key=lambda step: step.index(ticket.steps_per_epoch))[:-1]:
            key = f"moments {dense[seed].weights_sha256} {sparsity} {moment}"
            value = cache.once(key, lambda ticket=ticket, moment=moment: _then(work, ticket, moment))
            found.setdefault((sparsity or 0.0, moment), []).append(value)
    for (sparsity, moment), values in sorted(found.items(), key=lambda item: item[0][0]):
        yield _likeness("moments", sparsity, moment, values)


def _then(work: Workspace, ticket: CellResult, moment: Step) -> dict[str, float]:
    seed, sparsity, prune = ticket.seed, ticket.sparsity or 0.0, work.spec.prune
    rates, then, final = work.prunable, work.dense_state(seed, moment), work.final_state(seed)
    scores = magnitude({name: then[name] for name in rates})
    early = masks(scores, [sparsity], scope=prune.scope, rates=rates, costs=work.costs)[sparsity]
    mask = mask_of(work.run, ticket)
    return _numbers(mask_overlap(early, mask), sign_agreement(then, final, [mask]))


def _since_start(work: Workspace, cache: Cache, tickets: Sequence[CellResult]) -> Iterator[Likeness]:
    for sparsity, rewind in dict.fromkeys((one.sparsity, one.rewind) for one in tickets):
        here = [one for one in tickets if (one.sparsity, one.rewind) == (sparsity, rewind)]
        found = [cache.once(f"start {one.weights_sha256}", lambda one=one: _signs_kept(work, one)) for one in here]
        yield _likeness("start", sparsity or 0.0, rewind, found)


def _signs_kept(work: Workspace, ticket: CellResult) -> dict[str, float]:
    start = work.dense_state(ticket.seed, ticket.rewind or Step())
    return {"signs": sign_agreement(start, trained_state(work.run, ticket), [mask_of(work.run, ticket)])}


def _numbers(overlap: Overlap, signs: float) -> dict[str, float]:
    return {"overlap": overlap.total.iou, "by_chance": overlap.total.by_chance, "signs": signs}


def _likeness(what: What, sparsity: float, moment: Step | None, found: Sequence[dict[str, float]]) -> Likeness:
    means = {key: mean([one[key] for one in found]) for key in found[0]}
    overlap, chance = means.get("overlap"), means.get("by_chance")
    return Likeness(what, sparsity, moment, len(found), overlap, chance, means["signs"])
