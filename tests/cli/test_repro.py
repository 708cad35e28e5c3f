"""`lth repro`: the list, the specs, and a run held against its bands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from results.paper_run import paper_run, paper_spec, written_run
from typer.testing import CliRunner

from lth.cli.app import app
from lth.results.forged import forged
from lth.runs.run import open_run
from lth.spec import published
from lth.spec.load import parse_spec
from lth.spec.published import PUBLISHED, published_text

TINY = """
name = "lenet-fc-2019-small"
data = { source = "digits", batch_size = 60 }
model = { name = "lenet_300_100" }
train = { iterations = 30, evaluate_every = "10it", guard_epochs = 0, optimizer = { name = "adam", lr = 0.0012 } }
prune = { method = "iterative", rate = 0.2 }
grid = { levels = 1 }
execute = { launcher = "local" }
"""


def called(*words: str, code: int = 0) -> tuple[str, str]:
    done = CliRunner().invoke(app, ["repro", *words])
    assert done.exit_code == code, done.output
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with the results of the paper."""
    return written_run(tmp_path_factory.mktemp("repro") / "run", paper_run())


def test_without_a_name_it_lists_what_there_is() -> None:
    said, _ = called()
    for name, one in PUBLISHED.items():
        assert name in said
        assert all(size.expected in said for size in one.scales.values())
    assert "fits a laptop" in said
    assert "needs GPUs" in said
    listed = json.loads(called("--json")[0])
    assert listed[0] == {
        "name": "lenet-fc-2019", "about": PUBLISHED["lenet-fc-2019"].about, "scale": "small",
        "expected": PUBLISHED["lenet-fc-2019"].scales["small"].expected, "laptop": True,
    }  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_prints_the_spec_and_plans_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said, _ = called(name, "--spec")
    assert said == published_text(name)
    assert "total" in called(name, "--dry-run")[0]
    assert list(tmp_path.iterdir()) == []


def test_a_run_inside_its_bands_ends_with_0(finished: Path) -> None:
    said, told = called("lenet-fc-2019", "--check", str(finished))
    assert "13 inside." in said
    assert told == ""
    assert open_run(finished).describe()["test_first_shown"]
    answer = json.loads(called("lenet-fc-2019", "--check", str(finished), "--json")[0])
    assert (answer["verdict"], answer["scale"], answer["differs"]) == ("inside", "small", [])
    assert len(answer["rows"]) == 13


def test_the_markdown_table_names_the_command(finished: Path) -> None:
    said, _ = called("lenet-fc-2019", "--check", str(finished), "--markdown")
    assert said.startswith(f"`lth repro lenet-fc-2019 --check {finished}`  \n")
    assert said.count("| inside |") == 13


def test_a_run_told_wrong_ends_with_1(tmp_path: Path) -> None:
    wrong = written_run(tmp_path / "run", forged(paper_spec(), paper_run(), "reinit as ticket"))
    said, _ = called("lenet-fc-2019", "--check", str(wrong), code=1)
    assert "7 inside, 6 outside." in said


def test_another_experiment_is_never_inside(finished: Path) -> None:
    _, told = called("lenet-fc-2019", "--check", str(finished), "--scale", "paper", code=3)
    assert "Another experiment than lenet-fc-2019 at scale paper: train.iterations: 20000 in the run, 50000" in told
    assert f"go on with:\n  lth repro lenet-fc-2019 --scale paper --data data/mnist --into {finished}" in told


def test_it_trains_like_lth_run_and_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(published, "published_text", lambda *asked: TINY)
    monkeypatch.setattr(published, "published_spec", lambda *asked: parse_spec(TINY, "tiny"))
    said, told = called("lenet-fc-2019", "--into", "here", code=3)
    assert "13 incomplete." in said
    assert said.count("not there: ") == 4
    assert "and 9 more rows" in said
    assert "go on with:\n  lth repro lenet-fc-2019 --scale small --into here" in told
    done = open_run("here").results().done
    assert set(done) == {"dense-seed0", "l01-r0-seed0"}
    assert Path("here/spec.toml").read_text() == TINY
    again, _ = called("lenet-fc-2019", "--into", "here", code=3)
    assert again == said


def test_unknown_experiments_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    done = CliRunner().invoke(app, ["repro", "lenet"])
    assert "no such experiment" in str(done.exception)
