"""Networks of the users of an engine, for its faults: one that ends its worker once, one that takes its time."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import torch
from torch import nn

STEPS = 14  # of an epoch of the common grid


class Counted(nn.Sequential):
    """LeNet's shape, small; each training step is noted in $STEPS_TAKEN, and may take $STEP_SECONDS.

    At step $DIES_AT of a process, the first process to get there kills itself.
    """

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(36, 24), nn.ReLU(), nn.Linear(24, 4))
        self.taken = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.taken += 1
            with open(os.environ["STEPS_TAKEN"], "a") as steps:
                steps.write(f"{os.getpid()}\n")
            time.sleep(float(os.environ.get("STEP_SECONDS", "0")))
            if self.taken == int(os.environ.get("DIES_AT", "0")):
                with contextlib.suppress(FileExistsError):
                    Path(os.environ["STEPS_TAKEN"] + ".died").touch(exist_ok=False)
                    os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)
