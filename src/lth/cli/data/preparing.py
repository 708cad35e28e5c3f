"""How a preparation comes along, on stderr: a bar on a terminal, a plain line now and then without one."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from lth.data.preparation.prepare import Begun

if TYPE_CHECKING:
    from lth.data.preparation.task import Report

EVERY = 10.0  # seconds between two plain lines


class Preparing:
    """Told of every shard while its `with` block is open."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()
        self._total = self._done = self._failures = self._fresh = 0
        self._bar: Any = None

    def __enter__(self) -> Preparing:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, news: Begun | Report) -> None:
        if isinstance(news, Begun):
            self._began = self._last = time.monotonic()
            self._total = news.images
            if sys.stderr.isatty():
                self._bar = _bar(news.images)
            else:
                print(f"{news.images} images to go into {news.shards} shards", file=sys.stderr, flush=True)
            return
        images = news.rows + news.failures
        self._done, self._failures = self._done + images, self._failures + news.failures
        self._fresh += 0 if news.reused else images
        self._show()

    def _show(self) -> None:
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done, note=self._note(now))
        elif now - self._last >= EVERY or self._done == self._total:
            self._last = now
            line = f"{self._done}/{self._total} images, {self._note(now)}"
            print(f"{now - self._began:7.1f} s  {line}", file=sys.stderr, flush=True)

    def _note(self, now: float) -> str:
        """Returns rate, time to go by that rate, and failures; shards that were there already are no work."""
        rate = self._fresh / max(now - self._began, 1e-9)
        notes = [f"{rate:.1f} images/s"] if self._fresh else []
        if self._fresh and self._done < self._total:
            notes.append(f"{_clock((self._total - self._done) / rate)} to go")
        notes += [f"{self._failures} undecodable"] if self._failures else []
        return ", ".join(notes) or "checked"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def _bar(total: int) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("images"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
    bar = Progress(*columns, console=Console(stderr=True))
    bar.add_task("images", total=total, note="")
    bar.start()
    return bar
