"""Which cell is the winning ticket, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lth.results import sentence
from lth.results.arms import arms
from lth.results.axis import rewind_axis
from lth.results.compare import compare_controls
from lth.results.confirm import Confirmation, confirm
from lth.results.index import Index, index, progress
from lth.results.notes import about_networks, about_selection
from lth.results.selection import Selection, Verdict
from lth.results.statistics import mean, standard_error
from lth.results.verdict import verdicts
from lth.results.walk import Level, walks
from lth.runs.records import CellResult, Results
from lth.spec.schema import Spec
from lth.spec.step import Step

__all__ = ["Level", "Selection", "candidate", "neighbours", "select_winner", "walk"]


def walk(spec: Spec, results: Results) -> tuple[Level, ...]:
    """Returns every level of the grid, rewind points in order and each from dense to sparse, passed or not and why."""
    return walks(spec, index(spec, results))


def candidate(spec: Spec, results: Results) -> tuple[float, Step] | None:
    """Returns sparsity and rewind point of the sparsest level passed; None where none is, or the grid is not complete.

    Equal sparsities go to the earliest rewind point, the one with the fewest dense steps.
    """
    found = index(spec, results)
    if not progress(spec, found).complete:
        return None
    best = _sparsest(found, walks(spec, found))
    return (best.sparsity, best.rewind) if best else None


def neighbours(spec: Spec, sparsity: float) -> tuple[float, ...]:
    """Returns the next denser sparsity of the grid, itself, and the next sparser, as far as they exist."""
    levels = spec.grid.sparsities
    at = levels.index(sparsity)
    return levels[max(at - 1, 0) : at + 2]


def select_winner(spec: Spec, results: Results) -> Selection:
    """Returns the selection: its verdict, its sentence, and every number behind them.

    Verdicts: "incomplete" while the grid is; "none" where no level passed; "undecidable" where the tolerance is finer
    than twice the standard error of the validation accuracy; "candidate" from one seed; "not_confirmed" where
    fresh seeds are asked for and do not, or not yet, confirm it; else "matching".
    """
    found = index(spec, results)
    levels, state = walks(spec, found), progress(spec, found)
    remarks = about_networks(spec, found)
    if not state.complete:
        text = sentence.incomplete(state)
        return Selection("incomplete", text, spec.seeds, spec.select.tolerance, levels, notes=remarks)
    dense = [found.dense[seed] for seed in spec.seeds if seed in found.dense]
    decidable = _decidable(spec, dense)
    selection = Selection(
        verdict="none",
        sentence=sentence.none(spec, levels),
        seeds=spec.seeds,
        tolerance=spec.select.tolerance,
        levels=levels,
        verdicts=verdicts(spec, found, levels, decidable),
        candidates=tuple((step, _last_passed(levels, step)) for step in spec.grid.rewind),
        dense_validation_top1=mean([result.validation_top1 for result in dense]) if dense else None,
        arms=arms(spec, found),
        rewind_axis=rewind_axis(spec, found, levels),
        decidable_tolerance=decidable,
    )
    best = _sparsest(found, levels)
    if best is not None:
        selection = _selected(spec, found, selection, best)
        selection = replace(selection, sentence=sentence.chosen(spec, selection))
    return replace(selection, notes=(*about_selection(spec, found, selection), *remarks))


def _selected(spec: Spec, found: Index, selection: Selection, best: Level) -> Selection:
    """The selection of the cell at `best`, all but its sentence and notes."""
    sparsity, step = best.sparsity, best.rewind
    tickets = [found.cells[None, step, sparsity, seed] for seed in spec.seeds]
    confirmation = confirm(spec, found, sparsity, step)
    fresh = confirmation.stage == "confirmation" and confirmation.difference is not None
    return replace(
        selection,
        verdict=_verdict(spec, selection, confirmation),
        sparsity=sparsity,
        rewind=step,
        iteration=spec.level(sparsity),
        level=best,
        density_prunable=mean([ticket.density_prunable for ticket in tickets]),
        density_all=mean([ticket.density_all for ticket in tickets]),
        density_effective=mean([ticket.density_effective for ticket in tickets]),
        confirmation=confirmation,
        controls=compare_controls(spec, found, neighbours(spec, sparsity), (sparsity, step), test=fresh),
        shown=_shown(spec, found, confirmation, sparsity, step),
    )


def _verdict(spec: Spec, selection: Selection, confirmation: Confirmation) -> Verdict:
    if selection.decidable_tolerance is None or spec.select.tolerance < selection.decidable_tolerance:
        return "undecidable"
    if len(spec.seeds) == 1:
        return "candidate"
    return "matching" if confirmation.stage == "grid" or confirmation.confirmed else "not_confirmed"


def _sparsest(found: Index, levels: Sequence[Level]) -> Level | None:
    passed = [level for level in levels if level.passed]
    steps = next((result.steps_per_epoch for result in found.dense.values()), 1)
    return min(passed, key=lambda level: (-level.sparsity, level.rewind.index(steps)), default=None)


def _last_passed(levels: Sequence[Level], step: Step) -> float | None:
    return max((level.sparsity for level in levels if level.passed and level.rewind == step), default=None)


def _decidable(spec: Spec, dense: Sequence[CellResult]) -> float | None:
    """Twice the standard error of the dense validation accuracy over all distinct examples behind it."""
    if not dense:
        return None
    folds = spec.data.validation.folds
    sets = {result.seed % folds if folds else 0: result.validation_examples for result in dense}
    return 2 * standard_error(mean([result.validation_top1 for result in dense]), sum(sets.values()))


def _shown(spec: Spec, found: Index, confirmation: Confirmation, sparsity: float, step: Step) -> tuple[str, ...]:
    """The ids of the networks whose test accuracies stand in the selection."""
    controls = spec.grid.controls if confirmation.stage == "confirmation" else ()
    cells = [found.get(kind, step, sparsity, seed) for kind in (None, *controls) for seed in confirmation.seeds]
    dense = [found.dense[seed] for seed in confirmation.seeds]
    return tuple(result.id for result in (*dense, *cells) if result is not None)
