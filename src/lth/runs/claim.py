"""Claims: who is working on what. They only save work; publishing is first-wins whatever claims say."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from lth.runs.files import atomic_write, disk_errors, make_folder, publish_first, sha256_of
from lth.runs.names import clear_temporaries, temporary

HEARTBEAT_SECONDS = 60.0
SILENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Owner:
    """One process of one boot of one host."""

    host: str
    boot: str
    pid: int
    started: str

    @classmethod
    def here(cls) -> Owner:
        """Returns the owner that this process is."""
        return cls(socket.gethostname(), _boot_id(), os.getpid(), _start_time(os.getpid()) or "")

    def gone(self) -> bool | None:
        """Returns whether the process has ended; None where that cannot be seen from here (another host)."""
        if self.host != socket.gethostname():
            return None
        return self.boot != _boot_id() or _start_time(self.pid) != self.started


class Claims:
    """The claims this process holds in `folder`, kept alive by a heartbeat thread while it is open."""

    def __init__(self, folder: Path):
        self.folder = make_folder(folder)
        self.owner = Owner.here()
        self.held: set[Path] = set()
        self.dead: dict[str, Owner] = {}  # who held what was taken over, where that process is known to have died
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Claims:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()
        for path in list(self.held):
            self.release(path.name)

    def take(self, unit_id: str) -> bool:
        """Returns whether this process now holds the unit: it was free, or its holder has gone."""
        path = self.folder / unit_id
        mine = json.dumps(asdict(self.owner))
        taken = not path.exists() and publish_first(path, mine)
        if not taken and self._abandoned(path):
            before = _content(path)
            taken = before is not None and self._steal(path, before, mine)
            if taken and before is not None:
                self._remember(unit_id, before)
        if taken:
            self.held.add(path)
        return taken

    def release(self, unit_id: str) -> None:
        """Returns nothing; the unit is free again."""
        path = self.folder / unit_id
        self.held.discard(path)
        path.unlink(missing_ok=True)

    def listed(self) -> set[str]:
        """Returns the ids of the units that have a claim, whether or not its holder is still there: one listing."""
        return {name for name in os.listdir(self.folder) if not name.startswith(".")}

    def running(self) -> list[str]:
        """Returns the ids of the units that somebody is working on."""
        return sorted(name for name in self.listed() if not self._abandoned(self.folder / name))

    def sweep(self) -> None:
        """Returns nothing; deletes what dead processes left beside the claims: unfinished files, marks of thieves."""
        clear_temporaries(self.folder)
        for mark in self.folder.glob(".steal-*"):
            if self._abandoned(mark):
                mark.unlink(missing_ok=True)

    def anyone(self) -> bool:
        """Returns whether somebody is working on any unit."""
        return any(not self._abandoned(self.folder / name) for name in self.listed())

    def _abandoned(self, path: Path) -> bool:
        if (content := _content(path)) is None:
            return False
        owner = _owner(content)
        gone = None if owner is None else owner.gone()
        return self._silent(path) if gone is None else gone

    def _silent(self, path: Path) -> bool:
        """Judged by the file server's own clock: the age of the claim against a file touched now."""
        probe = temporary(self.folder / "probe")
        try:
            with disk_errors(probe):
                probe.touch()
            return probe.stat().st_mtime - path.stat().st_mtime > SILENCE_SECONDS
        except FileNotFoundError:
            return False
        finally:
            probe.unlink(missing_ok=True)

    def _steal(self, path: Path, before: bytes, mine: str) -> bool:
        """Puts our claim in the place of an abandoned one, at one stroke: others never find the place empty.

        A mark named after the claim that is to fall lets one thief in at a time; who comes late finds another
        claim, or a renewed one, and leaves it.
        """
        mark = self.folder / f".steal-{path.name}-{sha256_of(before)[:12]}"
        if not publish_first(mark, mine):
            if self._abandoned(mark):  # its thief has died
                mark.unlink(missing_ok=True)
            return False
        try:
            if _content(path) != before or not self._abandoned(path):
                return False
            atomic_write(path, mine)
            return True
        finally:
            mark.unlink(missing_ok=True)

    def _remember(self, unit_id: str, before: bytes) -> None:
        owner = _owner(before)
        if owner is not None and owner.boot == self.owner.boot and owner.gone():
            self.dead[unit_id] = owner

    def _beat(self) -> None:
        while not self._closed.wait(HEARTBEAT_SECONDS):
            for path in list(self.held):
                with contextlib.suppress(OSError):
                    os.utime(path)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _owner(content: bytes) -> Owner | None:
    """Returns who holds a claim; None where it was never written in full."""
    try:
        return Owner(**json.loads(content))
    except (ValueError, TypeError):
        return None


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def _start_time(pid: int) -> str | None:
    """Returns when process `pid` started, in a form to compare; None where no such process runs."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _alive(pid)
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _alive(pid: int) -> str | None:
    """Without /proc (macOS) only the existence of the process can be asked."""
    try:
        os.kill(pid, 0)
    except OSError:
        return None
    return ""
