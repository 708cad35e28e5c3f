"""A program: trains small networks in groups of 1, 2 and 4 processes, and writes what came out to a folder.

It imports torch once and forks, so that a group starts at once. `python group_program.py FOLDER`
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import safetensors.torch
import torch
from grid.worlds import result
from torch import Tensor, nn

from lth.data.loader import Resident, Stream
from lth.data.sources import open_source
from lth.grid.unit import Dense
from lth.grid.work import Outcome
from lth.pruning.score import magnitude_masks
from lth.runs.run import open_run, start_run
from lth.spec import Spec
from lth.training import distributed
from lth.training.checkpoint import state_of, weights_hash
from lth.training.distributed import Group, GroupError, joined
from lth.training.evaluate import evaluate
from lth.training.fit import Course, Pace, fit
from lth.training.together import work_together
from lth.training.trainee import Trainee

WORLDS = (1, 2, 4)
STEPS = 18  # of 12 an epoch
SIZE = "test_examples=40,classes=4,size=8,channels=3"
SGD = {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}
ADAMW = {"name": "adamw", "lr": 1e-2, "weight_decay": 1e-2}
SCENES: dict[str, dict[str, Any]] = {
    "dense": {},
    "masked": {"sparsity": 0.6},
    "dropout": {"dropout": 0.3},
    "all": {"sparsity": 0.6, "dropout": 0.3, "optimizer": ADAMW, "clip_norm": 0.5, "ema": 0.9, "label_smoothing": 0.1},
}


def spec(examples: int = 480, **train: Any) -> Spec:
    data = {
        "source": f"synthetic:examples={examples},{SIZE}", "batch_size": 32, "validation": {"fraction": 0.2},
        "augment": {"crop": 2, "flip": True},
    }  # fmt: skip
    recipe = {"epochs": 3, "optimizer": SGD, "micro_batch": 8, **train}
    grid = {"sparsities": [0.5], "rewind": ["0"]}
    return Spec.model_validate(
        {"name": "a", "data": data, "model": {"name": "lenet_300_100"}, "train": recipe, "grid": grid}
    )


def network(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, bias=False),
        nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(dropout), nn.Linear(128, 4),
    )  # fmt: skip


class Doubled:
    """A stream in float64."""

    def __init__(self, stream: Stream):
        self.stream = stream

    def batch_at(self, step: int) -> tuple[Tensor, Tensor]:
        x, y = self.stream.batch_at(step)
        return x.double(), y


def stream_of(made: Spec, group: Group) -> Stream:
    resident = Resident(open_source(made.data.source), made.data, 0, torch.device("cpu"))
    return Stream(resident, 1, 2, group.rank, group.world)


def exact(group: Group, sparsity: float | None = None, dropout: float = 0.0, **train: Any) -> dict[str, Tensor]:
    """Returns weights, statistics and losses after some steps in float64."""
    made, model = spec(**train), network(dropout).double()
    stream = Doubled(stream_of(made, group))
    mask = None if sparsity is None else magnitude_masks(model, [sparsity])[sparsity]
    steps_per_epoch = stream.stream.resident.steps_per_epoch
    one = Trainee("a", model, made.train, steps_per_epoch, mask=mask, dropout_seed=5, group=group)
    for step in range(STEPS):
        one.advance(*stream.batch_at(step))
    return {
        **state_of(one),
        **{f"optimizer.{key}": value for key, value in one.state.items()},
        "loss": one.take_losses(),
    }


class Watched:
    """A stream that remembers the first step it was asked for."""

    def __init__(self, stream: Stream):
        self.stream, self.resident, self.first = stream, stream.resident, -1
        self.fingerprint = stream.fingerprint

    def batch_at(self, step: int) -> tuple[Tensor, Tensor]:
        self.first = step if self.first < 0 else self.first
        return self.stream.batch_at(step)


class Told(Event):
    """An event that one process of the group sets to itself, at a step of its training."""

    def __init__(self, group: Group, at: int, deadly: bool = False):
        super().__init__()
        self.group, self.at, self.deadly, self.looks = group, at, deadly, 0

    def is_set(self) -> bool:
        self.looks += 1
        if self.group.rank == self.group.world - 1 and self.looks == self.at:
            if self.deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            self.set()
        return super().is_set()


def trained(folder: Path, group: Group, stop: Event, seconds: float = 1e9) -> dict[str, Any]:
    """Returns what came of a training of 36 steps in float32, which resumes what `folder` holds, and where it began."""
    made = spec(evaluate_every="7it")
    stream = Watched(stream_of(made, group))
    one = Trainee("a", network(0.3), made.train, stream.resident.steps_per_epoch, dropout_seed=5, group=group)
    course = Course(one, "key", {}, folder / "resume", folder / "attempt-1")
    course.keep = {0: "0ep", 16: "16it"}
    fit([course], stream, stop, Pace(seconds))
    curve = [[row["step"], row["train_loss"], row["validation_loss"]] for row in course.metrics]
    whole = {"step": one.step, "bits": weights_hash(state_of(one)), "curve": curve, "kept": course.kept}
    return {"began": stream.first, "whole": whole}


def scenes(folder: Path, group: Group) -> None:
    for name in ("dense", "all") if group.world == 4 else SCENES:
        found = exact(group, **SCENES[name])
        if group.first:
            safetensors.torch.save_file(found, folder / f"{name}.safetensors")
    resident = stream_of(spec(3000), group).resident  # of three evaluation batches
    scores = [evaluate(network(), resident, part, group=group) for part in ("train", "validation")]
    told: dict[str, Any] = {f"rank {group.rank} of": group.world}
    told["scores"] = [[one.loss, one.top1, one.confidence.double().sum().item()] for one in scores]
    told["whole"] = trained(folder / "whole", group, Event())
    if group.world == 2:
        told["stopped"] = trained(folder / "stopped", group, Told(group, 19))
        told["went on"] = trained(folder / "stopped", group, Event())
    (folder / f"told-{group.rank}.json").write_text(json.dumps(told))
    if group.world == 2:
        try:
            trained(folder / "killed", group, Told(group, 29, deadly=True), seconds=1e-9)
        except GroupError as problem:
            (folder / "error").write_text(str(problem))
            os._exit(0)  # without a farewell to a group that is broken


def worked(folder: Path, group: Group, breaks: bool) -> dict[str, Any]:
    """Returns what the worker loop of a group told this process to do; the last process alone is told to stop."""
    stop, seen = Event(), list[str]()
    run = start_run(folder / "run", spec(epochs=4)) if group.first else None
    group.words()  # the folder is there now
    run = run or open_run(folder / "run")

    def dense(units: Sequence[Dense]) -> Iterator[Outcome]:
        seen.extend(unit.id for unit in units)
        group.sum_(torch.ones(1))
        if breaks and group.first:
            raise ValueError("a bug in a model")
        for unit in units:
            yield unit, result(run.spec, unit)
        if group.rank == group.world - 1:
            stop.set()

    said = ""
    try:
        work_together(run, {Dense: dense}, stop, group)
    except GroupError as problem:
        said = str(problem)
    done = sorted(run.results().done)
    return {"seen": seen, "stop": stop.is_set(), "done": done, "error": said}


def in_group(folder: Path, rank: int, world: int, what: str) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "LTH_RENDEZVOUS": str(folder / f"rendezvous-{what}")}
    distributed.ASK_SECONDS = 0.0  # a step is as quick as asking here: ask at every one
    with joined(spec()) as group:
        if what == "scenes":
            scenes(folder, group)
        else:
            after = {"again": trained(folder / "again", group, Event())}
            after |= {"went on": trained(folder / "killed", group, Event())}
            after |= {"works": worked(folder / "works", group, breaks=False)}
            after |= {"breaks": worked(folder / "breaks", group, breaks=True)}
            (folder / f"after-{rank}.json").write_text(json.dumps(after))
            os._exit(0)  # without a farewell to a group that is broken


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    fork = multiprocessing.get_context("fork")
    for world in WORLDS:
        here = folder / str(world)
        for name in ("whole", "again", "stopped", "killed", "works", "breaks"):
            (here / name).mkdir(parents=True)
        for what in ("scenes", "after") if world == 2 else ("scenes",):
            processes = [fork.Process(target=in_group, args=(here, rank, world, what)) for rank in range(world)]
            for process in processes:
                process.start()
            for process in processes:
                process.join()
            codes = [process.exitcode for process in processes]
            dead = [-signal.SIGKILL] if (world, what) == (2, "scenes") else [0]
            assert codes == [0] * (world - 1) + dead, codes


if __name__ == "__main__":
    main(Path(sys.argv[1]))
