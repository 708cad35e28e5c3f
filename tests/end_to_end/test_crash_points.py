"""A worker killed before each thing that it does to the run directory: the same command again finishes the run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SPEC = """
name = "crash"
[data]
source = "synthetic:examples=80,test_examples=20,classes=4,size=6,noise=0.4"
batch_size = 16
validation = { fraction = 0.25 }
[model]
name = "lenet_300_100"
[train]
epochs = 2
optimizer = { name = "sgd", lr = 0.1, momentum = 0.9 }
guard_epochs = 0
[grid]
sparsities = [0.5, 0.9]
[execute]
launcher = "local"
tickets_per_worker = 2
checkpoint_epochs = 1
"""


def crash(folder: Path, stride: int) -> dict[str, Any]:
    """Returns what `crash.py` found when every `stride`-th point was tried."""
    spec = folder / "crash.toml"
    spec.write_text(SPEC)
    command = [sys.executable, str(Path(__file__).with_name("crash.py")), str(spec), str(folder), str(stride)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=1200)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(found: dict[str, Any]) -> None:
    points = found["points"]
    assert found["units"] == 4
    assert found["wrong"] == {}
    for change in ("os.link", "os.rename", "os.fsync", "os.remove", "os.mkdir", "os.write /settled.jsonl"):
        assert any(point.startswith(change) for point in points), change
    assert len(points) > 100


def test_a_worker_killed_at_some_points(tmp_path: Path) -> None:
    check(crash(tmp_path, 37))


@pytest.mark.long
def test_a_worker_killed_at_every_point(tmp_path: Path) -> None:
    found = crash(tmp_path, 1)
    check(found)
    assert found["tried"] == len(found["points"])
