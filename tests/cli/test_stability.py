"""`lth stability` on runs that were really trained: table, JSON, bisection that goes on, errors that say what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from threading import Event

import pytest
from analysis.made_runs import CHAIN, DOCUMENT, made
from typer.testing import CliRunner

import lth
from lth.analysis.bisection import Probe
from lth.analysis.stability import stability as analyse
from lth.cli.app import app
from lth.cli.probing import Prober
from lth.errors import LthError, RunError
from lth.spec.step import Step


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(DOCUMENT, tmp_path_factory.mktemp("finished")).path


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of the run, to work on."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def stability(*words: object) -> str:
    done = CliRunner().invoke(app, ["stability", *map(str, words)])
    assert done.exit_code == 0, done.output or done.exception
    return done.stdout


def fails(*words: object) -> Exception:
    done = CliRunner().invoke(app, ["stability", *map(str, words)])
    assert isinstance(done.exception, LthError), done.output
    return done.exception


def test_the_table_has_a_row_for_each_way_and_a_sentence_for_each_verdict(run: Path) -> None:
    assert lth.open_run(run).describe()["test_first_shown"] is None
    text = stability(run, "--points", 3)
    assert lth.open_run(run).describe()["test_first_shown"] is not None
    lines = text.splitlines()
    assert lines[1].split() == [
        *("network", "rewind", "to", "seeds", "batch", "norm", "train", "test", "95", "%", "interval"),
        *("equal", "signs", "stable"),
    ]
    assert [line.split()[:4] for line in lines[2:6]] == [
        ["dense", moment, "2", way] for moment in ("0", "1ep") for way in ("interpolated", "re-estimated")
    ]
    assert all(line.startswith("sparsity 80 %") for line in lines[6:10])
    assert text.count(" is stable ") == 4
    assert "Masks of two seeds" in text
    one = stability(run, "--points", 3, "--bn", "re-estimated")
    assert "interpolated" not in one
    assert one.count(" is stable ") == 2


def test_json_has_what_the_table_has(run: Path) -> None:
    found = json.loads(stability(run, "--points", 3, "--json"))
    assert found["points"] == 3
    assert len(found["rows"]) == 8
    row = found["rows"][0]
    assert row["rewind"] == "0"
    assert set(row["instability"]) == {"train", "validation", "test"}
    assert row["stable"] == all(row["instability"][part]["mean"] < 0.02 for part in ("train", "test"))
    assert {one["way"] for one in found["earliest_stable"]} == {"interpolated", "re-estimated"}


def test_bisection_trains_what_it_needs_and_goes_on_where_it_ended(run: Path) -> None:
    words = (run, "--bisect", "--sparsity", 0.8, "--seed", 1, "--up-to", "1ep3it", "--points", 3, "--json")
    before = set(lth.open_run(run).results().done)
    found = json.loads(stability(*words))
    steps = {probe["step"] for probe in found["probes"]}
    assert found["probes"][0]["moment"] == "1ep3it"
    made_now = set(lth.open_run(run).results().done) - before
    tried = {probe["moment"] for probe in found["probes"]} - {"0", "1ep"}  # whose networks were there
    assert made_now == {f"s0.8-r{moment}-seed1{end}" for moment in tried for end in ("", "-copy")}
    for probe in found["probes"]:
        assert probe["stable"] == (probe["instability"] < 0.02)
    stable = [probe["step"] for probe in found["probes"] if probe["stable"]]
    assert found["earliest"] == (str(Step(0, min(stable)).canonical(7)) if stable else None)
    files = {path: path.stat().st_mtime_ns for path in run.rglob("*.safetensors")}
    assert json.loads(stability(*words)) == found
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*.safetensors")} == files
    assert lth.open_run(run).spec == lth.Spec.model_validate(DOCUMENT)
    assert len(steps) == len(found["probes"])


def test_bisection_prints_its_path_and_its_assumption(run: Path) -> None:
    lines = stability(run, "--bisect", "--up-to", "1ep", "--resolution", "4it", "--points", 2).splitlines()
    assert lines[0].startswith("rewind to 1ep (step 7): instability ")
    assert lines[-2].startswith(("Earliest stable rewind point: ", "Not stable at the latest"))
    assert lines[-1].startswith("Bisection assumes that instability falls")


def test_a_probe_is_the_worst_of_both_parts_and_ways(run: Path) -> None:
    here = lth.open_run(run)
    prober = Prober(here, 0.8, 0, 3, ("interpolated", "re-estimated"), Event())
    found = prober.probe(7)
    (one,) = [one.barrier for one in analyse(here, points=3).measured if one.pair.second.id == "s0.8-r1ep-seed0-copy"]
    worst = max(one.instability(way, part) for way in one.lines for part in ("train", "test"))
    assert found == Probe(7, Step(1), worst)


def test_a_stopped_bisection_is_told_from_a_failed_one(run: Path) -> None:
    stop = Event()
    prober = Prober(lth.open_run(run), 0.8, 0, 3, ("interpolated",), stop)
    stop.set()
    with pytest.raises(KeyboardInterrupt):
        prober.probe(3)
    stop.clear()
    claims = lth.open_run(run).claims()
    with claims:
        assert claims.take("dense-seed0-r4it")
        with pytest.raises(RunError, match="another worker is at dense-seed0-r4it"):
            prober.probe(4)


def test_levels_of_iterative_pruning(tmp_path: Path) -> None:
    path = made(CHAIN, tmp_path, seeds=[0], grid={"levels": 2, "rewind": ["1ep"]}).path
    text = stability(path, "--points", 2)
    assert text.startswith("Levels n and n + 1 of iterative pruning\n")
    assert "level 0 to 1 (50 % left)" in text
    assert "level 1 to 2 (25 % left)" in text
    probes = json.loads(stability(path, "--bisect", "--up-to", "3it", "--points", 2, "--json"))["probes"]
    assert probes[0]["moment"] == "3it"
    assert "l02-r3it-seed0-copy" in lth.open_run(path).results().done
    assert "l01-r3it-seed0-copy" not in lth.open_run(path).results().done


def test_wrong_wishes_are_refused_with_a_cure(run: Path, tmp_path: Path) -> None:
    assert "would be ignored without --bisect" in str(fails(run, "--up-to", "1ep"))
    assert "not before the end of training" in str(fails(run, "--bisect", "--up-to", "3ep"))
    assert "write a moment of training" in str(fails(run, "--bisect", "--up-to", "soon"))
    assert "dense network of the seed is not trained" in str(fails(run, "--bisect", "--seed", 7))
    assert "not a run directory" in str(fails(tmp_path))
    for path in run.glob("cells/*-copy"):
        shutil.rmtree(path)
    message = str(fails(run))
    assert 'controls = ["copy"]' in message
    assert 'controls_at = "all"' in message
