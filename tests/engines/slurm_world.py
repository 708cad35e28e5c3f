"""A run on a real SLURM cluster that can be disturbed, and sites that grant little."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from engines.grid import COUNTED, environment, lth, write_spec
from engines.slurm_cluster import SlurmCluster

TABLE = '[execute.slurm]\ntime = "{time}"\n'


class World:
    """A run on a cluster, of the network that notes its steps."""

    def __init__(self, slurm: SlurmCluster, folder: Path, *, time: str = "10", table: str = "", **more: str):
        self.slurm, self.folder, self.run = slurm, folder, folder / "run"
        self.environment = {**slurm.environment, **environment(folder, **more)}
        self.spec = write_spec(folder, "slurm", model=COUNTED, epochs=10, more=TABLE.format(time=time) + table)

    def edit(self, old: str, new: str) -> None:
        """Puts `new` in the place of `old` in the spec."""
        text = self.spec.read_text()
        assert old in text
        self.spec.write_text(text.replace(old, new))

    def start(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Returns the finished command that submits."""
        return lth("run", self.spec, "--into", self.run, *words, env=self.environment)

    def submit(self) -> None:
        done = self.start()
        assert done.returncode == 0, done.stderr
        assert "submitted" in done.stdout, done.stdout

    def begin(self) -> subprocess.Popen[str]:
        """Returns the command that submits, just started."""
        command = [sys.executable, "-m", "lth", "run", str(self.spec), "--into", str(self.run)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env={**os.environ, **self.environment}, stdout=pipe, stderr=pipe, text=True)

    def submitted(self) -> list[dict[str, Any]]:
        """Returns the records of the arrays that were submitted."""
        return [json.loads(line) for line in (self.run / "slurm" / "jobs.jsonl").read_text().splitlines()]

    def held(self) -> dict[str, float]:
        """Returns, by task that has ended, for how long it was held after the last thing it did, or its start."""
        found: dict[str, float] = {}
        for line in self.slurm.ask("scontrol", "show", "job", "-o").splitlines():
            told = dict(word.partition("=")[::2] for word in line.split())
            log = Path(told.get("StdOut", "none"))
            if log.parent != self.run / "logs" or not told["EndTime"].startswith("2"):
                continue
            start, end = (datetime.fromisoformat(told[key]) for key in ("StartTime", "EndTime"))
            lines = log.read_text().splitlines() if log.exists() else []
            did = [datetime.fromisoformat(one[:19]) for one in lines if re.search(r"INFO \S+ done", one)]
            found[told["JobId"]] = (end - max([start, *did])).total_seconds()
        return found

    def wait(self) -> None:
        """Returns when no job is left."""
        self.slurm.wait_until(lambda: not self.slurm.ask("squeue", "-h"))

    def training(self) -> list[int]:
        """Returns the processes that have taken a step and are alive, when there are some."""

        def alive() -> list[int]:
            steps = self.folder / "steps"
            taken = set(map(int, steps.read_text().split())) if steps.exists() else set()
            return [pid for pid in taken if os.path.exists(f"/proc/{pid}")]

        self.slurm.wait_until(lambda: bool(alive()))
        return alive()

    def said(self) -> str:
        return "".join(path.read_text() for path in sorted(self.run.glob("logs/*.log")))


REFUSING = """#!/bin/sh
# A site where a user may have {most} jobs.
{first}
wanted=1
for word in "$@"; do case $word in --array=0-*) wanted=$((${{word#--array=0-}} + 1)) ;; esac; done
if [ $(($(squeue -h -r | wc -l) + wanted)) -gt {most} ]; then
    echo "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy" >&2
    exit 1
fi
exec {sbatch} "$@"
"""


def at_most(jobs: int, folder: Path, first: str = "") -> str:
    """Returns a PATH whose sbatch refuses more jobs: without a database SLURM knows no limit of a user's.

    It does `first`, lines of a shell, before it looks.
    """
    wrapper = folder / "bin" / "sbatch"
    wrapper.parent.mkdir()
    wrapper.write_text(REFUSING.format(most=jobs, first=first, sbatch=shutil.which("sbatch")))
    wrapper.chmod(0o755)
    return f"{wrapper.parent}:{os.environ['PATH']}"
