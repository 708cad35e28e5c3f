"""The engines that can start workers: SLURM, MPI, Spark; and NVIDIA's GPUs. Each is asked in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lth.cli.machine import Part

PATIENCE = 20.0  # seconds; a controller that does not answer keeps its clients waiting for minutes


@dataclass(frozen=True)
class Answer:
    """What a command said: `code` is None where it did not answer in time or could not be started."""

    code: int | None
    out: str
    err: str

    @property
    def last(self) -> str:
        """Returns the last line it said, errors first."""
        return (self.err or self.out).rpartition("\n")[2] or f"exit code {self.code}, and not a word"


def ask(command: Sequence[str], seconds: float = PATIENCE) -> Answer:
    """Returns what `command` said within so many seconds; it is killed then, and its children with it."""
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            errors="replace", start_new_session=True,
        )  # fmt: skip
    except OSError as problem:
        return Answer(None, "", f"{command[0]} cannot be started: {problem.strerror}")
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.communicate()
        return Answer(None, "", f"{Path(command[0]).name} did not answer in {seconds:g} s")
    return Answer(process.returncode, out.strip(), err.strip())


SLURM_BLOCKS = 'launcher = "slurm"'


def slurm() -> Part:
    """Returns whether jobs can be submitted to SLURM from here: its commands are there, and its controller answers."""
    missing = [name for name in ("sbatch", "squeue", "scancel", "sinfo") if shutil.which(name) is None]
    if missing:
        cure = "On a cluster log in to a login node; elsewhere take another launcher"
        return Part("slurm", False, f"no {', '.join(missing)}", False, SLURM_BLOCKS, cure)
    told = ask(["sinfo", "--noheader", "--format=%P %a %D"])
    if told.code != 0:
        cure = "Ask `scontrol ping`, and those who run the cluster; SLURM_CONF names its settings"
        return Part("slurm", False, f"its controller does not answer: {told.last}", False, SLURM_BLOCKS, cure)
    rows = [line.split() for line in told.out.splitlines()]
    open_ones = [row for row in rows if len(row) == 3 and row[1] == "up"]
    if not open_ones:
        cure = "Ask those who run the cluster"
        return Part("slurm", False, "the controller answers, but no partition is up", False, SLURM_BLOCKS, cure)
    parts = ", ".join(f"{name} ({nodes} node{'' if nodes == '1' else 's'})" for name, _, nodes in open_ones)
    return Part("slurm", True, f"the controller answers; partitions {parts}")


MPI_BLOCKS = 'launcher = "mpi", mpiexec lth work RUN'
MPI_CURE = "Install one with: pip install 'lth[mpi]', or load your cluster's module"
RANK = """
import os
from lth.grid.place import place
stands = place(os.environ)
print("rank", stands.rank if stands else "unknown", flush=True)
"""


def mpi() -> Part:
    """Returns whether mpiexec starts two processes here that know their ranks."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    mpiexec = shutil.which("mpiexec", path=path)
    if mpiexec is None:
        return Part("mpi", False, "no mpiexec", False, MPI_BLOCKS, MPI_CURE)
    told = ask([mpiexec, "-n", "2", sys.executable, "-c", RANK])
    ranks = sorted(re.findall(r"^rank (\S+)$", told.out, re.M))
    if told.code == 0 and ranks == ["0", "1"]:
        return Part("mpi", True, f"{mpiexec} starts 2 ranks")
    said = f"starts processes with ranks {', '.join(ranks)}" if told.code == 0 and ranks else _reason(told)
    return Part("mpi", False, f"{mpiexec}: {said}", False, MPI_BLOCKS, _mpi_cure(told))


def _reason(told: Answer) -> str:
    """The line that says something: Open MPI frames its messages with dashes."""
    lines = [line.strip() for line in (told.err or told.out).splitlines() if re.search(r"[A-Za-z]", line)]
    return lines[0] if lines else told.last


def _mpi_cure(told: Answer) -> str:
    if "root" in told.err:
        return "Set OMPI_ALLOW_RUN_AS_ROOT=1 and OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1, or be another user"
    if "slots" in told.err:
        return "Set PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe, or ask the scheduler for 2 tasks"
    return MPI_CURE


SPARK_BLOCKS = "work on Spark"
SPARK_PROBE = "import pyspark.sql, pyarrow; print(pyspark.__version__, 'with pyarrow', pyarrow.__version__)"


def spark() -> Part:
    """Returns whether pyspark and pyarrow import; whether there is a Java for them, `machine.java` says."""
    cure = "Install it with: pip install 'lth[spark]'"
    if importlib.util.find_spec("pyspark") is None:
        return Part("spark", False, "no pyspark", False, SPARK_BLOCKS, cure)
    told = ask([sys.executable, "-c", SPARK_PROBE], 60)
    if told.code != 0:
        return Part("spark", False, told.last, False, SPARK_BLOCKS, cure)
    return Part("spark", True, f"pyspark {told.out}")


def gpus() -> Part:
    """Returns the GPUs that NVIDIA's driver knows, with their slices; what torch sees of them its own line says."""
    cure = "On a cluster ask for a node with GPUs; elsewhere train on the CPU, or install NVIDIA's driver"
    if shutil.which("nvidia-smi") is None:
        return Part("nvidia", False, "no nvidia-smi", False, "training on NVIDIA GPUs", cure)
    told = ask(["nvidia-smi", "-L"])
    lines = [line.strip() for line in told.out.splitlines()]
    names = [re.sub(r"^GPU \d+: | \(UUID.*\)$", "", line) for line in lines if line.startswith("GPU ")]
    if told.code != 0 or not names:
        return Part("nvidia", False, f"no GPU: {told.last}", False, "training on NVIDIA GPUs", cure)
    slices = sum(line.startswith("MIG ") for line in lines)
    counts = ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
    return Part("nvidia", True, f"{counts}{f', in {slices} MIG slices' if slices else ''}")
