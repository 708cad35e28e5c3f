"""Small real experiments, run through the command line in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SPEC = """
name = "small"
seeds = [0, 1]
[data]
source = "synthetic:examples=600,test_examples=200,classes=4,size=6,noise=0.4"
batch_size = 32
validation = {{ fraction = 0.25 }}
[model]
name = "lenet_300_100"
[train]
epochs = {epochs}
optimizer = {{ name = "sgd", lr = 0.1, momentum = 0.9 }}
schedule = {{ name = "cosine", warmup_epochs = 1 }}
guard_epochs = 2
[grid]
sparsities = [0.5, 0.8, 0.95]
rewind = ["0", "1ep"]
controls = ["reinit", "shuffled_mask", "random_mask"]
[select]
tolerance = 0.1
confirm_seeds = 2
[execute]
launcher = "{launcher}"
workers = 2
tickets_per_worker = 4
checkpoint_epochs = 1
"""


def environment() -> dict[str, str]:
    """Returns the environment of a command: one thread, nothing else changed."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def lth(*words: str | Path, env: dict[str, str] | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Returns the finished command `lth WORDS`."""
    command = [sys.executable, "-m", "lth", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=env or environment(), timeout=300, **options)


def write_spec(folder: Path, *, launcher: str = "local", epochs: int = 4) -> Path:
    """Returns a spec file of a 3 x 2 grid on 2 seeds that trains in seconds."""
    path = folder / "small.toml"
    path.write_text(SPEC.format(launcher=launcher, epochs=epochs))
    return path


def records(run: Path) -> dict[str, dict[str, Any]]:
    """Returns every result.json of trained networks by unit id."""
    found = [
        json.loads(path.read_text()) for path in [*run.glob("cells/*/result.json"), *run.glob("dense/*/result.json")]
    ]
    return {record["id"]: record for record in found}


def hashes(run: Path) -> dict[str, str]:
    """Returns the weights hash of every trained network by unit id."""
    return {name: record["weights_sha256"] for name, record in records(run).items()}


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of the small experiment, done by the `local` launcher, undisturbed."""
    folder = tmp_path_factory.mktemp("finished")
    done = lth("run", write_spec(folder), "--into", folder / "run")
    assert done.returncode == 0, done.stderr + done.stdout
    return folder / "run"
