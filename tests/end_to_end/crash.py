"""Runs a grid in processes that die at one point each: before the n-th thing they do to the run directory.

    python crash.py SPEC FOLDER STRIDE

Between two such things nothing changes that others can see, so "before the next" is "after the last", and all points
together are every state that a killed worker can leave. Prints JSON: the points, and what was wrong after which.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lth.experiment
import lth.training.fit
from lth.runs.known import Known
from lth.runs.run import Run
from lth.spec.load import load_spec

CHANGES = {"os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.utime", "os.truncate", "os.symlink"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
FINISHED, BROKEN = 0, 70


class Points:
    """Notes the changes that this process makes in `folder`, and kills it before the one that is numbered `at`."""

    def __init__(self, folder: Path, at: int | None = None):
        self.folder, self.at, self.seen = str(folder), at, []
        fsync, write = os.fsync, os.write
        os.fsync = lambda file: (self.note("os.fsync", file), fsync(file))[1]  # type: ignore[assignment]
        os.write = lambda file, data: (self.note("os.write", file), write(file, data))[1]  # type: ignore[assignment]
        sys.addaudithook(self.hear)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING):
            self.note(event, arguments[0])

    def note(self, event: str, what: Any) -> None:
        """A thread of the heartbeat is not counted: it would move the points."""
        path = os.readlink(f"/proc/self/fd/{what}") if isinstance(what, int) else os.fspath(what)
        if self.folder not in str(path) or threading.current_thread() is not threading.main_thread():
            return
        if len(self.seen) == self.at:
            if event == "os.fsync":  # what was not synced may be there in part
                os.truncate(what, os.fstat(what).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        self.seen.append(f"{event} {str(path).removeprefix(self.folder)}")


def in_child(work: Callable[[], Any]) -> tuple[int, Any]:
    """Returns the exit code of a forked process and what `work` returned in it."""
    read, write = os.pipe()
    if not (pid := os.fork()):
        code = BROKEN
        with contextlib.suppress(BaseException):
            found = json.dumps(work()).encode()
            code = FINISHED
            os.close(read)
            with open(write, "wb") as answer:
                answer.write(found)
        os._exit(code)
    os.close(write)
    with open(read, "rb") as answer:
        said = answer.read()
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), json.loads(said) if said else None


def left_over(path: Path, expected: dict[str, str]) -> list[str]:
    """Returns what is wrong with a run that has come to its end."""
    run = Run(path, load_spec(path / "spec.toml", []))
    results, wrong = run.results(), []
    if (hashes := {name: one.weights_sha256 for name, one in results.done.items()}) != expected:
        wrong.append(f"other weights: {hashes}")
    if len(results.finished) != 1 or results.failed:
        wrong.append(f"finished {set(results.finished)}, failed {set(results.failed)}")
    wrong += [f"left: {found}" for found in path.rglob(".*")]
    wrong += [f"claimed: {found.name}" for found in (path / "claims").iterdir()]
    wrong += [f"state: {found}" for found in path.glob("*/*/resume*")]
    kept = {str(run.artefact(one, "x").parent) for one in results.done.values()}
    wrong += [f"attempt: {found}" for found in path.glob("*/*/attempt-*") if str(found) not in kept]
    run.told.look_everywhere()
    truth = Known(run.layout, run.spec.execute.attempts)
    truth.look_everywhere()
    if run.told.results() != truth.results():
        wrong.append("the journal tells something else than the folders")
    return wrong


def main(spec_path: str, folder: str, stride: int) -> None:
    spec, base = load_spec(spec_path, []), Path(folder)
    text = Path(spec_path).read_text()

    def whole(path: Path, at: int | None = None) -> list[str]:
        """Does the grid as `lth run` does, and dies before the change numbered `at`."""
        points = Points(path, at)
        sys.modules["altair"] = None  # type: ignore[assignment]  # a report takes seconds, and tells nothing of its own
        lth.experiment.run(spec, path)
        (path / "spec.toml").write_text(text)
        return points.seen

    code, points = in_child(lambda: whole(base / "undisturbed"))
    assert code == FINISHED, "the undisturbed run broke"
    undisturbed = Run(base / "undisturbed", spec).results()
    expected = {name: one.weights_sha256 for name, one in undisturbed.done.items()}
    wrong = {"undisturbed": found} if (found := left_over(base / "undisturbed", expected)) else {}
    tried = range(0, len(points), stride)
    for at in tried:
        path = base / f"died-{at}"
        codes = [in_child(lambda path=path, at=at: whole(path, at))[0], in_child(lambda path=path: whole(path))[0]]
        found = left_over(path, expected) if codes == [-signal.SIGKILL, FINISHED] else [f"exit codes {codes}"]
        if found:
            wrong[f"{at}: {points[at]}"] = found
        shutil.rmtree(path)
    print(json.dumps({"points": points, "tried": len(tried), "units": len(expected) + 1, "wrong": wrong}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
