"""`lth plan --power`: where its spread is from, what it promises, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from end_to_end.conftest import SPEC
from results.made import level_with, made_grid, wobble
from typer.testing import CliRunner

from lth.cli.app import app
from lth.cli.power import points, power_table, spread_of
from lth.errors import LthError
from lth.grid.unit import Cell, Dense
from lth.results.power import power
from lth.results.spread import Spread
from lth.runs.run import start_run
from lth.spec.load import load_spec


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the path of small.toml, in the folder where the commands run."""
    path = tmp_path / "small.toml"
    path.write_text(SPEC.format(epochs=4, launcher="local"))
    monkeypatch.chdir(tmp_path)
    return path


def finished(folder: Path, small: Path) -> None:
    spec = load_spec(small, ["seeds=[0, 1, 2]"])
    run = start_run(folder, spec)
    for result in made_grid(spec, level_with(lambda sparsity, rewind: 0.0)).done.values():
        at = result.rewind
        unit = Dense(result.seed) if at is None else Cell(result.sparsity, at, result.seed)
        run.publish(unit.folder, result)


def printed(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_plan_is_that_of_a_dry_run_and_power_adds_its_table(small: Path) -> None:
    dry = printed("run", "small.toml", "--dry-run")
    assert printed("plan", "small.toml") == dry
    told = printed("plan", "small.toml", "--power", "2pp", "--sd", "3pp", "--correlation", "0.5")
    assert told.startswith(dry)
    assert "3 pp, those of ticket and dense with correlation 0.50\n(as given)." in told
    row = re.search(r"^ +5 +([\d.]+) % +([\d.]+) %$", told, re.MULTILINE)
    assert row is not None
    expected = (power(5, 0.1, 0.03, 0.5, 0.025), power(5, 0.02, 0.03, 0.5, 0.025))
    assert [float(one) for one in row.groups()] == pytest.approx([100 * one for one in expected], abs=0.051)


def test_json_is_one_object_with_the_plan_in_it(small: Path) -> None:
    value = json.loads(printed("plan", "small.toml", "--power", "2pp", "--sd", "3pp", "--chance", "0.9", "--json"))
    found = value["power"]
    assert value["units"][0] == "dense-seed0"
    assert (found["sd"], found["correlation"], found["difference"], found["tolerance"]) == (0.03, 0.0, 0.02, 0.1)
    assert found["alpha"] == pytest.approx(0.025)
    for name in ("match", "difference"):
        least = found["needs"][name]
        enough = {row["seeds"]: row[name] >= 0.9 for row in found["rows"]}
        assert enough[least]
        assert not any(good for seeds, good in enough.items() if seeds < least)


def test_the_spread_is_measured_in_the_run_directory_where_it_has_results(small: Path, tmp_path: Path) -> None:
    finished(tmp_path / "runs" / "small", small)
    spec = load_spec(small)
    found = spread_of(spec, "small.toml", None, None, None)
    deviation = (sum(wobble(seed) ** 2 for seed in range(3)) / 2) ** 0.5  # wobble sums to 0 over three seeds
    assert found.sd == pytest.approx(deviation * ((1 + 1.5**2) / 2) ** 0.5)
    assert found.source.startswith("measured in runs/small: 3 seeds, 6 levels, validation")
    assert spread_of(spec, "small.toml", None, None, 0.3).correlation == 0.3
    assert spread_of(spec, "small.toml", None, "1pp", None) == Spread(0.01, 0.0, "as given, independence assumed")


def test_published_numbers_are_named_and_without_any_the_command_to_run_first(small: Path) -> None:
    known = load_spec(small, ['model.name="resnet_20"', 'data.source="synthetic"'])
    assert "ResNet-20 on CIFAR-10" in spread_of(known, "small.toml", None, None, None).source
    with pytest.raises(
        LthError, match=r"varies over seeds is not known.*--sd 0.3pp.*lth run small.toml --into"
    ) as said:
        spread_of(load_spec(small), "small.toml", Path("runs/else"), None, None)
    sets = re.findall(r"--set '([^']+)'", str(said.value))
    assert load_spec(small, sets).seeds == (0, 1, 2)
    iterative = ["prune.method='iterative'", "prune.rate=0.2", "grid={levels=3}"]
    with pytest.raises(LthError, match=r"--set 'grid.levels=1'"):
        spread_of(load_spec(small, iterative), "small.toml", None, None, None)


@pytest.mark.parametrize("text", ["0.5", "0.5%", "pp", "-1pp", "0pp", "100pp", "1e-3pp"])
def test_points_are_written_as_such(text: str) -> None:
    with pytest.raises(LthError, match=r"--power: not a number of percentage points"):
        points(text, "--power")
    assert points(" 0.25 pp", "--power") == 0.0025


def test_what_makes_no_sense_is_refused(small: Path) -> None:
    spec = load_spec(small)
    with pytest.raises(LthError, match="--correlation"):
        spread_of(spec, "small.toml", None, "1pp", 1.0)
    with pytest.raises(LthError, match="--chance"):
        power_table(spec, "1pp", Spread(0.01, 0.0, "given"), 1.0)
    with pytest.raises(LthError, match=r"select\.tolerance"):
        power_table(load_spec(small, ["select.tolerance=0.0"]), "1pp", Spread(0.01, 0.0, "given"), 0.8)
    done = CliRunner().invoke(app, ["plan", "small.toml", "--sd", "1pp"])
    assert isinstance(done.exception, LthError)
    assert "--sd: without --power it has no effect" in str(done.exception)
