"""What a training function of one's own has done so far, in files that outlive its process."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from lth.errors import TrainingError
from lth.runs.files import atomic_write, read_json, sha256_of, write_json

SAVE_SECONDS = 10.0
FRACTIONS = ("train_top1", "validation_top1", "test_top1")


@dataclass(frozen=True)
class EntryFolder:
    """The files through which a worker and the process of a training function speak; `entry/` of a unit's folder."""

    root: Path

    @property
    def job(self) -> Path:
        return self.root / "job.json"

    @property
    def start(self) -> Path:
        return self.root / "start.safetensors"

    @property
    def mask(self) -> Path:
        return self.root / "mask.safetensors"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def progress(self) -> Path:
        return self.root / "progress.json"

    @property
    def rows(self) -> Path:
        return self.root / "rows.jsonl"

    @property
    def outcome(self) -> Path:
        return self.root / "outcome.json"

    def state(self, name: str, sha256: str) -> Path:
        return self.root / f"{name}-{sha256[:12]}.safetensors"


class EntryLog:
    """The steps taken, the dense states kept and the rows noted by one job; it goes on from what its folder holds."""

    def __init__(self, folder: EntryFolder, job: Mapping[str, Any]):
        self.folder, self.name = folder, str(job["name"])
        self.first_step, self.last_step = int(job["first_step"]), int(job["last_step"])
        self.steps_per_epoch = int(job["steps_per_epoch"])
        self.keep = {int(step): str(name) for step, name in job["keep"].items()}
        before = read_json(folder.progress, "") if folder.progress.exists() else {}
        self.reached = int(before.get("reached", self.first_step))
        self.kept: dict[str, str] = dict(before.get("kept", {}))
        self.seconds = float(before.get("seconds", 0.0))
        self._called = False
        self._began = self._saved = time.monotonic()

    def taken(self, step: int, model: nn.Module) -> None:
        """Returns nothing; the network has taken `step`. Raises TrainingError for a step out of turn."""
        self._check(step, "after_step")
        if self._called and step != self.reached:
            cure = "Call it after every optimizer step, with the number of that step."
            what = f"job.after_step({step}) came after job.after_step({self.reached - 1})"
            raise TrainingError(what, at=f"{self.name}, step {step}", cure=cure)
        self._called, self.reached = True, step + 1
        name = self.keep.get(self.reached)
        if name is not None:
            self.kept[name] = save(self.folder, name, model)
        if name is not None or self.reached == self.last_step or time.monotonic() - self._saved > SAVE_SECONDS:
            self.save()

    def note(self, step: int, numbers: Mapping[str, Any]) -> None:
        """Returns nothing; adds a row of numbers, at once on disk. Raises TrainingError for what is no number."""
        self._check(step, "log")
        at = f"{self.name}, step {step}"
        row = {"step": step + 1, "epoch": (step + 1) / self.steps_per_epoch}
        row |= {key: number(key, value, at) for key, value in numbers.items() if key not in row}
        with open(self.folder.rows, "a") as file:
            file.write(json.dumps({**row, "seconds": round(self._elapsed(), 3)}) + "\n")

    def save(self) -> None:
        """Returns nothing; the folder holds how far the job is."""
        self._saved = time.monotonic()
        write_json(self.folder.progress, {"reached": self.reached, "kept": self.kept, "seconds": self._elapsed()})

    def _elapsed(self) -> float:
        return self.seconds + time.monotonic() - self._began

    def _check(self, step: int, where: str) -> None:
        if isinstance(step, int) and self.first_step <= step < self.last_step:
            return
        cure = f"The steps of this job are {self.first_step} to {self.last_step - 1}."
        raise TrainingError(f"job.{where} was given no step of this job", at=self.name, value=step, cure=cure)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Returns the noted rows, one a step: a later try's numbers count, and a line cut off by a kill does not."""
    rows: dict[int, dict[str, Any]] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):
            row = json.loads(line)
            rows[row["step"]] = {**rows.get(row["step"], {}), **row}
    return [rows[step] for step in sorted(rows)]


def save(folder: EntryFolder, name: str, model: nn.Module) -> str:
    """Returns the sha256 of the file that now holds the network's state dict, and bears it in its name."""
    state = {key: value.detach().cpu().contiguous().clone() for key, value in model.state_dict().items()}
    data = safetensors.torch.save(state)
    sha256 = sha256_of(data)
    atomic_write(folder.state(name, sha256), data)
    return sha256


def number(key: str, value: Any, at: str) -> float:
    """Returns `value` as a finite float; numpy numbers and tensors of one element count. Raises TrainingError."""
    try:
        if isinstance(value, str | bytes | bool):
            raise TypeError
        found = float(value.detach() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError, RuntimeError):
        shown = "None" if value is None else value
        raise TrainingError(f"{key} is not a number", at=at, value=shown, cure="Give one number.") from None
    if not math.isfinite(found):
        raise TrainingError(f"{key} is not a finite number", at=at, value=found, cure="Lower the learning rate.")
    if key in FRACTIONS and not 0 <= found <= 1:
        cure = "Give a fraction: 0.973, not 97.3."
        raise TrainingError(f"{key} is not between 0 and 1", at=at, value=found, cure=cure)
    return found
