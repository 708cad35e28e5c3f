"""What a job sees of itself: scheduler, rank, GPUs, walltime, by the environment it was started with."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from lth.cli.machine import Part
from lth.grid.place import place

JOBS = {"SLURM": "SLURM_JOB_ID", "PBS": "PBS_JOBID", "LSF": "LSB_JOBID", "HTCondor": "_CONDOR_JOB_AD"}


def job(environment: Mapping[str, str] = os.environ) -> Part | None:
    """Returns what the job sees that this process is in; None outside of jobs.

    Not ok where the scheduler's GPUs and those that programs are shown do not agree.
    """
    scheduler = next((name for name, key in JOBS.items() if environment.get(key)), None)
    stands = place(environment)
    if scheduler is None and stands is None:
        return None
    words = [f"{scheduler} {environment[JOBS[scheduler]]}"] if scheduler else []
    if stands:
        words.append(f"{stands} ({stands.launcher})")
    given, shown = environment.get("SLURM_JOB_GPUS") or environment.get("SLURM_STEP_GPUS"), _shown(environment)
    words += [_devices(shown)] if shown is not None else ["no word on GPUs"]
    words.append(_left(environment))
    if given and shown == []:
        cure = "Remove what sets CUDA_VISIBLE_DEVICES to nothing, or ask for the GPUs per task: --gpus-per-task"
        return Part("this job", False, "; ".join(words), False, f"the GPUs {given} that the job has", cure)
    return Part("this job", True, "; ".join(words))


def _shown(environment: Mapping[str, str]) -> list[str] | None:
    text = environment.get("CUDA_VISIBLE_DEVICES")
    return None if text is None else [one for one in text.split(",") if one and one != "NoDevFiles"]


def _devices(shown: list[str]) -> str:
    if not shown:
        return "no GPUs"
    slices = sum(one.startswith("MIG-") for one in shown)
    return f"GPUs {', '.join(shown)}{f' ({slices} of them MIG slices)' if slices else ''}"


def _left(environment: Mapping[str, str]) -> str:
    end = environment.get("SLURM_JOB_END_TIME", "")
    if not end.isdigit():
        return "walltime unknown: tell workers with lth work --walltime MINUTES"
    return f"{max(0.0, int(end) - time.time()) / 60:.0f} min left"
