"""The text of the sbatch scripts: plain, to be read, edited and submitted again by hand."""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from lth.grid.stop import JOB_END
from lth.runs.run import Run
from lth.spec.slurm import Slurm, minutes_of

USUAL_LEAD, SAVES = 120.0, 3  # seconds of warning where no save was measured yet, and saves that a warning has room for
PLAIN = ("partition", "account", "qos", "constraint", "gres", "mem")


def mark(run: Run) -> str:
    """Returns what the names of all jobs of this run directory begin with."""
    return mark_of(run.path.resolve())


def mark_of(place: Path) -> str:
    """Returns the mark of the run directory in this place."""
    return f"lth-{hashlib.sha256(str(place).encode()).hexdigest()[:8]}"


def lead_seconds(run: Run) -> int:
    """Returns how long before the time limit a worker is warned: three times the longest save measured here.

    At least 30 s, at most a quarter of the limit. SLURM gives the warning up to a minute earlier or later.
    """
    save = run.facts().get("measured", {}).get("save", {}).get("seconds")
    limit = 60 * minutes_of(run.spec.execute.slurm.time)
    return int(min(max(30.0, SAVES * save if save else USUAL_LEAD), limit / 4))


def script(run: Run, what: str) -> str:
    """Returns the script of the array `what`, "dense" or "workers"."""
    slurm, world = run.spec.execute.slurm, run.spec.execute.data_parallel
    together = world if what == "dense" and world > 1 else 1
    return "\n".join([*_head(run, slurm, what, together), "", *_body(run, slurm, together, dense=what == "dense"), ""])


def _head(run: Run, slurm: Slurm, what: str, together: int) -> Iterator[str]:
    tasks = together if together > 1 else slurm.workers_per_task
    whom = "B:" if tasks == 1 else ""  # the batch shell, whose place the worker takes; else all workers of srun
    log = f"{run.layout.logs.resolve()}/slurm-{what}-%A_%a.log"
    yield "#!/bin/bash"
    yield f"# {run.spec.name}: {'dense networks' if what == 'dense' else 'workers'}. Each task takes what is ready"
    yield "# in the run directory, and ends when nothing is. Written by lth run; yours to edit and submit again."
    yield f"#SBATCH --job-name={mark(run)}-{what}"
    yield f"#SBATCH --output={log}"
    yield "#SBATCH --open-mode=append"
    yield f"#SBATCH --time={slurm.time}"
    yield f"#SBATCH --ntasks={tasks}"
    if tasks > 1 and together == 1:
        yield "#SBATCH --nodes=1"
    yield f"#SBATCH --cpus-per-task={slurm.cpus_per_task}"
    yield f"#SBATCH --signal={whom}USR1@{lead_seconds(run)}"
    yield "#SBATCH --requeue"
    for name in PLAIN:
        if (value := getattr(slurm, name)) is not None:
            yield f"#SBATCH --{name}={value}"
    for option in slurm.extra:
        yield f"#SBATCH {option}"


def _body(run: Run, slurm: Slurm, together: int, *, dense: bool) -> Iterator[str]:
    yield "trap '' USR1  # a warning that comes before the worker listens is not to end it"
    yield "export OMP_NUM_THREADS=1 LTH_LAUNCHED_BY=slurm"
    yield "# When the job ends, which older SLURMs do not say; what follows counts as well."
    yield f"export {JOB_END}=${{{JOB_END}:-$(($(date +%s) + {60 * minutes_of(slurm.time):.0f}))}}"
    yield from slurm.setup
    command = f"{slurm.prefix + ' ' if slurm.prefix else ''}{_work(run, slurm)}"
    command += " --dense" if dense else ""
    if together > 1:
        yield "# The processes that train one network together find each other at the first node."
        yield 'export MASTER_ADDR=${MASTER_ADDR:-$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)}'
        yield "export MASTER_PORT=${MASTER_PORT:-$((20000 + SLURM_JOB_ID % 20000))}"
        names = "RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS LOCAL_RANK=$SLURM_LOCALID"
        inner = shlex.quote(f"{names} exec {command}")
        yield f"exec srun --kill-on-bad-exit=1 --cpus-per-task={slurm.cpus_per_task} bash -c {inner}"
    elif slurm.workers_per_task > 1:
        own = " --gpus-per-task=1" if slurm.gres and slurm.gres.startswith("gpu") else ""
        yield f"exec srun --kill-on-bad-exit=0 --cpus-per-task={slurm.cpus_per_task}{own} {command}"
    else:
        yield f"exec {command}"


def _work(run: Run, slurm: Slurm) -> str:
    place = shlex.quote(str(run.path.resolve()))
    python = "python" if slurm.prefix else shlex.quote(os.path.abspath(sys.executable))
    return f"{python} -m lth work {place} --walltime {minutes_of(slurm.time):g}"
