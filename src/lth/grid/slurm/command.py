"""Commands of SLURM, and what to do where one is missing or fails."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from lth.errors import LthError

PATIENCE = 120.0
SETTINGS = ("/etc/slurm/slurm.conf", "/etc/slurm-llnl/slurm.conf", "/run/slurm/conf/slurm.conf")


class SlurmError(LthError):
    """SLURM refused, or did not answer."""


def ask(*words: str, environment: dict[str, str] | None = None, patience: float = PATIENCE) -> str:
    """Returns what the command prints. Raises SlurmError where it is missing, fails, or does not answer."""
    cure = "Run this where SLURM's commands are: on a login node of the cluster. `lth doctor` says what is there."
    if shutil.which(words[0]) is None:
        raise SlurmError("SLURM's command is not found", at=words[0], cure=cure)
    surroundings = {**os.environ, **(environment or {})}
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, errors="replace", timeout=patience, env=surroundings
        )
    except subprocess.TimeoutExpired:
        told = f"no answer in {patience:g} s"
        raise SlurmError(told, at=words[0], cure="Try again: the controller is busy or away.") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2].removeprefix(f"{words[0]}: ")
        raise SlurmError(said.removeprefix("error: ") or f"exit code {done.returncode}", at=" ".join(words))
    return done.stdout


def on_login_node() -> bool:
    """Returns whether this is a machine of a SLURM cluster, but not inside a job."""
    settings = [path for path in (os.environ.get("SLURM_CONF"), *SETTINGS) if path]
    set_up = shutil.which("sbatch") is not None and any(Path(path).exists() for path in settings)
    return set_up and "SLURM_JOB_ID" not in os.environ
