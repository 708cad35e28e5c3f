"""The scripts: what they say, and that a shell reads them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from grid.worlds import small_spec

from lth.errors import SpecError
from lth.grid.slurm.queue import parsed, summary
from lth.grid.slurm.script import lead_seconds, mark, script
from lth.grid.slurm.submit import submit
from lth.runs.run import Run, start_run
from lth.spec.load import load_spec, parse_spec
from lth.spec.slurm import minutes_of

PAGE = (Path(__file__).parents[3] / "docs" / "slurm.md").read_text(encoding="utf-8")


def run_of(folder: Path, **slurm: Any) -> Run:
    spec = small_spec()
    table = spec.execute.slurm.model_validate(slurm)
    execute = spec.execute.model_copy(update={"launcher": "slurm", "workers": 80, "slurm": table})
    return start_run(folder / "run", spec.model_copy(update={"execute": execute, "name": "cluster"}))


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("90", 90), ("2:30", 2.5), ("4:00:00", 240), ("1-0", 1440), ("1-2:30", 1590), ("2-0:0:30", 2880.5)],
)
def test_time_limits_are_read_as_slurm_reads_them(text: str, minutes: float) -> None:
    assert minutes_of(text) == minutes


@pytest.mark.parametrize("text", ["", "soon", "4h", "1:2:3:4", "-5", "0:30"])
def test_other_time_limits_are_refused(text: str) -> None:
    with pytest.raises(SpecError, match=r"execute\.slurm\.time"):
        parse_spec(PRESET, "spec.toml", [f"execute.slurm.time='{text}'"])


def test_an_option_that_is_none_is_refused() -> None:
    with pytest.raises(SpecError, match=r"execute\.slurm\.extra.*not one option of sbatch"):
        parse_spec(PRESET, "spec.toml", ['execute.slurm.extra=["mail-type=END"]'])


@pytest.mark.parametrize("what", ["dense", "workers"])
@pytest.mark.parametrize("workers", [1, 4])
def test_a_shell_reads_the_script(tmp_path: Path, what: str, workers: int) -> None:
    run = run_of(tmp_path, workers_per_task=workers, setup=["module load 'a b'"], prefix="apptainer exec x.sif")
    text = script(run, what)
    assert subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True).returncode == 0
    head = text.split("\n\n")[0].splitlines()
    assert head[0] == "#!/bin/bash"
    assert all(line.startswith("#") for line in head)
    assert f"--job-name={mark(run)}-{what}" in text
    assert ("srun" in text) == (workers > 1)
    assert text.rstrip().endswith("--dense") == (what == "dense")
    assert "apptainer exec x.sif python -m lth work" in text


def test_a_group_of_processes_gets_ranks_and_an_address(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    execute = run.spec.execute.model_copy(update={"data_parallel": 2})
    text = script(Run(run.path, run.spec.model_copy(update={"execute": execute})), "dense")
    assert "#SBATCH --ntasks=2" in text
    assert "RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS LOCAL_RANK=$SLURM_LOCALID" in text
    assert subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True).returncode == 0


def test_the_page_shows_the_script_as_it_is(tmp_path: Path) -> None:
    run = run_of(
        tmp_path, partition="gpu", time="8:00:00", gres="gpu:4", workers_per_task=4, setup=["module load cuda"]
    )
    (shown,) = re.findall(r"```bash\n(#!/bin/bash\n# cluster: workers.*?)```", PAGE, re.S)
    real = script(run, "workers").replace(str(run.path.resolve()), "/scratch/runs/cluster")
    assert real.replace(mark(run), "lth-44630a69").replace(sys.executable, "/scratch/lth/.venv/bin/python") == shown


def test_the_warning_has_room_for_three_saves(tmp_path: Path) -> None:
    run = run_of(tmp_path, time="4:00:00")
    assert lead_seconds(run) == 120
    run.layout.facts.write_text('{"dataset_id": "x", "measured": {"save": {"seconds": 100.0}}}')
    assert lead_seconds(run) == 300
    assert lead_seconds(run_of(tmp_path / "short", time="2")) == 30


def test_the_queue_is_read_by_name() -> None:
    lines = "12_0|RUNNING|None|lth-ab-dense|n1\n13_1|PENDING|Resources|lth-ab-workers|\n9|RUNNING|None|other|n2\n"
    found = parsed(lines, "lth-ab")
    assert [one.id for one in found] == ["12_0", "13_1"]
    assert summary(found) == "1 running on n1; 1 pending (Resources)"
    assert summary([]) == "none"


PRESET = """
name = "cluster"
[data]
source = "digits"
batch_size = 32
[model]
name = "lenet_300_100"
[train]
epochs = 2
optimizer = { name = "sgd", lr = 0.1 }
[grid]
sparsities = [0.5]
"""


def test_the_cluster_of_2021_is_submitted_as_the_page_shows(tmp_path: Path) -> None:
    spec = load_spec(Path(__file__).parents[3] / "examples" / "imagenet_2021_slurm.toml")
    run = start_run(tmp_path / "run", spec)
    told = [line.replace(str(run.path), "runs/in1k") for line in submit(run, dry_run=True)]
    assert "\n".join(told) in PAGE
    (end,) = re.findall(r"```bash\n(# The processes that train.*?)```", PAGE, re.S)
    real = script(run, "dense").replace(str(run.path.resolve()), "/scratch/runs/in1k")
    assert real.replace(sys.executable, "/scratch/lth/.venv/bin/python").endswith(end)
