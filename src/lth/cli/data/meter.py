"""How far a command has come with its bytes: a line on stderr now and then."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

EVERY = 5.0  # seconds between two lines
UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def size(count: float) -> str:
    """Returns a number of bytes as text: 1234567 -> "1.2 MB"."""
    power = 0
    while count >= 999.5 and power < len(UNITS) - 1:
        count, power = count / 1000, power + 1
    return f"{count:.0f} {UNITS[power]}" if power == 0 or count >= 99.95 else f"{count:.1f} {UNITS[power]}"


class Meter:
    """Counts the bytes that its method `told` hears of, from any thread, and reports them while it is open.

    `total` is the number of them where it is known; `more` adds what else there is to say.
    """

    def __init__(self, verb: str, total: int | None = None, more: Callable[[], str] = lambda: ""):
        self.verb, self.total, self.more, self.count = verb, total, more, 0
        self._lock, self._ended, self._began = threading.Lock(), threading.Event(), time.monotonic()
        self._thread = threading.Thread(target=self._report, name="meter", daemon=True)

    def __enter__(self) -> Meter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def told(self, count: int) -> None:
        """Returns nothing; `count` more bytes have gone by."""
        with self._lock:
            self.count += count

    def line(self) -> str:
        """Returns what there is to say now."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        rate = self.count / seconds
        text = f"{seconds:7.1f} s  {self.verb} {size(self.count)}"
        if self.total is not None:
            left = f", {(self.total - self.count) / rate:.0f} s left" if rate and self.total > self.count else ""
            text += f" of {size(self.total)}, {size(rate)}/s{left}"
        else:
            text += f", {size(rate)}/s"
        return text + self.more()

    def _report(self) -> None:
        while not self._ended.wait(EVERY):
            print(self.line(), file=sys.stderr, flush=True)
