"""A run of the network that notes its steps, started by commands that can be disturbed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from engines.grid import COUNTED, environment, records, write_spec

STEPS = 140 + 5 * 140 + 5 * 126  # of all trainings at ten epochs: a ticket rewound to 1ep has nine
MEASURING = 2
LIMIT_SECONDS = 300.0


class Disturbed:
    """A run directory in `folder`; `more` goes into the environment of every command."""

    def __init__(self, folder: Path, **more: str):
        self.folder, self.run = folder, folder / "run"
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment(folder), **more}

    def start(self, launcher: str, table: str = "", **more: str) -> subprocess.Popen[str]:
        """Returns the command `lth run` on that launcher, just started; `table` follows `[execute]`."""
        spec = write_spec(self.folder, launcher, model=COUNTED, epochs=10, more=table)
        command = [sys.executable, "-m", "lth", "run", str(spec), "--into", str(self.run), "--here"]
        surroundings = {**self.environment, **more}
        return subprocess.Popen(
            command, env=surroundings, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def finish(self, *commands: subprocess.Popen[str], code: int = 0) -> str:
        """Returns what the commands said on stderr, after they have ended with `code`."""
        said = [command.communicate(timeout=LIMIT_SECONDS)[1] for command in commands]
        assert [command.returncode for command in commands] == [code] * len(commands), [*said, self.said()[-3000:]]
        return "".join(said)

    def steps(self) -> int:
        """Returns how many training steps were taken, repeated ones among them."""
        path = self.folder / "steps"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def repeats(self) -> int:
        """Returns how many steps more than needed were taken, for sure.

        Each worker passes two images forward as in training, to measure the memory that tickets need.
        """
        return max(0, self.steps() - STEPS - MEASURING * len(set((self.folder / "steps").read_text().split())))

    def workers(self) -> list[int]:
        """Returns the processes that have taken a step and are alive."""
        path = self.folder / "steps"
        pids = set(map(int, path.read_text().split())) if path.exists() else set()
        return sorted(pid for pid in pids if os.path.exists(f"/proc/{pid}"))

    def published(self) -> int:
        return len(records(self.run))

    def until(self, holds: Callable[[], bool], command: subprocess.Popen[str]) -> None:
        """Returns when `holds` does, while the command runs."""
        limit = time.monotonic() + LIMIT_SECONDS
        while not holds():
            assert command.poll() is None, command.communicate()
            assert time.monotonic() < limit, self.said()[-3000:]
            time.sleep(0.02)

    def said(self) -> str:
        """Returns the logs of all workers."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.run.glob("logs/*.log")))
