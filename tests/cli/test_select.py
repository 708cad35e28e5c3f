"""`lth select` prints the verdict of the selected level with its tests, and what stands beside the ticket."""

from __future__ import annotations

import json
from pathlib import Path

from end_to_end.conftest import SPEC
from results.made import gathered, level_with, made_grid, network, wobble
from typer.testing import CliRunner

from lth.cli.app import app
from lth.grid.unit import Cell, Dense
from lth.runs.run import start_run
from lth.spec.load import load_spec
from lth.spec.step import Step


def finished(folder: Path, spec_file: Path) -> None:
    """A run of three seeds in which 80 % wins, 95 % is worse, and learning-rate rewinding is no better."""
    sets = ["seeds=[0, 1, 2]", "grid.arms=['lrr']", "select.confirm_seeds=0", "select.tolerance=0.01"]
    spec = load_spec(spec_file, [*sets, "grid.rewind=['0']"])
    run = start_run(folder, spec)
    grid = made_grid(spec, level_with(lambda sparsity, rewind: 0.05 if sparsity > 0.9 else 0.0))
    variants = [
        network(seed, (level, Step()), 0.97 - lost + wobble(seed, -1.0), control=name)
        for name, lost in (("reinit", 0.02), ("shuffled_mask", 0.02), ("random_mask", 0.03), ("lrr", 0.0))
        for level in spec.grid.sparsities
        for seed in spec.seeds
    ]
    for result in gathered(variants, grid).done.values():
        unit = (
            Dense(result.seed) if result.rewind is None else Cell(result.sparsity, Step(), result.seed, result.control)
        )
        run.publish(unit.folder, result)


def test_the_verdict_is_printed_with_its_tests(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(SPEC.format(epochs=4, launcher="local"))
    finished(tmp_path / "run", path)
    done = CliRunner().invoke(app, ["select", str(tmp_path / "run")], catch_exceptions=False)
    assert done.exit_code == 0
    said = " ".join(done.stdout.split())
    assert "(validation accuracy, mean over the grid's seeds; of 3 levels 2 winning, 1 worse)" in said
    assert "The winning ticket with 20 % of the prunable weights (28 % of all), rewound to 0, matches" in said
    assert "At 80 % sparsity, rewound to 0, the verdict is: winning. - Not worse than dense by more than" in said
    assert "(paired t, 3 seeds, one-sided at 5 %: fixed sequence from dense to sparse)" in said
    assert "- Better than reinit: +2.00 pp, lower bound +1." in said
    assert "one-sided at 2.5 %: both controls must be beaten; Holm over 3 levels)" in said
    assert "- Early stop 1,000 steps after its beginning, dense after 1,000: +0 steps [" in said
    assert "- No difference between learning-rate rewinding and rewinding is shown: " in said
    told = CliRunner().invoke(app, ["select", str(tmp_path / "run"), "--json"], catch_exceptions=False)
    assert json.loads(told.stdout)["level_verdict"] == "winning"
