"""Tickets against their controls: what of the ticket matters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lth.results.early_stop import EarlyStop, early_stop
from lth.results.index import Index
from lth.results.statistics import Difference, Method, difference, mean
from lth.results.wording import brackets, count, points, share, size
from lth.runs.records import CellResult
from lth.spec.schema import Spec
from lth.spec.step import Step
from lth.spec.variants import VARIANTS, place

DataName = Literal["validation", "test"]

# What follows where a control is as good as the ticket; the others only say that another network does as well.
IDLE = {
    "reinit": "the rewound weights do not matter here",
    "reinit_k": "which initialisation was trained to k does not matter here",
    "shuffled_mask": "which weights of a layer are kept does not matter here",
    "random_mask": "neither which weights are kept nor how many in each layer matters here",
    "shuffled_mask_init": "neither the rewound weights nor which weights of a layer are kept matter here",
    "random_mask_init": "neither the rewound weights nor which weights are kept matter here",
    "signs": "of the rewound weights the magnitudes do not matter here",
    "other_seed": "the mask need not come from the weights' own seed here",
    "inverted": "the ranking inside a layer does not matter here",
}


@dataclass(frozen=True)
class Comparison:
    """A ticket minus one of its controls over `n` seeds that have both; accuracies are fractions.

    `data` is "validation" (the grid's seeds) or "test" (fresh seeds, only at the candidate). `low` and `high` are
    the two-sided 95 % interval of the difference by `method`, not corrected for the number of controls; one seed has
    none. `early_stop` compares on the grid's seeds. `sentence` says what follows.
    """

    control: str
    sparsity: float
    rewind: Step
    data: DataName
    n: int
    ticket: float
    value: float
    difference: float
    low: float | None
    high: float | None
    method: Method
    early_stop: EarlyStop | None
    sentence: str


def compare_controls(
    spec: Spec, found: Index, levels: tuple[float, ...], candidate: tuple[float, Step], *, test: bool
) -> tuple[Comparison, ...]:
    """Returns each control's comparisons: with `test` the candidate on fresh seeds, then validation at `levels`."""
    sparsity, rewind = candidate
    made: list[Comparison | None] = []
    for control in spec.grid.controls:
        if place(spec, control, sparsity, rewind)[0] != control and "reinit" in spec.grid.controls:
            continue  # trained to k = 0 a reinitialisation is just that
        if test:
            made.append(_compare(spec, found, control, sparsity, rewind, "test"))
        made += [_compare(spec, found, control, level, rewind, "validation") for level in levels]
    return tuple(one for one in made if one is not None)


def _compare(
    spec: Spec, found: Index, control: str, sparsity: float, rewind: Step, data: DataName
) -> Comparison | None:
    """The comparison over the seeds that have both networks; None where there are none."""
    seeds = spec.confirmation_seeds if data == "test" else spec.seeds
    pairs = [(found.get(None, rewind, sparsity, seed), found.get(control, rewind, sparsity, seed)) for seed in seeds]
    both = [(ticket, other) for ticket, other in pairs if ticket is not None and other is not None]
    if not both:
        return None
    tickets, others = [_accuracy(ticket, data) for ticket, _ in both], [_accuracy(other, data) for _, other in both]
    examples = min(ticket.test_examples if data == "test" else ticket.validation_examples for ticket, _ in both)
    gap = difference(tickets, others, 1 / examples)
    low, high = gap.interval() or (None, None)
    kind = "fresh seed" if data == "test" else "seed"
    interval = ", two-sided 95 % interval" if low is not None else ""
    where = f"at {share(sparsity)} sparsity, {data}, {count(gap.n, kind)}{interval}"
    text = f"{_words(control, gap, spec.select.tolerance)} ({where})."
    return Comparison(
        control=control,
        sparsity=sparsity,
        rewind=rewind,
        data=data,
        n=gap.n,
        ticket=mean(tickets),
        value=mean(others),
        difference=gap.mean,
        low=low,
        high=high,
        method=gap.method,
        early_stop=early_stop(spec, found, rewind, sparsity, control) if data == "validation" else None,
        sentence=text[0].upper() + text[1:],
    )


def _accuracy(result: CellResult, data: DataName) -> float:
    return result.test_top1 if data == "test" else result.validation_top1


def _words(control: str, gap: Difference, tolerance: float) -> str:
    """What the interval of ticket - control says; "as good" needs a lead surely below the tolerance."""
    name, interval = VARIANTS[control].words, gap.interval()
    if interval is None:
        return f"one seed puts the ticket {points(gap.mean)} from {name}, without an interval"
    low, high = interval
    gap_text = f"{points(gap.mean)} {brackets(interval)}"
    if low > 0:
        return f"the ticket is better than {name} by {size(gap.mean)} {brackets(interval)}"
    if high < 0:
        return f"{name} is better than the ticket: the difference is {gap_text}"
    if high < tolerance:
        why = f": {IDLE[control]}" if control in IDLE else ""
        return f"{name} is as good as the ticket within {size(tolerance)}{why}; the difference is {gap_text}"
    return f"no difference from {name} is shown, nor excluded: {gap_text}"
