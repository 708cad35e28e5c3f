"""The process in which a training function of one's own runs: python -m lth.training.entry_process FOLDER PIPE"""

from __future__ import annotations

import faulthandler
import functools
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any

import torch

from lth.errors import LthError, TrainingError
from lth.grid.work import SETUP
from lth.models.registry import build
from lth.pruning.mask import Mask
from lth.runs.files import make_folder, read_json, write_json
from lth.runs.run import Run, open_run
from lth.training.checkpoint import load_state
from lth.training.entry import Job, entry_function
from lth.training.entry_log import EntryFolder, EntryLog, number, save
from lth.training.workspace import Workspace

PARTS = ("train", "validation", "test")
SCORES = tuple(f"{part}_{what}" for part in PARTS for what in ("top1", "loss"))
COUNTS = tuple(f"{part}_examples" for part in PARTS)


def main(root: Path, pipe: int) -> int:
    """Returns the exit code: 0 with the scores in `outcome.json`, 1 with the reason there."""
    threading.Thread(target=_end_with_parent, args=(pipe,), daemon=True).start()
    signal.signal(signal.SIGTERM, _leave)
    faulthandler.enable()
    folder = EntryFolder(root)
    content = read_json(folder.job, "Delete its unit's folder.")
    log = EntryLog(folder, content)
    try:
        outcome = _outcome(folder, content, log)
    except BaseException as problem:
        traceback.print_exception(problem.with_traceback(_beyond(problem.__traceback__)))
        write_json(folder.outcome, _reason(problem))
        return 1
    finally:
        log.save()
    write_json(folder.outcome, outcome)
    return 0


def _outcome(folder: EntryFolder, content: Mapping[str, Any], log: EntryLog) -> dict[str, Any]:
    run = open_run(content["run"])
    function = entry_function(content["entry"])
    job = make_job(folder, content, log, run)
    scores = checked(function(job), job.name)
    for step, name in log.keep.items():
        if name not in log.kept:
            what = f"the dense network never reached step {step}, rewind point {name}"
            cure = (
                "Start at job.first_step, or where your own checkpoint was saved; call job.after_step(step) each step."
            )
            raise TrainingError(what, at=f"{job.name}, step {step}", cure=cure)
    if log.reached != job.last_step:
        what = f"the function returned after step {log.reached} of {job.last_step}"
        cure = "Take every step up to job.last_step - 1, and call job.after_step(step) after each."
        raise TrainingError(what, at=job.name, cure=cure)
    sha256 = save(folder, "weights", job.model)
    return {"key": content["key"], "scores": scores, "weights": sha256, "kept": log.kept}


def make_job(folder: EntryFolder, content: Mapping[str, Any], log: EntryLog, run: Run) -> Job:
    """Returns the job that the worker described in `job.json`, its network built and holding its start."""
    work = Workspace(run, Event())
    model = build(run.spec.model, tuple(content["input_shape"]), content["classes"], 0)
    model.load_state_dict(load_state(folder.start))
    torch.manual_seed(content["dropout_seed"])
    return Job(
        name=content["name"],
        model=model.to(work.device).train(),
        mask=Mask.load(folder.mask) if content["masked"] else None,
        device=work.device,
        first_step=content["first_step"],
        last_step=content["last_step"],
        steps_per_epoch=content["steps_per_epoch"],
        recipe=run.spec.train,
        seed=content["seed"],
        order_seed=content["order_seed"],
        augment_seed=content["augment_seed"],
        dropout_seed=content["dropout_seed"],
        folder=make_folder(folder.checkpoints),
        _stream=functools.cache(lambda: work.stream(content["seed"], content["order"])),
        _log=log,
    )


def checked(returned: Any, name: str) -> dict[str, float]:
    """Returns the scores a function returned, as plain numbers. Raises TrainingError naming the first that is none.

    A part, such as validation, is given as top1 and loss, and examples where it is not the data of the spec; or
    left out.
    """
    at, known = f"{name}, the scores returned", (*SCORES, *COUNTS)
    if returned is None:
        return {}
    if not isinstance(returned, Mapping):
        cure = "Return a dict of numbers, or None to have the network evaluated on the spec's data."
        raise TrainingError("not a dict", at=at, value=returned, cure=cure)
    for key in returned:
        if key not in known:
            close = get_close_matches(str(key), known, 1)
            cure = f"Did you mean {close[0]}?" if close else f"Known are {', '.join(known)}; others go to job.log."
            raise TrainingError(f"unknown key {key!r}", at=at, cure=cure)
    scores = {key: _in_range(key, value, at) for key, value in returned.items()}
    for part in PARTS:
        given = {key for key in scores if key.startswith(f"{part}_")}
        missing = sorted({f"{part}_top1", f"{part}_loss"} - given)
        if given and missing:
            raise TrainingError(f"{missing[0]} is missing", at=at, cure=f"Give it, or leave out {min(given)} too.")
    return scores


def _in_range(key: str, value: Any, at: str) -> float:
    found = number(key, value, at)
    if key in COUNTS and (found < 1 or found != int(found)):
        raise TrainingError(f"{key} is not a count", at=at, value=value, cure="Give a whole number from 1.")
    if key not in COUNTS and found < 0:
        raise TrainingError(f"{key} is negative", at=at, value=value, cure="Give the mean cross-entropy in nats.")
    return int(found) if key in COUNTS else found


def _reason(problem: BaseException) -> dict[str, str]:
    """The failure as the worker is told it: whose it is, and what is wrong where."""
    if not isinstance(problem, LthError):
        return {"whose": "function", "what": f"{type(problem).__name__}: {problem}"}
    at = str(problem.at) if problem.at is not None else ""
    whose = "setup" if isinstance(problem, SETUP) else "unit"
    return {"whose": whose, "what": str(problem).removeprefix(f"{at}: "), "at": at}


def _beyond(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the function on: the frames of this file say nothing about it."""
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace


def _leave(*_: object) -> None:
    """TERM ends the function as an exception would, so that its `finally` blocks run."""
    raise SystemExit(128 + signal.SIGTERM)


def _end_with_parent(pipe: int) -> None:
    """Nobody writes to the pipe: it ends when the worker does, and then everything started here ends too."""
    os.read(pipe, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
