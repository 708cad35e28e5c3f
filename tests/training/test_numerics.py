"""What the bits of a result depend on, and the settings of a worker that they do not depend on."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest
import torch

from lth.errors import RunError
from lth.spec.recipe import Train
from lth.training.numerics import numerics_class, pick_device, set_numerics

CPU = torch.device("cpu")
FAULTS = """
import resource, sys, torch
from lth.training.numerics import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def step():
    for _ in range(4):
        torch.ones(16 << 20).add_(1)  # 64 MiB
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def recipe(**changes: object) -> Train:
    return Train.model_validate({"epochs": 1, "optimizer": {"name": "sgd", "lr": 0.1}, **changes})


@pytest.mark.parametrize(
    ("changes", "key", "value"),
    [
        ({"precision": "bf16"}, "precision", "bf16"),
        ({"compile": True}, "compile", True),
        ({"deterministic": False}, "deterministic", False),
    ],
)
def test_the_class_names_what_changes_bits(changes: dict[str, object], key: str, value: object) -> None:
    plain = numerics_class(CPU, recipe(), channels_last=False)
    assert numerics_class(CPU, recipe(**changes), channels_last=False) == {**plain, key: value}
    assert numerics_class(CPU, recipe(), channels_last=True) == {**plain, "layout": "channels_last"}
    assert numerics_class(CPU, recipe(), channels_last=False, world=4) == {**plain, "world_size": 4}
    assert {type(one) for one in plain.values()} <= {str, int, bool}, "a safe reader loads them again"


def test_tf32_without_a_gpu_is_refused() -> None:
    with pytest.raises(RunError, match=r"train\.precision: tf32 is a format of GPUs"):
        set_numerics(CPU, recipe(precision="tf32"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    assert pick_device("auto") == CPU
    with pytest.raises(RunError, match="no CUDA device here"):
        pick_device("cuda")


@pytest.mark.skipif(not hasattr(resource, "RUSAGE_SELF"), reason="no page faults to count")
def test_freed_memory_is_kept_so_that_a_step_has_no_pages_cleared() -> None:
    faults = {}
    for how in ("kept", "as it comes"):
        done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
        faults[how] = int(done.stdout)
    assert faults["kept"] < 100
    assert faults["kept"] < faults["as it comes"]
