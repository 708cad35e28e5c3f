"""The adaptive search on a real network: fewer tickets, the same bits, and a full grid that goes on from there."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from end_to_end.conftest import hashes, lth, records

ROOT = Path(__file__).parents[2]
LEVELS = ("0.3", "0.5", "0.6", "0.7", "0.8", "0.9", "0.99", "0.998")
SPEC = f"""
name = "searched"
seeds = [0, 1]
[data]
source = "digits"
batch_size = 64
[model]
name = "lenet_300_100"
[train]
epochs = 3
optimizer = {{ name = "sgd", lr = 0.1, momentum = 0.9 }}
[grid]
sparsities = [{", ".join(LEVELS)}]
search = "adaptive"
[select]
tolerance = 0.25
[execute]
launcher = "local"
"""


WHOLE = {f"s{level}-r0-seed{seed}" for level in LEVELS for seed in (0, 1)}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a spec and of its finished run."""
    folder = tmp_path_factory.mktemp("searched")
    (folder / "searched.toml").write_text(SPEC)
    done = lth("run", folder / "searched.toml", "--into", folder / "run")
    assert done.returncode == 0, done.stderr + done.stdout
    return folder


def test_a_search_ends_with_a_part_of_the_tickets(searched: Path) -> None:
    said, found = json.loads(lth("status", searched / "run", "--json").stdout), records(searched / "run")
    tickets = {name for name, one in found.items() if one["kind"] == "cell"}
    assert (said["cells"], said["waiting"], said["failed"]) == (len(tickets), 0, 0)
    assert {"s0.3-r0-seed0", "s0.3-r0-seed1"} <= tickets < WHOLE
    assert all(one["audit"]["passed"] for one in found.values())
    selection = json.loads((searched / "run" / "winner" / "selection.json").read_text())
    assert selection["verdict"] != "incomplete"
    assert (searched / "run" / "report" / "index.html").exists()


@pytest.mark.long
def test_a_full_grid_goes_on_from_a_search_and_can_be_replayed(searched: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(searched / "run", tmp_path / "run"))
    before = hashes(run)
    full = lth("run", searched / "searched.toml", "--into", run, "--set", 'grid.search="full"')
    assert full.returncode == 0, full.stderr + full.stdout
    after = hashes(run)
    assert {name: after[name] for name in before} == before
    assert after.keys() == before.keys() | WHOLE

    script = ROOT / "benchmarks" / "adaptive_search.py"
    command = [sys.executable, "-W", "error", str(script), "--recorded", str(run), "--draws", "3"]
    replayed = subprocess.run(command, capture_output=True, text=True)
    assert replayed.returncode == 0, replayed.stderr
    assert "| as recorded | " in replayed.stdout
    assert "| 3 draws of 2 seeds | " in replayed.stdout
