"""`lth run --dry-run` and `lth status` on a run that was really trained: its facts, its speed, its predicted time."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from end_to_end.conftest import SPEC
from typer.testing import CliRunner

import lth
from lth.cli.app import app
from lth.cli.tables import duration, show_plan
from lth.training.accounting import PARTS


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small.toml and its finished run in runs/small."""
    folder = tmp_path_factory.mktemp("plan")
    (folder / "small.toml").write_text(SPEC.format(epochs=4, launcher="local"))
    few = ["grid.controls=[]", "select.confirm_seeds=0", "seeds=[0]"]
    lth.run(lth.load_spec(folder / "small.toml", few), folder / "runs" / "small")
    return folder


@pytest.fixture(autouse=True)
def _here(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)


def printed(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_facts_say_what_dense_and_tickets_took(workplace: Path) -> None:
    facts = json.loads((workplace / "runs" / "small" / "facts.json").read_text())
    assert facts["train_examples"] == 450
    assert {kind.partition("-")[0] for kind in facts["measured"]} == {"dense", "tickets"}
    for kind, found in facts["measured"].items():
        assert 0 < found["seconds_per_step"] < 1
        assert 0 <= found["data_share"] < 1
        assert found["numerics"]["threads"] == 1
        copies = 2 if kind == "dense" else 3  # weights, momentum, and a ticket's mask
        assert found["state_bytes"] == copies * 4 * facts["parameters"]
    assert facts["measured"]["dense"]["unit"] == "dense-seed0"


def test_every_result_has_its_speed_and_every_row_its_account(workplace: Path) -> None:
    run = lth.open_run(workplace / "runs" / "small")
    done = run.results().done
    assert len(done) == 7
    for result in done.values():
        rows = run.metrics(result)
        assert len(rows) in (3, 4)
        assert (result.examples_per_second or 0) > 0
        assert 0 < (result.data_share or 0) < 1
        for row in rows:
            assert {"examples_per_second", "tickets_together", "peak_memory_bytes"} <= row.keys()
            assert sum(row[f"{part}_share"] or 0 for part in PARTS) <= 1


def test_the_prediction_is_that_of_the_run_that_was_measured(workplace: Path) -> None:
    few = ["grid.controls=[]", "select.confirm_seeds=0", "seeds=[0]"]
    spec = lth.load_spec(workplace / "small.toml", few)
    run = lth.open_run(workplace / "runs" / "small")
    found = lth.plan(spec, facts=run.facts())
    assert found.time is not None
    took = sum(result.seconds for result in run.results().done.values())
    assert took / 5 < found.time.serial_seconds < 10 * took, "not in milliseconds, not for each of 32 examples"


def test_dry_run_predicts_where_there_are_facts(workplace: Path) -> None:
    text = " ".join(printed("run", "small.toml", "--dry-run").split())  # a long processor's name wraps the line
    assert re.search(r"Predicted from what was measured in runs/small on .* in lockstep\)", text)
    assert re.search(r"with 1 worker +\S+ (s|min), the first \S+ s of it dense networks alone", text)
    answer = json.loads(printed("run", "small.toml", "--dry-run", "--json"))
    assert answer["time"]["workers"] == 1, "the launcher local is one worker"
    two = json.loads(printed("run", "small.toml", "--dry-run", "--json", "--set", "execute.launcher=processes"))
    assert two["time"]["workers"] == 2
    assert two["time"]["longest_chain_seconds"] <= two["time"]["seconds"] < answer["time"]["seconds"]


def test_dry_run_says_what_to_run_first_and_that_works(capsys: pytest.CaptureFixture[str]) -> None:
    spec = lth.load_spec("small.toml")
    show_plan(spec, False, Path("elsewhere"))
    said = capsys.readouterr().out
    assert "The wall time is not known yet" in said
    assert "runs/small-measured" in said
    sets = re.findall(r"--set '([^']*)'", said)
    run = lth.run(lth.load_spec("small.toml", sets), "runs/small-measured")
    assert set(run.facts()["measured"]) == {"dense", "tickets-3"}
    show_plan(spec, True, Path("runs/small-measured"))
    assert json.loads(capsys.readouterr().out)["time"]["serial_seconds"] > 0


def test_facts_of_other_data_are_named_and_not_used(capsys: pytest.CaptureFixture[str]) -> None:
    show_plan(lth.load_spec("small.toml", ["data.batch_size=30"]), False)
    said = " ".join(capsys.readouterr().out.split())
    assert "(the facts in runs/small are not of this experiment: steps an epoch: 14 there, 15 here)" in said


def test_status_shows_the_speed(workplace: Path) -> None:
    said = " ".join(printed("status", "runs/small").split())
    assert re.search(r"median [\d,]+ examples/s a network; data took at most \d+\.\d % of a step \(\S+-seed0\)", said)


def test_results_of_earlier_versions_have_no_speed(workplace: Path) -> None:
    path = next((workplace / "runs" / "small").glob("cells/*/result.json"))
    old: dict[str, Any] = json.loads(path.read_text())
    for key in ("examples_per_second", "data_share"):
        del old[key]
    result = lth.CellResult.model_validate(old)
    assert (result.examples_per_second, result.data_share) == (None, None)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.01234, "0.0123 s"), (119, "119 s"), (120, "2 min"), (7300, "2.03 h"), (2e6, "23.1 days")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
