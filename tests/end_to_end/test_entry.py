"""Training functions of one's own in the grid: the example, functions that go wrong, stops and kills."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from end_to_end.conftest import lth, records

from lth.errors import LthError, SpecError, TrainingError
from lth.experiment import doers
from lth.grid.next import ready
from lth.grid.unit import Cell, Checkpoint, Dense
from lth.grid.work import loop
from lth.pruning.mask import Mask
from lth.runs.records import CellResult
from lth.runs.run import Run, start_run
from lth.spec import Spec, Step
from lth.training.checkpoint import load_state, weights_hash

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "own_training"
SPEC = """
name = "entry"
seeds = [0]
[data]
source = "synthetic:examples=300,test_examples=100,classes=4,size=6,noise=0.4"
batch_size = 32
validation = { fraction = 0.25 }
[model]
name = "lenet_300_100"
[train]
entry = "ENTRY"
epochs = 2
optimizer = { name = "sgd", lr = 0.1 }
guard_epochs = 0
[grid]
sparsities = [0.5]
rewind = ["1ep"]
CONTROLS
[select]
tolerance = 0.2
[execute]
attempts = 1
device = "cpu"
"""
PER_EPOCH = 7


def spec(sparsities: tuple[float, ...] = (0.5,), seeds: tuple[int, ...] = (0,), **execute: Any) -> Spec:
    import tomllib

    raw = tomllib.loads(SPEC.replace("ENTRY", "end_to_end.entries:faulty").replace("CONTROLS", ""))
    raw["grid"]["sparsities"], raw["seeds"] = list(sparsities), list(seeds)
    raw["execute"] |= execute
    return Spec.model_validate(raw)


def outcomes(run: Run, units: list[Any], stop: threading.Event | None = None) -> dict[str, CellResult | LthError]:
    """Returns what the units came to, after publishing the results."""
    found = {}
    for unit, outcome in doers(run, stop or threading.Event())[type(units[0])](units):
        found[unit.id] = outcome
        if isinstance(outcome, CellResult):
            assert run.publish(unit.folder, outcome)
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose dense network of seed 0 is done, by a function that learns."""
    sparsities = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
    run = start_run(tmp_path_factory.mktemp("entry") / "run", spec(sparsities, seeds=(0, 1)))
    found = outcomes(run, [Dense(0)])["dense-seed0"]
    assert isinstance(found, CellResult), found
    assert found.audit.passed
    assert (found.first_step, found.last_step) == (0, 2 * PER_EPOCH)
    assert set(found.checkpoints) == {"0", "1ep", "2ep"}
    states = [load_state(run.artefact(found, name)) for name in found.checkpoints.values()]
    assert len({weights_hash(state) for state in states}) == 3
    assert weights_hash(states[2]) == found.weights_sha256
    assert found.validation_top1 > 0.5, "nothing was returned, so this is what lth itself measured"
    assert "predictions.safetensors" in found.files
    assert not (run.path / "dense/seed0/entry").exists()
    return run


def test_functions_that_go_wrong_fail_their_own_units_and_no_other(trained: Run) -> None:
    cells = [Cell(sparsity, Step(1), 0) for sparsity in (0.5, 0.6, 0.9)]
    raised, moved, good = outcomes(trained, cells).values()
    assert isinstance(raised, LthError)
    assert not isinstance(raised, TrainingError), "an error may pass: the unit is tried again"
    assert "s0.5-r1ep-seed0: train.entry raised ValueError: no luck today. Its log is " in str(raised)
    assert "about to fail" in str(raised)
    assert str(raised).endswith("ValueError: no luck today")
    assert isinstance(moved, TrainingError)
    assert "s0.6-r1ep-seed0: pruned_weights_zero: " in str(moved)
    assert "pruned weights of fc1.weight are not 0 after training. Make the enforcer" in str(moved)
    assert isinstance(good, CellResult)
    assert good.audit.passed
    assert {"kept_equal_checkpoint", "pruned_weights_zero", "both_signs_trained"} <= set(good.audit.checks)
    assert "pruned_optimizer_state_zero" not in good.audit.checks, "nobody has seen the function's optimizer"
    assert good.first_step == PER_EPOCH


@pytest.mark.long
def test_the_other_ways_to_go_wrong(trained: Run) -> None:
    expected = {
        0.55: "s0.55-r1ep-seed0, the scores returned: validation_top1 is not a finite number (found nan)",
        0.65: "architecture_unchanged: fc1.bias of the trained network is float16 of shape (300,), and was float32",
        0.7: "train.entry ended its process with exit code 0",
        0.75: "train.entry was killed by SIGSEGV",
        0.85: "the function returned after step 13 of 14. Take every step up to job.last_step - 1",
    }
    found = outcomes(trained, [Cell(sparsity, Step(1), 0) for sparsity in expected])
    for said, failure in zip(expected.values(), found.values(), strict=True):
        assert isinstance(failure, LthError)
        assert said in str(failure)
    guarded = trained.spec.model_copy(update={"train": trained.spec.train.model_copy(update={"guard_epochs": 1})})
    idle = outcomes(Run(trained.path, guarded), [Dense(2)])["dense-seed2"]
    assert isinstance(idle, TrainingError)
    assert "dense-seed2, step 14: not learning: validation top-1" in str(idle)
    silent = outcomes(trained, [Dense(1)])["dense-seed1"]
    assert isinstance(silent, TrainingError)
    assert "dense-seed1, step 7: the dense network never reached step 7, rewind point 1ep" in str(silent)


@pytest.mark.long
def test_a_function_that_hangs_is_ended_at_its_limit(trained: Run) -> None:
    hasty = Run(trained.path, spec((0.8,), seeds=(0, 1), entry_minutes=0.15))
    late = outcomes(hasty, [Cell(0.8, Step(1), 0)])["s0.8-r1ep-seed0"]
    assert isinstance(late, TrainingError)
    assert "s0.8-r1ep-seed0: train.entry took longer than execute.entry_minutes = 0.15" in str(late)
    pid = (trained.path / "cells/s0.8-r1ep-seed0/entry/checkpoints/pid").read_text()
    assert not Path(f"/proc/{pid}").exists()


def test_a_rewind_point_added_later_is_refused_with_the_cure(trained: Run) -> None:
    unit = Checkpoint(0, Step(0, 3))
    refused = outcomes(trained, [unit])[unit.id]
    assert isinstance(refused, TrainingError)
    assert "cannot be replayed" in str(refused)
    assert "Delete dense/seed0, masks/seed0 and cells/*-seed0*" in str(refused)


def test_a_function_that_is_not_there_stops_the_worker_before_anything_is_trained(tmp_path: Path) -> None:
    missing = spec().model_copy(update={"train": spec().train.model_copy(update={"entry": "no_such_module:train"})})
    run, stop = start_run(tmp_path / "run", missing), threading.Event()
    with pytest.raises(SpecError, match=r"train\.entry: cannot import 'no_such_module'"):
        loop(run, doers(run, stop), stop)
    assert not run.results().failed
    assert ready(run.spec, run.results()) == [Dense(0)]


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file for which the function `resumable` waits after three steps."""
    monkeypatch.setenv("ENTRY_GO", str(tmp_path / "go"))
    return tmp_path / "go"


def resumable(folder: Path) -> Run:
    wanted = spec().model_copy(
        update={"train": spec().train.model_copy(update={"entry": "end_to_end.entries:resumable"})}
    )
    return start_run(folder / "run", wanted)


def wait_for(path: Path) -> None:
    limit = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < limit, path
        time.sleep(0.01)


def starts(run: Run) -> list[tuple[int, int]]:
    """Returns the step and the process id of every try of the dense network's function."""
    lines = (run.path / "dense/seed0/entry/checkpoints/starts").read_text().splitlines()
    return [(int(step), int(pid)) for step, pid in (line.split() for line in lines)]


def test_a_stopped_function_leaves_in_peace_and_goes_on_from_its_own_checkpoint(go: Path, tmp_path: Path) -> None:
    run, stop = resumable(tmp_path), threading.Event()
    checkpoints = run.path / "dense/seed0/entry/checkpoints"

    def stop_after_a_step() -> None:
        wait_for(checkpoints / "state.pt")
        stop.set()

    threading.Thread(target=stop_after_a_step).start()
    assert outcomes(run, [Dense(0)], stop) == {}, "neither done nor failed"
    assert (checkpoints / "left in peace").exists()
    step = torch.load(checkpoints / "state.pt", weights_only=True)["step"]
    assert 1 <= step <= 3
    go.touch()
    did = doers(run, threading.Event())[Dense]([Dense(0)])
    _, found = next(did)
    assert isinstance(found, CellResult), found
    assert [first for first, _ in starts(run)] == [0, step]


@pytest.mark.long
def test_killing_the_worker_ends_the_function_and_the_next_run_resumes_it(go: Path, tmp_path: Path) -> None:
    run = resumable(tmp_path)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "tests")}
    worker = subprocess.Popen([sys.executable, "-m", "lth", "work", str(run.path)], env=environment)
    wait_for(run.path / "dense/seed0/entry/checkpoints/state.pt")
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    ((_, pid),) = starts(run)
    limit = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < limit, "the function outlives its worker"
        time.sleep(0.01)
    go.touch()
    done = lth("work", run.path, env=environment)
    assert done.returncode == 0, done.stderr
    assert set(records(run.path)) == {"dense-seed0", "s0.5-r1ep-seed0"}
    text = next(run.path.glob("dense/seed0/attempt-*/log.txt"))
    assert text.exists()


def run_example(folder: Path, entry: str, *settings: str) -> Path:
    """Returns the finished run directory of an example's function on the small data."""
    path = folder / "entry.toml"
    path.write_text(SPEC.replace("ENTRY", entry).replace("CONTROLS", 'controls = ["shuffled_mask"]'))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(EXAMPLES), os.environ.get("PYTHONPATH", "")])
    words = [word for setting in settings for word in ("--set", setting)]
    done = lth("run", path, "--into", folder / "run", *words, env=environment)
    assert done.returncode == 0, done.stderr + done.stdout
    return folder / "run"


@pytest.mark.long
def test_the_plain_example_fills_a_grid_with_controls_selection_ticket_and_report(tmp_path: Path) -> None:
    run = run_example(tmp_path, "plain:train")
    found = records(run)
    assert set(found) == {"dense-seed0", "s0.5-r1ep-seed0", "s0.5-r1ep-seed0-shuffled_mask"}
    assert all(record["audit"]["passed"] for record in found.values())
    chosen = json.loads(lth("select", run, "--json").stdout)
    assert (chosen["verdict"], chosen["sparsity"]) == ("candidate", 0.5)
    assert (run / "winner/ticket.safetensors").exists()
    assert (run / "report/index.html").exists()
    cell = run / "cells/s0.5-r1ep-seed0"
    (attempt,) = cell.glob("attempt-*")
    weights, mask = load_state(attempt / "weights.safetensors"), Mask.load(run / "masks/seed0/s0.5.safetensors")
    assert all(not weights[name][~kept].any() for name, kept in mask.tensors.items())
    rows = [json.loads(line) for line in (attempt / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2 * PER_EPOCH]
    assert rows[-1]["validation_top1"] == found["s0.5-r1ep-seed0"]["validation_top1"]
    assert found["s0.5-r1ep-seed0"]["train_top1"] > 0.5, "which lth measured, as the function did not return it"
    assert not (cell / "entry").exists()


@pytest.mark.long
@pytest.mark.parametrize(("package", "entry"), [("timm", "timm_loop:train"), ("lightning", "lightning_loop:train")])
def test_the_examples_of_other_packages(package: str, entry: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"NO {package.upper()}: install it to test examples/own_training/{entry.partition(':')[0]}.py")
    found = records(run_example(tmp_path, entry))
    assert len(found) == 3
    assert all(record["audit"]["passed"] for record in found.values())
