"""One flat row a network, and no test accuracy but of those that may be shown."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

from results.made import BROKEN, changed, fresh, gathered, level_with, made_grid, made_spec

from lth.results.select import select_winner
from lth.results.tables import PLAIN, TEST, rows, write_csv, write_json
from lth.runs.records import Results
from lth.spec.step import Step

FLAT = level_with(lambda sparsity, rewind: 0.0)


def test_one_row_a_network_dense_first_all_with_the_same_snake_case_columns() -> None:
    found = rows(
        changed(made_grid(made_spec(), FLAT), "s0.5-r0-seed0", layer_densities={"fc1.weight": 0.4, "Fc2.weight": 0.6})
    )
    assert [row["id"] for row in found[:4]] == ["dense-seed0", "dense-seed1", "dense-seed2", "s0.5-r0-seed0"]
    assert len(found) == 3 + 18
    assert all(list(row) == list(found[0]) for row in found)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", column) for column in found[0])
    assert (found[3]["density_fc1_weight"], found[3]["density_fc2_weight"], found[0]["density_fc1_weight"]) == (
        0.4,
        0.6,
        None,
    )
    assert (found[3]["rewind"], found[0]["rewind"], found[3]["numerics_torch"]) == ("0", None, "planted")


def test_levels_and_thresholds_are_columns_and_the_test_accuracy_at_the_early_stop_is_test_data() -> None:
    assert {"level", "threshold"} <= set(PLAIN)
    assert {"early_stop_test_top1", "early_stop_test_step"} <= set(TEST)
    assert not set(PLAIN) & set(TEST)
    assert rows(changed(made_grid(made_spec(), FLAT), "s0.5-r0-seed0", level=3))[3]["level"] == 3


def test_no_test_column_before_selection_and_only_the_shown_after() -> None:
    spec = made_spec(select__confirm_seeds=2)
    results = gathered(fresh(spec, (0.9, Step()), 0.0), made_grid(spec, FLAT))
    assert not any("test" in column for column in rows(results)[0])
    shown = select_winner(spec, results).shown
    found = rows(results, shown)
    assert {row["id"] for row in found if row["test_top1"] is not None} == set(shown)
    assert all(row[column] is None for row in found for column in TEST if row["id"] not in shown)


def test_audit_and_collapse_are_words() -> None:
    results = changed(
        made_grid(made_spec(), FLAT), "s0.9-r0-seed0", audit=BROKEN, collapsed=("fc1.weight", "fc2.weight")
    )
    row = next(row for row in rows(results) if row["id"] == "s0.9-r0-seed0")
    assert (row["audit_passed"], row["audit_broken"], row["collapsed"]) == (
        False,
        "kept_equal_checkpoint",
        "fc1.weight, fc2.weight",
    )


def test_files_hold_every_value(tmp_path: Path) -> None:
    found = rows(made_grid(made_spec(), FLAT))
    write_csv(tmp_path / "results.csv", found)
    write_json(tmp_path / "results.json", found)
    assert json.loads((tmp_path / "results.json").read_text()) == found
    with (tmp_path / "results.csv").open(newline="") as file:
        back = list(csv.DictReader(file))
    assert [row["id"] for row in back] == [row["id"] for row in found]
    assert [float(row["validation_top1"]) for row in back] == [row["validation_top1"] for row in found]
    assert back[0]["sparsity"] == ""


def test_a_run_without_results_is_an_empty_table(tmp_path: Path) -> None:
    assert rows(Results()) == []
    write_csv(tmp_path / "empty.csv", [])
    assert (tmp_path / "empty.csv").read_text().strip() == ""
