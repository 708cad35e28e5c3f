"""Workers started by mpiexec, here or on the machines it knows; they exchange no messages."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event

from lth.endings import USAGE
from lth.errors import MissingExtraError, RunError
from lth.grid.launchers.worker import LOOK_SECONDS, Deaths, Worker
from lth.grid.place import NAMES
from lth.grid.work import Do, worker_count
from lth.runs.files import make_folder
from lth.runs.run import Run

KEY = "execute.mpi.command"
REMIND_SECONDS = 1.0

# A rank that is still starting would die of the signal that tells all of them to save, and take the others with it.
BEGINS = "a rank begins"
SHELL = ("sh", "-c", f'trap "" USR1; echo "{BEGINS}"; exec "$@"', "lth")


def launch(run: Run, _: Callable[[], Do], stop: Event) -> None:
    """Returns when the ranks have ended by themselves, or, where `stop` is set, have saved their state and ended.

    A rank that dies takes all others with it: they are started again as long as they get something done.
    Raises MissingExtraError without mpiexec, RunError where it cannot start workers, or they keep dying.
    """
    words, deaths = command(run), Deaths(run)
    while not stop.is_set():
        ranks = _start(run, words)
        try:
            while ranks.process.poll() is None and not stop.wait(LOOK_SECONDS) and not stop.is_set():
                pass
        finally:
            _end(ranks.process)
        code = ranks.process.returncode
        if code == 0 or stop.is_set():
            return
        said = ranks.said()
        if BEGINS not in said:
            cure = f"Try the command by itself, or change it: {KEY}."
            raise RunError(f"it started no worker: {_reason(said)}", at=KEY, value=shlex.join(words), cure=cure)
        if code == USAGE:
            raise RunError(ranks.last_words())
        if deaths.too_many():
            raise RunError(f"ranks keep dying: {_reason(said)}", at=ranks.log, value=f"exit code {code}")


def command(run: Run) -> list[str]:
    """Returns the words of `execute.mpi.command`, its program by its path.

    A program that was installed beside this Python is found without being on the PATH.
    """
    text = run.spec.execute.mpi.command.replace("{workers}", str(worker_count(run)))
    program, *words = shlex.split(text)
    found = shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))
    if found is None and program == "mpiexec":
        raise MissingExtraError("mpich", "mpi", "work under mpiexec")
    if found is None:
        raise RunError("its program is not found", at=KEY, value=program, cure="Install it, or correct the command.")
    return [found, *words]


def _start(run: Run, words: list[str]) -> Worker:
    path = make_folder(run.layout.logs) / "mpi.log"
    alien = {name for names in NAMES.values() for name in names if not name.startswith("SLURM")}
    environment = {name: value for name, value in os.environ.items() if name not in alien}
    environment |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    worker = [sys.executable, "-m", "lth", "work", str(run.path.resolve()), "--wait"]
    with open(path, "ab") as log:
        begins = log.tell()
        process = subprocess.Popen(
            [*words, *SHELL, *worker],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip
    return Worker(process, path, begins)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Returns when all ranks have saved their state and ended: every mpiexec passes USR1 on, but not every one TERM.

    It is sent again and again, since a rank that is starting does not hear it.
    """
    while process.poll() is None:
        process.send_signal(signal.SIGUSR1)
        try:
            process.wait(REMIND_SECONDS)
        except subprocess.TimeoutExpired:
            continue


def _reason(said: str) -> str:
    """Returns the last line with words in it: some engines put lines of dashes around what they say."""
    lines = [line.strip() for line in said.splitlines() if any(letter.isalpha() for letter in line)]
    return lines[-1] if lines else "it said nothing"
