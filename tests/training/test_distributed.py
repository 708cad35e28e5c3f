"""Groups of 2 and 4 processes against one process: equal sums, one decision, exact resumption, a lost process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import safetensors.torch
import torch
from training.group_program import SCENES, STEPS, WORLDS, spec

from lth.errors import RunError
from lth.grid.stop import Stop
from lth.training.distributed import ALONE, Halt, check_world, joined


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder in which real groups of processes have left their results."""
    folder = tmp_path_factory.mktemp("groups")
    program = Path(__file__).with_name("group_program.py")
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(program.parents[1])}
    done = subprocess.run([sys.executable, program, folder], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


def told(folder: Path, world: int, rank: int = 0, name: str = "told") -> dict[str, Any]:
    return json.loads((folder / str(world) / f"{name}-{rank}.json").read_text())


def whole(folder: Path, world: int, rank: int = 0) -> dict[str, Any]:
    return told(folder, world, rank)["whole"]["whole"]


@pytest.mark.parametrize(("world", "scene"), [*((2, scene) for scene in SCENES), (4, "dense"), (4, "all")])
def test_a_group_trains_what_one_process_does_to_float64_rounding(found: Path, world: int, scene: str) -> None:
    """Weights, batch-norm statistics, optimizer state and losses: conv net with batch norm, crop and flip, momentum."""
    alone = safetensors.torch.load_file(found / "1" / f"{scene}.safetensors")
    group = safetensors.torch.load_file(found / str(world) / f"{scene}.safetensors")
    assert len(alone["loss"]) == STEPS
    for name, value in alone.items():
        torch.testing.assert_close(
            group[name], value, rtol=0, atol=1e-12, msg=lambda text, name=name: f"{name}: {text}"
        )
    assert any(not torch.equal(group[name], value) for name, value in alone.items()), "the group has summed nothing"


@pytest.mark.parametrize("world", WORLDS)
def test_every_process_has_the_scores_of_one_process_bit_for_bit(found: Path, world: int) -> None:
    for rank in range(world):
        assert told(found, world, rank)[f"rank {rank} of"] == world
        assert told(found, world, rank)["scores"] == told(found, 1)["scores"]


@pytest.mark.parametrize("world", WORLDS)
def test_a_training_in_float32_is_that_of_one_process_to_its_rounding_and_the_same_in_all(
    found: Path, world: int
) -> None:
    alone, first = whole(found, 1), whole(found, world)
    assert first["step"] == 36
    assert set(first["kept"]) == {"0ep.safetensors", "16it.safetensors", "16it.optimizer.safetensors"}
    for row, other in zip(first["curve"], alone["curve"], strict=True):
        assert row == pytest.approx(other, rel=1e-4)
    for rank in range(1, world):
        assert whole(found, world, rank)["bits"] == first["bits"]
        assert whole(found, world, rank)["kept"] == {}, "only the first process writes"


def test_a_rerun_of_a_group_has_its_bits(found: Path) -> None:
    assert told(found, 2, name="after")["again"] == {"began": 0, "whole": whole(found, 2)}


def test_a_stop_told_to_one_process_stops_all_at_one_step_and_the_training_goes_on_exactly(found: Path) -> None:
    assert [told(found, 2, rank)["stopped"]["whole"]["step"] for rank in range(2)] == [19, 19]
    assert told(found, 2)["went on"] == {"began": 19, "whole": whole(found, 2)}
    assert told(found, 2, rank=1)["went on"]["began"] == 19


def test_a_killed_process_ends_the_others_with_a_clear_error_and_the_next_start_resumes_exactly(found: Path) -> None:
    said = (found / "2" / "error").read_text()
    assert said.startswith("another process of the group has ended (")
    assert "goes on from the last saved state" in said
    assert told(found, 2, name="after")["went on"] == {"began": 28, "whole": whole(found, 2)}


def test_the_first_process_decides_and_publishes_all_work_and_agree_to_stop(found: Path) -> None:
    for rank in range(2):
        works = told(found, 2, rank, "after")["works"]
        assert works == {"seen": ["dense-seed0"], "stop": True, "done": ["dense-seed0"], "error": ""}


def test_a_training_that_breaks_in_one_process_is_written_down_and_ends_the_group(found: Path) -> None:
    first, second = (told(found, 2, rank, "after")["breaks"] for rank in range(2))
    assert first["error"].startswith(f"{found / '2' / 'breaks' / 'run'}: training broke in a group")
    assert "ValueError: a bug in a model" in first["error"]
    assert second["error"].startswith("another process of the group has ended")
    failure = json.loads((found / "2" / "breaks" / "run" / "dense" / "seed0" / "failed-1.json").read_text())
    assert failure["message"] == "a bug in a model"
    assert not failure["final"]


@pytest.mark.parametrize(
    ("train", "world", "cure"),
    [
        ({"micro_batch": None}, 2, "Set train.micro_batch, which goes through the network at once in either: 16."),
        ({"micro_batch": None}, 3, "take a batch_size that 3 divides"),
        ({"micro_batch": 16}, 4, "Start 2, or take a smaller train.micro_batch"),
        ({"micro_batch": 8}, 3, "3 processes cannot share the 4 micro-batches"),
        ({"micro_batch": 8, "entry": "package.module:function"}, 2, "lth work RUN"),
    ],
)
def test_a_group_that_cannot_share_the_batch_is_refused_with_the_cure(train: dict, world: int, cure: str) -> None:
    with pytest.raises(RunError) as refused:
        check_world(spec(**train), world)
    assert cure in str(refused.value)
    assert f"WORLD_SIZE={world}" in str(refused.value)


def test_without_a_launcher_a_process_is_alone_and_half_a_launcher_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LTH_RENDEZVOUS"):
        monkeypatch.delenv(name, raising=False)
    with joined(spec(micro_batch=None)) as group:
        assert group is ALONE
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RunError, match=r"RANK: not a number.*torchrun"), joined(spec()):
        pass
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(RunError, match=r"WORLD_SIZE: not a number"), joined(spec()):
        pass


def test_alone_every_step_looks_and_the_walltime_leaves_one_margin_to_a_training() -> None:
    due = iter([False, True, False])
    halt = Halt(Event(), lambda: next(due))
    assert [(halt.look(), halt.saving, halt.stopping) for _ in range(3)] == [
        (False, False, False), (True, True, False), (False, False, False),
    ]  # fmt: skip
    stop = Stop(100.0)
    stop.saved(40.0)  # a margin is a tenth of 100 s
    assert stop.margin() == 10.0
    assert not Halt(stop, lambda: False).look()
    short = Stop(0.0)
    ending = Halt(short, lambda: False)
    assert ending.look()
    assert ending.stopping
