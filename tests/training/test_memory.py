"""How many tickets fit: the estimate against real tensors, and real limits, under which every hash stays the same."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lth.data.loader import Resident
from lth.data.sources import open_source
from lth.experiment import doers
from lth.grid.unit import Cell, Dense
from lth.grid.work import loop
from lth.pruning.score import magnitude_masks
from lth.runs.run import Run, open_run, start_run
from lth.spec.recipe import Train
from lth.spec.schema import Data, Spec
from lth.training.memory import SHARE, Room, _kept, room, ticket_bytes
from lth.training.trainee import Trainee

SGD, ADAM = {"name": "sgd", "lr": 0.1}, {"name": "adamw", "lr": 0.1}
RECIPES: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": SGD},
    "momentum": {"optimizer": {**SGD, "momentum": 0.9}},
    "momentum-ema": {"optimizer": {**SGD, "momentum": 0.9}, "ema": 0.9},
    "adam-ema": {"optimizer": ADAM, "ema": 0.9},
    "adam-bf16-micro": {"optimizer": ADAM, "precision": "bf16", "micro_batch": 2},
}


def recipe(name: str) -> Train:
    return Train.model_validate({"epochs": 1, **RECIPES[name]})


def network() -> nn.Module:
    torch.manual_seed(0)
    body = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Flatten()
    return nn.Sequential(*body, nn.Linear(64, 4))


@pytest.mark.parametrize("name", RECIPES)
def test_the_bytes_of_a_ticket_are_those_of_its_tensors(name: str) -> None:
    model = network()
    mask = magnitude_masks(model, [0.5])[0.5]
    trainee = Trainee("a", model, recipe(name), 1, mask=mask)
    trainee.advance(torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 3]))
    assert trainee.mask is not None
    assert trainee.last_gradient is not None
    buffers = sum(buffer.nbytes for buffer in model.buffers())
    saved = trainee.weights.nbytes + sum(value.nbytes for value in trainee.state.values()) + buffers
    live = saved + trainee.mask.nbytes + trainee.last_gradient.nbytes + trainee.weights.numel()
    assert ticket_bytes(network(), recipe(name)) == (trainee.weights.nbytes, live, saved)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_autograd_keeps_grows_with_the_batch_as_reckoned_from_2_and_4_images(precision: str) -> None:
    model = network().train()
    how = Train.model_validate({"epochs": 1, "optimizer": SGD, "precision": precision})
    (two, _), (four, _), (many, _) = (_kept(model, torch.zeros(images, 1, 8, 8), how) for images in (2, 4, 32))
    assert many == two + (four - two) // 2 * 30
    expected = (
        32 * (64 + 6 * 36 * 2 + 4 * 16) * (2 if precision == "bf16" else 4)
    )  # x, convolved, normalised, convolved
    assert many > expected


def test_a_room_counts_the_data_batch_the_states_and_a_gradient(tmp_path: Path) -> None:
    data = Data.model_validate({"source": "synthetic:examples=80,test_examples=20,size=8", "batch_size": 16})
    resident = Resident(open_source(data.source), data, 0, torch.device("cpu"))
    few = room(network(), resident, recipe("momentum"), states=0, sharers=1)
    more = room(network(), resident, recipe("momentum"), states=3, sharers=1)
    weights, ticket, saved = ticket_bytes(network(), recipe("momentum"))
    assert few.ticket == more.ticket == ticket
    assert more.shared - few.shared == 3 * weights
    assert few.shared > weights + 3 * saved + _kept(network().train(), torch.zeros(16, 1, 8, 8), recipe("momentum"))[0]
    assert 0 < few.free < math.inf


@given(st.integers(1, 10**9), st.integers(0, 10**9), st.floats(0, 1e12))
def test_so_many_tickets_fit_as_leave_a_share_free_and_never_fewer_than_one(ticket: int, shared: int, free: float):
    tickets = Room(ticket, shared, free, "MemAvailable").tickets
    assert tickets >= 1
    assert tickets == 1 or shared + tickets * ticket <= SHARE * free
    assert shared + (tickets + 1) * ticket > SHARE * free


def test_where_nothing_bounds_memory_the_spec_decides() -> None:
    assert Room(1, 1, math.inf, "MemAvailable").tickets == math.inf


WIDE: dict[str, Any] = {
    "name": "wide",
    "data": {
        "source": "synthetic:examples=120,test_examples=40,classes=4,size=80,noise=0.2",
        "batch_size": 30, "validation": {"fraction": 0.25},
    },
    "model": {"name": "lenet_300_100"},
    "train": {"epochs": 2, "optimizer": {"name": "sgd", "lr": 0.02, "momentum": 0.9}, "guard_epochs": 0},
    "grid": {"sparsities": [0.5, 0.7, 0.8, 0.9], "rewind": ["1ep"]},
    "execute": {"tickets_per_worker": 4, "device": "cpu"},
}  # fmt: skip
LIMITED = """
import logging, resource, sys
from pathlib import Path
from threading import Event
from lth.experiment import doers
from lth.grid.unit import Cell
from lth.grid.work import loop
from lth.runs.run import open_run

logging.basicConfig(level="INFO", stream=sys.stdout)
directory, mebibytes, moment = sys.argv[1:]
run, stop = open_run(directory), Event()
cells = doers(run, stop)[Cell]
work = cells.args[0]
work.resident(0)
work.masks(0)
if moment == "after the estimate":
    assert work.room.tickets >= 4
used = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) << 10
resource.setrlimit(resource.RLIMIT_DATA, (used + (int(mebibytes) << 20),) * 2)
loop(run, {Cell: cells}, stop)
"""


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of which only the dense network is trained: 4 tickets of 32 MiB are ready."""
    run = start_run(tmp_path_factory.mktemp("wide") / "run", Spec.model_validate(WIDE))
    stop = Event()
    loop(run, {Dense: doers(run, stop)[Dense]}, stop)
    assert run.results().failed == {}
    return run.path


@pytest.fixture(scope="module")
def undisturbed(ranked: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The hashes of its tickets, trained without a limit."""
    run = open_run(shutil.copytree(ranked, tmp_path_factory.mktemp("free") / "run"))
    stop = Event()
    loop(run, {Cell: doers(run, stop)[Cell]}, stop)
    return hashes(run)


def hashes(run: Run) -> dict[str, str]:
    return {name: done.weights_sha256 for name, done in run.results().done.items()}


def limited(run: Path, mebibytes: int, moment: str) -> str:
    """Returns the log of a worker on the tickets that may take no more than so much memory beside data and masks."""
    command = [sys.executable, "-c", LIMITED, str(run), str(mebibytes), moment]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_memory_decides_how_many_train_together_and_says_so(
    ranked: Path, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    run = shutil.copytree(ranked, tmp_path / "run")
    said = limited(run, 200, "before the estimate")
    assert said.count("do not fit in memory") == 1, said
    assert "4 tickets do not fit in memory; going on with 2 (32 MiB a ticket and " in said
    assert "free within RLIMIT_DATA)" in said
    assert hashes(open_run(run)) == undisturbed


def test_a_group_that_runs_out_of_memory_is_halved_and_keeps_its_bits(
    ranked: Path, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    run = shutil.copytree(ranked, tmp_path / "run")
    said = limited(run, 150, "after the estimate")
    # Whether the training or the writing of weights is the first to find none left, a few MiB decide.
    either = r"(RuntimeError: .*can't allocate memory|MemoryError: no memory left to write the weights)"
    assert re.search(rf"4 tickets do not fit in memory; going on with 2 \({either}", said), said
    assert "failed" not in said
    assert hashes(open_run(run)) == undisturbed
    assert len(undisturbed) == 1 + 4


@pytest.mark.long
def test_a_single_ticket_that_does_not_fit_fails_with_the_cure(ranked: Path, tmp_path: Path) -> None:
    run = shutil.copytree(ranked, tmp_path / "run")
    limited(run, 20, "after the estimate")
    failed = open_run(run).results().failed
    assert len(failed) == 4
    for failure in failed.values():
        assert failure.message.startswith("does not fit in memory: ")
        assert "Take a smaller data.batch_size, a train.micro_batch, or another execute.device." in failure.message
