"""A worker as a Spark task: the command `lth work` on an executor. Nothing is pickled but the few words of `Task`."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lth.endings import ENDED, USAGE, last_words
from lth.errors import LthError

GROUP = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # of nobody's group, unless torchrun says so


@dataclass(frozen=True)
class Task:
    """A worker to be: the run directory, where lth lies (none: as Spark has it), its log, the file that ends it."""

    run: str
    source: str
    log: str
    told: str


def work(task: Task) -> int:
    """Returns the exit code of a worker that has ended: 0, or 3 where it was told to.

    Raises LthError where the set-up is wrong, which no second try would mend, and ChildProcessError where the
    worker died: Spark then tries again, on any executor.
    """
    require_torch()
    log = Path(task.log)
    inherited = {name: value for name, value in os.environ.items() if name not in GROUP}
    path = os.pathsep.join(filter(None, (task.source, inherited.get("PYTHONPATH"))))
    environment = {**inherited, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **_gpus()}
    command = [sys.executable, "-m", "lth", "work", task.run, "--wait"]
    command += ["--parent", str(os.getpid()), "--told", task.told]
    with open(log, "ab") as output:
        begins = output.tell()
        code = subprocess.call(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
        )
    if code in ENDED:
        return code
    said = last_words(log.read_bytes()[begins:].decode(errors="replace"))
    if code == USAGE:
        raise LthError(said, at=f"a worker on {socket.gethostname()}")
    raise ChildProcessError(f"a worker on {socket.gethostname()} died, exit code {code}: {said}")


def require_torch() -> None:
    """Returns nothing. Raises LthError where this Python, an executor's, has no PyTorch."""
    if importlib.util.find_spec("torch") is None:
        cure = "Install lth on every machine of the cluster, or name a Python that has it: PYSPARK_PYTHON."
        raise LthError(
            "the Python of the Spark workers has no torch", at=socket.gethostname(), value=sys.executable, cure=cure
        )


def _gpus() -> dict[str, str]:
    """The GPUs that Spark gives this task, where it deals them out."""
    from pyspark import TaskContext

    context = TaskContext.get()
    granted = context.resources().get("gpu") if context is not None else None
    return {"CUDA_VISIBLE_DEVICES": ",".join(granted.addresses)} if granted else {}
