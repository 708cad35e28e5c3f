"""What a reader should know about the results that were compared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from lth.results.confirm import Confirmation
from lth.results.index import Index
from lth.results.selection import Selection
from lth.results.statistics import seeds_to_show, standard_error
from lth.results.walk import Level
from lth.results.wording import brackets, count, listed, points, rounded_up
from lth.runs.records import CellResult
from lth.spec.schema import Spec


def about_networks(spec: Spec, found: Index) -> tuple[str, ...]:
    """Returns remarks on the compared networks: mixed numerics, failed audits, collapsed layers, failures."""
    used = _compared(spec, found)
    return (*_numerics(used), *_unsound(used), *_failures(found))


def about_selection(spec: Spec, found: Index, selection: Selection) -> tuple[str, ...]:
    """Returns remarks on how far the selection's numbers carry."""
    return tuple(_selection(spec, found, selection))


def _compared(spec: Spec, found: Index) -> list[CellResult]:
    seeds = {*spec.seeds, *spec.confirmation_seeds}
    moments, levels = set(spec.grid.rewind), set(spec.grid.sparsities)
    dense = [result for seed, result in found.dense.items() if seed in seeds]
    cells = [
        result
        for (_, step, sparsity, seed), result in found.cells.items()
        if seed in seeds and step in moments and sparsity in levels
    ]
    return dense + cells


def _numerics(used: Sequence[CellResult]) -> Iterator[str]:
    classes = {tuple(sorted(result.numerics.items())): result.numerics for result in used}
    if len(classes) > 1:
        keys = sorted({key for one in classes.values() for key in one})
        values = {key: sorted({str(one.get(key, "unknown")) for one in classes.values()}) for key in keys}
        differing = "; ".join(f"{key}: {listed(found)}" for key, found in values.items() if len(found) > 1)
        what = f"Networks of {len(classes)} numerics classes are compared"
        yield f"{what} ({differing}); equal bits are promised within one class."
    resumed = sorted(result.id for result in used if result.resumed_in_other_numerics)
    if resumed:
        yield f"Resumed in another numerics class: {_few(resumed)}."


def _unsound(used: Sequence[CellResult]) -> Iterator[str]:
    broken = sorted(result.id for result in used if not result.audit.passed)
    if broken:
        yield f"The audit of {count(len(broken), 'network')} did not pass, and such a cell cannot win: {_few(broken)}."
    collapsed = sorted(result.id for result in used if result.collapsed and result.control is None)
    if collapsed:
        yield f"{count(len(collapsed), 'ticket').capitalize()} with a collapsed layer cannot win: {_few(collapsed)}."


def _failures(found: Index) -> Iterator[str]:
    failed = sorted(found.results.failed.keys() - found.results.done.keys())
    if failed:
        yield f"{count(len(failed), 'unit')} failed, and a cell with a failed seed cannot win: {_few(failed)}."


def _few(names: Sequence[str]) -> str:
    return listed(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _selection(spec: Spec, found: Index, selection: Selection) -> Iterator[str]:
    level, confirmation, tolerance = selection.level, selection.confirmation, spec.select.tolerance
    decidable = selection.decidable_tolerance or 0.0
    if level is None and decidable > tolerance:
        yield f"The validation examples cannot decide a tolerance below {rounded_up(decidable)}."
    if level is None:
        yield from _too_few(spec, selection)
    if level is not None and level.reason:
        yield f"At the selected level {level.reason}."
    if confirmation is None or confirmation.difference is None:
        return
    if confirmation.stage == "grid":
        what = "The test accuracies are those of the seeds that selected the ticket, which flatters it"
        yield f"{what}; select.confirm_seeds asks for fresh ones."
    elif selection.verdict in ("candidate", "undecidable"):
        yield _fresh(confirmation)
    yield from _test_set(found, confirmation, tolerance)


def _too_few(spec: Spec, selection: Selection) -> Iterator[str]:
    """A remark where no walk passed its first level, but an interval there reaches above -tolerance."""
    tolerance = spec.select.tolerance
    first = [level for level in selection.levels if level.sparsity == spec.grid.sparsities[0]]
    open_ = [level for level in first if level.high is not None and level.high > -tolerance >= (level.lower or 0.0)]
    if not open_:
        return
    yield "No match is shown, nor excluded: intervals of the densest tickets reach above the tolerance."
    wanted = sorted(_seeds_to_pass(level, tolerance) for level in open_)[len(open_) // 2]
    if math.isfinite(wanted):
        yield f"At the spread seen, a ticket as good as dense passes a level in one of two runs from {wanted} seeds on."


def _seeds_to_pass(level: Level, tolerance: float) -> float:
    """The number of seeds, more than now, at which a ticket as good as dense passes, if the spread stays."""
    assert level.gap is not None
    assert level.gap.error is not None
    return seeds_to_show(tolerance, level.gap.error * math.sqrt(level.n), level.alpha, level.n + 1) or math.inf


def _fresh(confirmation: Confirmation) -> str:
    assert confirmation.difference is not None
    gap, low, high = points(confirmation.difference), confirmation.low, confirmation.high
    interval = "" if low is None or high is None else " " + brackets((low, high))
    said = "confirm" if confirmation.confirmed else "do not confirm"
    seeds = count(len(confirmation.seeds), "fresh seed")
    return f"{seeds} {said} the candidate on test: {gap}{interval} from dense."


def _test_set(found: Index, confirmation: Confirmation, tolerance: float) -> Iterator[str]:
    """A remark where the test set is too small to decide the tolerance."""
    examples = min(found.dense[seed].test_examples for seed in confirmation.seeds)
    decidable = 2 * standard_error(confirmation.dense or 0.0, examples)
    if tolerance < decidable:
        what = f"The test set of {examples} examples resolves {rounded_up(decidable)}, twice its standard error"
        yield f"{what}: more than the tolerance."
