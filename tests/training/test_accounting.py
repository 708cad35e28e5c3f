"""The accounts of a training: what they say is what happened, and they never touch its bits."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from statistics import median
from threading import Event
from time import perf_counter
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lth.data.loader import Resident, Stream
from lth.data.sources import open_source
from lth.pruning.score import magnitude_masks
from lth.spec.recipe import Train
from lth.spec.schema import Data
from lth.training import gpu
from lth.training.accounting import EVERY, PARTS, Meter, Stopwatch, Tally, measured, middle, peak_memory
from lth.training.checkpoint import state_of, weights_hash
from lth.training.fit import Course, Pace, fit
from lth.training.loop import train
from lth.training.trainee import Timing, Trainee, unclocked

CPU = torch.device("cpu")
DATA = Data.model_validate(
    {"source": "synthetic:examples=200,test_examples=50,size=4", "batch_size": 12, "validation": {"fraction": 0.4}}
)
SHARES = [f"{part}_share" for part in PARTS]
STREAM = Stream(Resident(open_source(DATA.source), DATA, 0, CPU), 1, 2)  # 10 steps an epoch


class Slow:
    """The same batches, each after work that takes far longer than a step."""

    resident, fingerprint = STREAM.resident, STREAM.fingerprint

    def batch_at(self, step: int) -> tuple[Tensor, Tensor]:
        draw = torch.Generator().manual_seed(step)
        torch.randn(150_000, generator=draw).sort()
        return STREAM.batch_at(step)


def trainee(name: str = "a", *, step: int = 0, steps_per_epoch: int = 10, **recipe: Any) -> Trainee:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 4))
    given = {"epochs": 3, "optimizer": {"name": "sgd", "lr": 0.1}, **recipe}
    mask = magnitude_masks(model, [0.5])[0.5]
    return Trainee(name, model, Train.model_validate(given), steps_per_epoch, timing=Timing(step), mask=mask)


def course(folder: Path, name: str = "a", **options: Any) -> Course:
    return Course(trainee(name, **options), name, {}, folder / f"{name}-resume", folder / name)


def fitted(folder: Path, stream: Any = STREAM, **options: Any) -> list[dict[str, Any]]:
    one = course(folder, **options)
    fit([one], stream, Event(), Pace(1e9))
    assert one.done
    return one.metrics


def named(rows: list[dict[str, Any]]) -> float:
    """Returns the share of a step that the parts name, median over the rows: another process can stop one anywhere."""
    return median(sum(row[share] for share in SHARES) for row in rows)


def test_every_row_says_where_the_time_went(tmp_path: Path) -> None:
    rows = fitted(tmp_path)
    assert [row["sampled_steps"] for row in rows] == [1, 1, 1]
    assert named(rows) > 0.9
    for row in json.loads(json.dumps(rows)):
        assert sum(row[share] for share in SHARES) <= 1
        assert all(0 < row[share] < 1 for share in SHARES)
        assert row["examples_per_second"] > 0
        assert row["evaluation_seconds"] > 0
        assert row["tickets_together"] == 1
        assert not [key for key in row if "gpu" in key], "nothing about GPUs on a CPU"


def test_a_slow_stream_is_seen_as_waiting_for_data(tmp_path: Path) -> None:
    fast, slow = fitted(tmp_path / "fast"), fitted(tmp_path / "slow", Slow())
    assert (middle(fast, "data_share") or 0) < 0.5
    assert (middle(slow, "data_share") or 0) > 0.7
    assert (middle(slow, "examples_per_second") or 0) < (middle(fast, "examples_per_second") or 0) / 4
    assert sum(slow[0][share] for share in SHARES) <= 1


def test_the_bits_are_those_of_a_loop_without_a_meter(tmp_path: Path) -> None:
    plain = trainee()
    list(train([plain], STREAM, (), lambda: False))
    timed = course(tmp_path, evaluate_every="1it")  # so that every step is timed
    fit([timed], STREAM, Event(), Pace(1e9))
    assert sum(row["sampled_steps"] for row in timed.metrics) == 29
    assert weights_hash(state_of(timed.trainee)) == weights_hash(state_of(plain))


def test_the_shares_of_the_wall_time_add_up_to_it(tmp_path: Path) -> None:
    courses = [course(tmp_path, "a"), course(tmp_path, "b"), course(tmp_path, "c", step=13)]
    began = perf_counter()
    fit(courses, STREAM, Event(), Pace(1e9))
    wall = perf_counter() - began
    assert 0.5 * wall < sum(one.seconds for one in courses) <= wall
    early, late = courses[0].metrics, courses[2].metrics
    assert [row["tickets_together"] for row in early] == [2, 3, 3]
    assert [row["step"] for row in late] == [20, 30]
    for one in courses:
        starts = [one.trainee.first_step, *(row["step"] for row in one.metrics)]
        taken = [row["step"] - start for row, start in zip(one.metrics, starts, strict=False)]
        busy = sum(12 * n / row["examples_per_second"] for n, row in zip(taken[-2:], one.metrics[-2:], strict=True))
        assert busy < one.seconds


def test_saving_is_booked_as_such_and_never_as_training(tmp_path: Path) -> None:
    one = course(tmp_path)
    one.keep = {0: "0ep", 10: "1ep", 30: "3ep"}
    fit([one], STREAM, Event(), Pace(1e-9))  # saves at every step
    rows = one.metrics
    assert all(row["checkpoint_seconds"] > 0.001 for row in rows)
    assert all(row["checkpoint_seconds"] > 120 / row["examples_per_second"] for row in rows), "a step is far shorter"


def test_micro_batches_are_one_step(tmp_path: Path) -> None:
    rows = fitted(tmp_path, micro_batch=3)
    assert [row["sampled_steps"] for row in rows] == [1, 1, 1]
    assert 0.9 < named(rows) <= 1


def test_the_inside_of_a_captured_step_is_unknown_but_its_share_is_not_given_to_the_data(tmp_path: Path) -> None:
    one = course(tmp_path)
    one.trainee.captured = one.trainee.take_step  # as a graph does: no marks
    fit([one], STREAM, Event(), Pace(1e9))
    for row in one.metrics:
        assert 0 < row["data_share"] < 0.5
        assert [row[share] for share in SHARES[1:]] == [None] * 4


@settings(max_examples=60)
@given(st.integers(1, 300), st.integers(1, 400), st.integers(0, 500), st.integers(1, 3))
def test_one_step_in_47_is_timed_and_at_least_one_an_epoch_and_a_row(
    steps_per_epoch: int, every: int, start: int, tickets: int
) -> None:
    recipe = Train.model_validate(
        {"epochs": 1000, "optimizer": {"name": "sgd", "lr": 0.1}, "evaluate_every": f"{every}it"}
    )
    ones = [SimpleNamespace(recipe=recipe, steps_per_epoch=steps_per_epoch, step=start + 7 * n) for n in range(tickets)]
    meter = Meter([Tally(one) for one in ones], 8, CPU)  # type: ignore[arg-type]
    last = start + 4 * max(steps_per_epoch, every)
    timed = [step for step in range(start, last) if meter.clock_of(step) is not unclocked]
    assert start not in timed, "the first step warms up"
    pause = min(EVERY, steps_per_epoch, every)
    assert all(b - a == pause for a, b in pairwise(timed))
    assert start < timed[0] <= start + pause


def test_a_row_without_a_timed_step_leaves_the_shares_open(tmp_path: Path) -> None:
    first, *rest = fitted(tmp_path, steps_per_epoch=1)
    assert first["examples_per_second"] is None, "the only step was the first of the process"
    assert [first[share] for share in SHARES] == [None] * 5
    assert first["sampled_steps"] == 0
    assert [row["sampled_steps"] for row in rest] == [1, 1]


def test_peak_memory_is_that_of_the_process_and_never_falls() -> None:
    before = peak_memory(CPU)
    held = torch.ones(1 << 23)
    after = peak_memory(CPU)
    assert before >= held.nbytes
    assert after >= before


def test_what_is_measured_is_the_median_of_the_rows_with_the_usual_company() -> None:
    shared = {"data_share": 0.1, "evaluation_seconds": 0.5, "checkpoint_seconds": 2.0, "peak_memory_bytes": 7}
    rows = [
        {**shared, "tickets_together": 1, "examples_per_second": 10.0},
        {**shared, "tickets_together": 4, "examples_per_second": 40.0},
        {**shared, "tickets_together": 4, "examples_per_second": 60.0},
        {**shared, "tickets_together": 4, "examples_per_second": None},
    ]
    one = trainee()
    found = measured(rows, Tally(one, watch=Stopwatch()), 100)
    assert found is not None
    together, took = found
    assert together == 4
    assert took["seconds_per_step"] == pytest.approx(2.0)
    assert took["evaluation_seconds"] == 0.5
    assert 8 <= took["overhead_seconds"] < 9
    weights = 16 * 12 + 12 + 12 * 4 + 4
    assert took["state_bytes"] == 2 * 4 * weights, "weights and mask; plain SGD keeps no state"
    assert measured([{"step": 1}], Tally(one), 100) is None, "rows of somebody else's training"


class NVMLError(Exception):
    pass


def library(**functions: Any) -> ModuleType:
    """A library that finds the device, and refuses everything that `functions` do not answer."""

    def refuse(*_: object) -> None:
        raise NVMLError("Not Supported")

    names = ["UtilizationRates", "MemoryInfo", "PowerUsage", "Temperature", "HandleByUUID"]
    made = ModuleType("pynvml")
    answers = {"nvmlInit": lambda: None, **{f"nvmlDeviceGet{name}": refuse for name in names}, **functions}
    for name, value in {**answers, "NVMLError": NVMLError, "NVML_TEMPERATURE_GPU": 0}.items():
        setattr(made, name, value)
    return made


READINGS = ["gpu_utilization", "gpu_memory_bytes", "gpu_power_watts", "gpu_temperature_celsius"]


def test_what_nvml_refuses_is_unknown_and_never_0() -> None:
    assert gpu.read(library(), NVMLError, "x") == dict.fromkeys(READINGS, "unknown")
    parts: list[str] = []

    def only_part(uuid: str) -> str:
        parts.append(uuid)
        if uuid != "MIG-x":
            raise NVMLError("Not Found")
        return uuid

    seen = library(nvmlDeviceGetHandleByUUID=only_part, nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(used=5))
    assert gpu.read(seen, NVMLError, "x") == {**dict.fromkeys(READINGS, "unknown"), "gpu_memory_bytes": 5}
    assert parts == ["MIG-x"]


def test_without_the_library_or_without_permission_there_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_driver() -> None:
        raise NVMLError("Driver Not Loaded")

    for module, said in ((None, "pip install 'lth[gpu]'"), (library(nvmlInit=no_driver), "Driver Not Loaded")):
        gpu._nvml.cache_clear()  # pyright: ignore[reportPrivateUsage]
        monkeypatch.setitem(sys.modules, "pynvml", module)
        with caplog.at_level("INFO", "lth"):
            assert gpu.readings(CPU) == dict.fromkeys(READINGS, "unknown")
        assert said in caplog.text
    gpu._nvml.cache_clear()  # pyright: ignore[reportPrivateUsage]
