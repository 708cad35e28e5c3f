"""Live progress: a bar on a terminal, plain lines without one; read from the run directory alone."""

from __future__ import annotations

import sys
import threading
import time

from lth.errors import LthError
from lth.grid.status import Status, status
from lth.runs.run import Run

TERMINAL_SECONDS = 0.5
PLAIN_SECONDS = 10.0


class Progress:
    """Shows how a run comes along on stderr while its `with` block is open."""

    def __init__(self, run: Run):
        self._run = Run(run.path, run.spec)  # a view of its own: it reads in another thread
        self._ended = threading.Event()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._show, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _show(self) -> None:
        if sys.stderr.isatty():
            return self._bar()
        last = ""
        while True:
            ended = self._ended.wait(PLAIN_SECONDS)
            seen = self._look()
            if seen is not None and (line := _line(seen)) != last:
                last = line
                print(f"{time.monotonic() - self._began:7.1f} s  {line}", file=sys.stderr, flush=True)
            if ended:
                return

    def _bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Bar(*columns, console=Console(stderr=True)) as bar:
            dense, cells = bar.add_task("dense networks", total=None), bar.add_task("tickets", total=None)
            while True:
                ended = self._ended.wait(TERMINAL_SECONDS)
                seen = self._look()
                if seen is not None:
                    bar.update(dense, total=seen.dense, completed=seen.dense_done)
                    failed = f" ({seen.failed} failed)" if seen.failed else ""
                    bar.update(cells, total=seen.cells, completed=seen.done, description=f"tickets{failed}")
                if ended:
                    return

    def _look(self) -> Status | None:
        try:
            return status(self._run)
        except (LthError, OSError):  # the workers, not the onlooker, report what is wrong with the directory
            return None


def _line(seen: Status) -> str:
    text = f"dense {seen.dense_done}/{seen.dense}, tickets {seen.done}/{seen.cells}, running {seen.running}"
    return text + (f", failed {seen.failed}" if seen.failed else "")
