"""The answer of a selection in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from lth.results.confirm import Confirmation
from lth.results.index import Progress
from lth.results.selection import Selection
from lth.results.walk import Level
from lth.results.wording import brackets, count, named_seeds, points, rounded_up, share, size
from lth.spec.schema import Spec


def incomplete(progress: Progress) -> str:
    """Returns how far the grid has come."""
    text = f"The grid is not complete: {progress.done} of {count(progress.total, 'network')} are done"
    if progress.failed:
        text += f", {progress.failed} failed"
    if progress.dense_failed:
        text += f"; without the dense network of {named_seeds(progress.dense_failed)} its tickets cannot be made"
    return text + "."


def none(spec: Spec, levels: Sequence[Level]) -> str:
    """Returns that no cell matches, with the best of the densest cells."""
    densest = [level for level in levels if level.sparsity == spec.grid.sparsities[0] and level.difference is not None]
    text = f"There is no matching ticket: no cell matches the dense network within {size(spec.select.tolerance)}"
    if densest:
        best = max(densest, key=lambda level: level.difference or 0.0)
        text += f"; the best of the densest, rewound to {best.rewind}, lies {_gap(best)} from it on validation"
    return f"{text} ({count(len(spec.seeds), 'seed')}; {recipe(spec)})."


def chosen(spec: Spec, found: Selection) -> str:
    """Returns the answer where a cell is selected: what it is, how far from dense, and what that is worth."""
    level, confirmation = found.level, found.confirmation
    assert level is not None
    assert confirmation is not None
    limit, kept, of_all = size(spec.select.tolerance), share(1 - level.sparsity), share(found.density_all or 0.0)
    name = (
        "the ticket"
        if found.verdict != "matching"
        else "the winning ticket"
        if found.winning
        else "the matching ticket"
    )
    ticket = f"{name} with {kept} of the prunable weights ({of_all} of all), rewound to {level.rewind},"
    validation = f"on validation it lies {_gap(level)} from dense over {count(level.n, 'seed')}"
    test = validation
    if confirmation.difference is not None:
        fresh = count(len(confirmation.seeds), "fresh seed")
        test = f"on test it lies {_gap(confirmation)} from dense over {fresh}"
    match found.verdict:
        case "matching":
            numbers = test if confirmation.stage == "confirmation" else validation
            text = f"{ticket} matches the dense network within {limit}: {numbers}"
        case "candidate":
            text = f"one seed names a candidate, not a winner: {ticket} tolerance {limit}; {validation}"
        case "undecidable":
            enough = rounded_up(found.decidable_tolerance or 0.0)
            text = f"a tolerance of {limit} cannot be decided with so few validation examples, {enough} or more could; "
            text += f"the candidate is {ticket} and {validation}"
        case _ if confirmation.confirmed is None:
            text = f"the candidate is not confirmed yet ({confirmation.reason}): it is {ticket} tolerance {limit}; "
            text += validation
        case _:
            text = f"{ticket} is not confirmed within {limit}: {confirmation.reason}; {test}"
    return f"{text[0].upper()}{text[1:]} ({recipe(spec)})."


def recipe(spec: Spec) -> str:
    """Returns the learning rate and the epochs, without which a ticket says little (Liu 2019, Ma 2021)."""
    train = spec.train
    length = count(train.epochs, "epoch") if train.epochs else count(train.iterations or 0, "iteration")
    return f"{train.optimizer.name}, learning rate {train.optimizer.lr:g}, {length}"


def _gap(one: Level | Confirmation) -> str:
    """ "−0.12 pp [−0.40, +0.16] (95 % interval)", or the difference alone where there is one seed."""
    assert one.difference is not None
    if one.low is None or one.high is None:
        return f"{points(one.difference)} (no interval)"
    return f"{points(one.difference)} {brackets((one.low, one.high))} (95 % interval)"
