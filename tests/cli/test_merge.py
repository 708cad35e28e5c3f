"""Runs made in two places, joined: nothing lost, nothing overwritten, conflicts told, killed and repeated."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from engines.grid import LENET, SPEC, hashes, records
from typer.testing import CliRunner

import lth
from lth.cli.app import app
from lth.errors import LthError
from lth.experiment import doers
from lth.grid.merge import merge as join
from lth.grid.next import ready
from lth.grid.stop import Stop
from lth.grid.union import union
from lth.grid.unit import Finish
from lth.grid.work import loop
from lth.runs.run import open_run, start_run
from lth.spec.load import load_spec, parse_spec

TEXT = SPEC.format(launcher="local", epochs=3, more="", model=LENET)


def trained(folder: Path, *sets: str) -> Path:
    """Returns a run of the common grid, changed by `sets`, all its networks trained."""
    run, stop = start_run(folder, parse_spec(TEXT, "spec", sets), TEXT), Stop()
    loop(run, {kind: do for kind, do in doers(run, stop).items() if kind is not Finish}, stop)
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs on one seed: `a` has sparsities 0.5 and 0.7, `b` has 0.7, 0.9 and seed 1 as well."""
    folder = tmp_path_factory.mktemp("two")
    trained(folder / "a", "grid.sparsities=[0.5, 0.7]")
    trained(folder / "b", "grid.sparsities=[0.7, 0.9]", "seeds=[0, 1]", "grid.rewind=['0']")
    return folder


@pytest.fixture
def runs(two: Path, tmp_path: Path) -> Path:
    """A copy of both, to work on."""
    for name in ("a", "b"):
        shutil.copytree(two / name, tmp_path / name)
    return tmp_path


def merge(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["merge", *map(str, words)])
    assert done.exit_code == code, done.output or done.exception
    return done.stdout


def fails(*words: object) -> str:
    done = CliRunner().invoke(app, ["merge", *map(str, words)])
    assert isinstance(done.exception, LthError), done.output
    return str(done.exception)


def damage(path: Path, change: dict[str, Any]) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_new_run_holds_both_grids_and_the_two_are_as_they_were(runs: Path) -> None:
    before = snapshot(runs / "a"), snapshot(runs / "b")
    text = merge(runs / "a", runs / "b", "--into", runs / "c")
    assert "c: 9 results taken over, 2 were there already, 0 in conflict" in text
    assert hashes(runs / "c") == {**hashes(runs / "a"), **hashes(runs / "b")}
    assert (snapshot(runs / "a"), snapshot(runs / "b")) == before
    merged = lth.open_run(runs / "c")
    assert (merged.spec.seeds, merged.spec.grid.sparsities) == ((0, 1), (0.5, 0.7, 0.9))
    assert load_spec(runs / "c" / "spec.toml") == merged.spec
    names = {unit.id for unit in ready(merged.spec, merged.results())}
    assert names == {"dense-seed1-r1ep", "s0.5-r0-seed1", "s0.9-r1ep-seed0"}  # b kept no weights at 1ep


def test_the_merged_run_goes_on_and_ends_with_a_winner(runs: Path) -> None:
    merge(runs / "a", runs / "b", "--into", runs / "c")
    done = CliRunner().invoke(app, ["run", str(runs / "c" / "spec.toml"), "--into", str(runs / "c")])
    assert done.exit_code == 0, done.output
    assert (runs / "c" / "winner" / "ticket.safetensors").exists()
    alone = trained(runs / "alone", "seeds=[0, 1]", "grid.sparsities=[0.5, 0.7, 0.9]")
    assert hashes(runs / "c").items() >= hashes(alone).items()


def test_files_are_linked_not_copied(runs: Path) -> None:
    merge(runs / "a", runs / "b", "--into", runs / "c")
    (weights,) = (runs / "a").glob("cells/s0.5-r0-seed0/attempt-*/weights.safetensors")
    assert (runs / "c" / weights.relative_to(runs / "a")).samefile(weights)
    assert len(list((runs / "c" / "masks" / "seed0").iterdir())) == 3


def test_without_links_they_are_copied(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.link

    def across(source: Path, target: Path) -> None:
        if Path(source).parent != Path(target).parent:
            raise OSError(18, "Invalid cross-device link")
        real(source, target)

    monkeypatch.setattr(os, "link", across)
    merge(runs / "a", runs / "b", "--into", runs / "c")
    (weights,) = (runs / "a").glob("cells/s0.5-r0-seed0/attempt-*/weights.safetensors")
    copy = runs / "c" / weights.relative_to(runs / "a")
    assert copy.read_bytes() == weights.read_bytes()
    assert not copy.samefile(weights)


def test_into_the_first_run_and_once_more(runs: Path) -> None:
    text = merge(runs / "a", runs / "b")
    assert "a: 4 results taken over, 2 were there already" in text
    found = json.loads(merge(runs / "a", runs / "b", "--json"))
    assert (found["copied"], len(found["equal"]), found["clean"]) == ([], 6, True)


def test_other_weights_are_a_conflict_and_nothing_is_overwritten(runs: Path) -> None:
    path = runs / "b" / "cells" / "s0.7-r0-seed0" / "result.json"
    damage(path, {"weights_sha256": "f" * 64, "numerics": {"torch": "2.11", "device": "cuda", "threads": 1}})
    ours = (runs / "a" / "cells" / "s0.7-r0-seed0" / "result.json").read_bytes()
    text = merge(runs / "a", runs / "b", code=1)
    assert f"conflict: s0.7-r0-seed0: other weights in {runs / 'b'}" in text
    assert "  theirs  ffffffffffff  torch 2.11, device cuda" in text
    assert (runs / "a" / "cells" / "s0.7-r0-seed0" / "result.json").read_bytes() == ours
    assert "s0.9-r0-seed0" in hashes(runs / "a")  # the rest is taken over
    found = json.loads(merge(runs / "a", runs / "b", "--json", code=1))
    (conflict,) = found["conflicts"]
    assert conflict["id"] == "s0.7-r0-seed0"
    assert conflict["theirs"]["numerics"]["device"] == "cuda"
    assert conflict["ours"]["numerics"] == records(runs / "a")["s0.7-r0-seed0"]["numerics"]


def test_tickets_of_another_dense_network_are_left_out(runs: Path) -> None:
    damage(runs / "b" / "dense" / "seed0" / "result.json", {"weights_sha256": "f" * 64})
    found = json.loads(merge(runs / "a", runs / "b", "--json", code=1))
    assert [one["id"] for one in found["conflicts"]] == ["dense-seed0"]
    assert list(found["left_out"]) == ["s0.9-r0-seed0"]
    assert "rests on dense/seed0 of" in found["left_out"]["s0.9-r0-seed0"]
    assert found["copied"] == ["dense-seed1", "s0.7-r0-seed1", "s0.9-r0-seed1"]
    assert not (runs / "a" / "masks" / "seed0" / "s0.9.safetensors").exists()


def test_a_later_level_on_another_chain_is_left_out(tmp_path: Path) -> None:
    chain = ["prune.method=iterative", "prune.rate=0.4", "grid.rewind=['0']"]
    text = TEXT.replace("sparsities = [0.5, 0.7, 0.8, 0.9, 0.95]\n", "levels = 3\n")
    for name, levels in (("a", 1), ("b", 3)):
        spec = parse_spec(text, "spec", [*chain, f"grid.levels={levels}"])
        run, stop = start_run(tmp_path / name, spec, text), Stop()
        loop(run, {kind: do for kind, do in doers(run, stop).items() if kind is not Finish}, stop)
    damage(tmp_path / "b" / "cells" / "l01-r0-seed0" / "result.json", {"weights_sha256": "f" * 64})
    found = json.loads(merge(tmp_path / "a", tmp_path / "b", "--json", code=1))
    assert [one["id"] for one in found["conflicts"]] == ["l01-r0-seed0"]
    assert list(found["left_out"]) == ["l02-r0-seed0", "l03-r0-seed0"]
    assert lth.open_run(tmp_path / "a").spec.grid.levels == 3


def test_a_damaged_file_is_not_taken_over(runs: Path) -> None:
    (weights,) = (runs / "b").glob("cells/s0.9-r0-seed1/attempt-*/weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    found = json.loads(merge(runs / "a", runs / "b", "--json", code=1))
    assert list(found["damaged"]) == ["s0.9-r0-seed1"]
    assert "sha256 differs" in found["damaged"]["s0.9-r0-seed1"]
    assert not (runs / "a" / "cells" / "s0.9-r0-seed1" / "result.json").exists()


def test_results_whose_files_are_gone_are_taken_over_and_told(runs: Path) -> None:
    for weights in (runs / "b").glob("cells/*/attempt-*/weights.safetensors"):
        weights.unlink()
    assert "3 files of the results taken over were gone before" in merge(runs / "a", runs / "b")


def test_another_experiment_is_refused_with_the_keys(runs: Path) -> None:
    start_run(runs / "d", parse_spec(TEXT, "spec", ["train.epochs=5", "data.batch_size=16"]))
    said = fails(runs / "a", runs / "d", "--into", runs / "c")
    assert f"train.epochs: 3 in {runs / 'a'}, 5 in {runs / 'd'}" in said
    assert "data.batch_size: 32" in said
    assert not (runs / "c").exists()


def test_other_data_are_refused(runs: Path) -> None:
    damage(runs / "b" / "facts.json", {"dataset_id": "another"})
    assert "the data differ from those of the other run (found 'another')" in fails(runs / "a", runs / "b")


@pytest.mark.parametrize("words", [("a",), ("a", "a"), ("a", "nowhere"), ("a", "b", "--into", "full")])
def test_what_cannot_be_merged(runs: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs)
    (runs / "full").mkdir()
    (runs / "full" / "letter.txt").write_text("mine")
    assert re_words(words) in fails(*words)


def re_words(words: tuple[str, ...]) -> str:
    return {
        ("a",): "nothing to merge it with", ("a", "a"): "nothing to merge it with",
        ("a", "nowhere"): "not a run directory", ("a", "b", "--into", "full"): "not empty",
    }[words]  # fmt: skip


def test_test_accuracies_that_were_seen_stay_seen(runs: Path) -> None:
    damage(runs / "b" / "run.json", {"test_first_shown": "2026-01-02T00:00:00+00:00"})
    damage(runs / "a" / "run.json", {"test_first_shown": "2026-01-03T00:00:00+00:00"})
    merge(runs / "a", runs / "b", "--into", runs / "c")
    assert open_run(runs / "c").describe()["test_first_shown"] == "2026-01-02T00:00:00+00:00"


def test_killed_at_many_moments_it_can_be_repeated(runs: Path) -> None:
    wanted = {**hashes(runs / "a"), **hashes(runs / "b")}
    program = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "left = int(sys.argv[1])\n"
        "def counted(real):\n"
        "    def call(*words, **more):\n"
        "        global left\n        left -= 1\n"
        "        if left == 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return real(*words, **more)\n"
        "    return call\n"
        "for name in ('link', 'replace', 'fsync'): setattr(os, name, counted(getattr(os, name)))\n"
        "from lth.grid.merge import merge\n"
        "merge([Path('a'), Path('b')], Path('c'))\n"
    )
    killed = 0
    for left in (1, 2, 5, 13, 34, 55):
        done = subprocess.run([sys.executable, "-c", program, str(left)], cwd=runs, capture_output=True, text=True)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        killed += done.returncode != 0
        for path in (runs / "c").glob("*/*/result.json"):
            assert json.loads(path.read_text())["id"] in wanted
    assert killed >= 4
    found = join([runs / "a", runs / "b"], runs / "c")
    assert found.clean
    assert hashes(runs / "c") == wanted
    again = join([runs / "a", runs / "b"], runs / "c")
    assert (again.copied, len(again.equal)) == ([], 11)


@pytest.mark.long
def test_while_a_worker_is_at_the_target(runs: Path) -> None:
    """The unit a worker is at is taken over; whoever is second changes nothing."""
    for path in (runs / "a" / "cells").iterdir():
        shutil.rmtree(path)
    worker = subprocess.Popen([sys.executable, "-m", "lth", "work", runs / "a"], stderr=subprocess.DEVNULL)
    limit = time.monotonic() + 120
    while not any(name.startswith("s0") for name in os.listdir(runs / "a" / "claims")) and worker.poll() is None:
        assert time.monotonic() < limit
        time.sleep(0.02)
    merge(runs / "a", runs / "b")
    assert worker.wait(timeout=300) == 0
    assert hashes(runs / "a").items() >= hashes(runs / "b").items()
    for name, one in records(runs / "a").items():
        if name.startswith("s"):
            assert (runs / "a" / "cells" / name / f"attempt-{one['attempt']}" / "weights.safetensors").exists()


@pytest.mark.parametrize(("first", "second", "key", "both"), [
    ("grid.controls_at='all'", "grid.controls_at='knee'", "controls_at", "all"),
    ("grid.controls_at=[0.5]", "grid.controls_at=[0.7]", "controls_at", (0.5, 0.7)),
    ("grid.arms=['lrr']", "grid.arms=['fine_tune']", "arms", ("lrr", "fine_tune")),
    ("grid.thresholds=[0.1]", "grid.thresholds=[0.05, 0.1]", "thresholds", (0.05, 0.1)),
])  # fmt: skip
def test_the_union_holds_both(first: str, second: str, key: str, both: object) -> None:
    control = "grid.controls=['reinit']"
    one, two = (parse_spec(TEXT, "spec", [control, more]) for more in (first, second))
    assert getattr(union(one, two).grid, key) == both
    assert set(getattr(union(two, one).grid, key)) == set(both)  # pyright: ignore[reportArgumentType]
