"""The one grid that every engine is held to: twelve units, LeNet on handwritten digits made up by a seed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

UNITS = 12  # one dense network, ten tickets, the closing unit
CHANCE = 0.25
LENET, COUNTED = "lenet_300_100", "counted:Counted"
FOLDER = Path(__file__).parent
SPEC = """
name = "twelve"
[data]
source = "synthetic:examples=600,test_examples=200,classes=4,size=6,noise=0.4"
batch_size = 32
validation = {{ fraction = 0.25 }}
[model]
name = "{model}"
[train]
epochs = {epochs}
optimizer = {{ name = "sgd", lr = 0.1, momentum = 0.9 }}
guard_epochs = 2
[grid]
sparsities = [0.5, 0.7, 0.8, 0.9, 0.95]
rewind = ["0", "1ep"]
[select]
tolerance = 0.1
[execute]
launcher = "{launcher}"
workers = 2
tickets_per_worker = 2
checkpoint_epochs = 1
{more}
"""


def write_spec(folder: Path, launcher: str = "local", *, epochs: int = 4, more: str = "", model: str = LENET) -> Path:
    """Returns the spec file of the grid for an engine; `more` are further lines of `[execute]` and tables after it."""
    path = folder / f"{launcher}.toml"
    path.write_text(SPEC.format(launcher=launcher, epochs=epochs, more=more, model=model))
    return path


def lth(*words: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """Returns the finished command `lth WORDS` with one thread."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", **more.pop("env", {})}
    command = [sys.executable, "-m", "lth", *map(str, words)]
    return subprocess.run(command, **{"capture_output": True, "text": True, "env": env, "timeout": 600, **more})


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Returns what the network `COUNTED` needs: where it is found, and where it notes its steps."""
    path = os.pathsep.join(filter(None, (str(FOLDER), os.environ.get("PYTHONPATH"))))
    return {"PYTHONPATH": path, "STEPS_TAKEN": str(folder / "steps"), **more}


def records(run: Path) -> dict[str, dict[str, Any]]:
    """Returns every published result by unit id, the closing one among them."""
    paths = (path for group in ("dense", "cells", "winner") for path in run.glob(f"{group}/*/result.json"))
    return {record["id"]: record for record in map(json.loads, map(Path.read_text, paths))}


def hashes(run: Path) -> dict[str, str]:
    """Returns the weights hash of every trained network by unit id."""
    return {name: one["weights_sha256"] for name, one in records(run).items() if "weights_sha256" in one}


def check_whole(run: Path, expected: dict[str, str]) -> None:
    """Asserts that the run is done, with the bits of `expected`, nothing twice, and nothing left behind."""
    found = records(run)
    assert len(found) == UNITS, sorted(found)
    assert hashes(run) == expected
    trained = [one for one in found.values() if "weights_sha256" in one]
    assert all(one["audit"]["passed"] for one in trained)
    assert all(one["validation_top1"] > 2 * CHANCE for one in trained)
    for name, one in found.items():
        attempts = [path.name for path in run.glob(f"*/{_folder(name)}/attempt-*")]
        assert attempts == ([f"attempt-{one['attempt']}"] if "attempt" in one else []), (name, attempts)
    assert not [path for path in (run / "claims").iterdir() if not path.name.startswith(".")]


def _folder(name: str) -> str:
    return name.removeprefix("dense-").removeprefix("finish-")
