"""The tables of the report: one row a group of seeds on the page, one row a network in `results.csv`."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from lth.report.summary import Estimate, Group, Groups, validation
from lth.results.statistics import Difference
from lth.runs.records import CellResult, Results
from lth.spec.schema import Spec
from lth.spec.step import Step

COLUMNS = (
    "id", "kind", "control", "sparsity", "rewind", "seed", "order", "density_prunable", "density_all", "density_effective",
    "validation_top1", "validation_loss", "train_top1", "train_loss", "early_stop_step", "early_stop_validation_top1",
    "early_stop_validation_loss", "first_step", "last_step", "epochs", "seconds", "parameters", "prunable",
    "train_examples", "validation_examples", "test_examples", "resumed_in_other_numerics", "weights_sha256", "key", "dataset_id",
    "host", "finished_at",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A line of the page's table; `test` is None where the test accuracy may not be shown."""

    group: Group
    name: str
    stage: str
    effective: Estimate
    validation: Estimate
    to_dense: Difference | None
    test: Estimate | None
    winner: bool
    remarks: str


def shows_test(result: CellResult, winner: tuple[float, Step] | None, fresh: frozenset[int]) -> bool:
    """Returns whether this network's test accuracy may be shown once a winner has been looked for:
    dense, the selected ticket, and everything that confirms it on the `fresh` seeds."""
    if result.kind == "dense" or result.seed in fresh:
        return True
    return result.control is None and winner is not None and (result.sparsity, result.rewind) == winner


def rows(spec: Spec, groups: Groups, winner: tuple[float, Step] | None, *, selected: bool) -> list[Row]:
    """Returns a row for every group; test accuracies only where `selected`, a winner having been looked for."""
    fresh = frozenset(spec.confirmation_seeds)
    return [_row(groups, group, winner, fresh, selected=selected) for group in groups.all()]


def _row(
    groups: Groups, group: Group, winner: tuple[float, Step] | None, fresh: frozenset[int], *, selected: bool
) -> Row:
    open_test = selected and all(shows_test(result, winner, fresh) for result in group.results)
    return Row(
        group=group,
        name="dense" if group.dense else (group.control or "ticket").replace("_", " "),
        stage=group.stage,
        effective=group.over(lambda result: result.density_effective),
        validation=group.over(validation),
        to_dense=None if group.dense else groups.to_dense(group),
        test=group.over(lambda result: result.test_top1) if open_test else None,
        winner=not group.dense and group.control is None and (group.sparsity, group.rewind) == winner,
        remarks=_remarks(group),
    )


def _remarks(group: Group) -> str:
    count = len(group.results)
    found = {
        "collapsed": sum(bool(result.collapsed) for result in group.results),
        "audit failed": sum(not result.audit.passed for result in group.results),
        "resumed on other hardware": sum(result.resumed_in_other_numerics for result in group.results),
    }
    return ", ".join(
        name if number == count else f"{name} ({number} of {count})" for name, number in found.items() if number
    )


def results_csv(spec: Spec, results: Results, winner: tuple[float, Step] | None, *, selected: bool) -> str:
    """Returns `results.csv`: one row a trained network; test columns are empty where they may not be shown."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, "collapsed", "audit_passed", "dense_validation_top1", "test_top1", "test_loss"])
    dense = {result.seed: result for result in results.done.values() if result.kind == "dense"}
    fresh = frozenset(spec.confirmation_seeds)
    for result in sorted(results.done.values(), key=lambda result: (result.kind != "dense", result.seed, result.id)):
        same = dense.get(result.seed)
        shown = selected and shows_test(result, winner, fresh)
        test = [result.test_top1, result.test_loss] if shown else ["", ""]
        extra = [" ".join(result.collapsed), result.audit.passed, same.validation_top1 if same else "", *test]
        writer.writerow([_cell(value) for value in [*(getattr(result, name) for name in COLUMNS), *extra]])
    return text.getvalue()


def _cell(value: object) -> object:
    """Booleans as true and false; a text that a spreadsheet would take for a formula is quoted."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or isinstance(value, int | float):
        return value
    text = str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
