"""Claim: a unit costs at most 30 operations on the file system's metadata, whatever the number of units and workers.

The units are empty: a result made up at once, no training. Workers are processes that share one run directory, as on
a cluster. `strace` counts their system calls that name a path in it, and beside them fsyncs and listings; what a
worker does once, when it begins, is in. Seconds are those of a second pass without strace.

    python benchmarks/overhead.py
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any

from hardware import describe
from lth.grid.next import ready, wanted
from lth.grid.unit import Cell, Dense, Finish
from lth.grid.work import Outcome, loop
from lth.runs.records import Audit, CellResult
from lth.runs.run import Run, open_run, start_run
from lth.spec import Spec

TRACED = "%file,fsync,fdatasync,getdents64"
SPARSITIES = [round(0.05 * n, 2) for n in range(20)]
REWIND = ["0", "1ep", "2ep", "3ep", "4ep"]


def spec_of(seeds: int, workers: int) -> Spec:
    """Returns the spec of a grid of 100 tickets and a dense network a seed."""
    return Spec.model_validate(
        {
            "name": "empty",
            "seeds": list(range(seeds)),
            "data": {"source": "synthetic", "batch_size": 8},
            "model": {"name": "lenet_300_100"},
            "train": {"epochs": 5, "optimizer": {"name": "sgd", "lr": 0.1}},
            "grid": {"sparsities": SPARSITIES, "rewind": REWIND},
            "select": {"confirm_seeds": 0},
            "execute": {"launcher": "processes", "workers": workers},
        }
    )


def made_up(spec: Spec, unit: Dense | Cell) -> CellResult:
    """Returns a result of the unit as a training would give it."""
    cell = unit if isinstance(unit, Cell) else None
    kept = {} if cell else {str(step.canonical(10)): "x" for step in spec.grid.rewind}
    return CellResult(
        id=unit.id, kind="cell" if cell else "dense", key="k", dataset_id="d", seed=unit.seed,
        sparsity=cell and cell.sparsity, rewind=cell and cell.rewind, control=None, order="fresh",
        attempt="a", files={}, checkpoints=kept, weights_sha256="0" * 64,
        audit=Audit(passed=True, checks={"ok": True}), numerics={"torch": "x"}, first_step=0, last_step=50,
        steps_per_epoch=10, epochs=5, seconds=1, host="h", finished_at="t", train_examples=80,
        validation_examples=5000, test_examples=5000, train_top1=1, train_loss=0.1, validation_top1=0.9,
        validation_loss=0.3, test_top1=0.9, test_loss=0.3, early_stop_step=40, early_stop_validation_loss=0.3,
        early_stop_validation_top1=0.9, parameters=1000, prunable=900,
    )  # fmt: skip


def work(path: str) -> None:
    """Returns nothing; is a worker on the run directory until nothing is ready."""
    run = open_run(path)

    def train(units: Sequence[Any]) -> Iterator[Outcome]:
        yield from ((unit, made_up(run.spec, unit)) for unit in units)

    def close(units: Sequence[Any]) -> Iterator[Outcome]:
        yield from ((unit, {"verdict": "none"}) for unit in units)

    loop(run, {Dense: train, Cell: train, Finish: close}, Event(), wait=True)


def measure(folder: Path, seeds: int, workers: int, trace: bool) -> tuple[int, float, Counter[str]]:
    """Returns the number of units done, seconds, and how often each system call named the run directory."""
    run = start_run(folder / "run", spec_of(seeds, workers))
    command = [sys.executable, __file__, "--work", str(run.path)]
    logs = [folder / f"trace-{number}" for number in range(workers)]
    strace = ["strace", "-f", "--seccomp-bpf", "-y", "-e", f"trace={TRACED}", "-o"]
    began = time.perf_counter()
    running = [subprocess.Popen([*strace, str(log), *command] if trace else command) for log in logs]
    codes = [process.wait() for process in running]
    if any(codes):
        raise SystemExit("a worker failed")
    seconds = time.perf_counter() - began
    assert not (left := ready(run.spec, run.results())), left[:3]
    return len(wanted(run.spec, run.results())), seconds, counted(logs, run) if trace else Counter()


def counted(logs: list[Path], run: Run) -> Counter[str]:
    """Returns how often each traced system call was about the run directory."""
    calls: Counter[str] = Counter()
    for log in logs:
        for line in log.open():
            found = re.match(r"\d+ +(\w+)\(", line)
            if found and str(run.path) in line:
                calls[found[1]] += 1
    return calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 10, 99], help="101 units each")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4, 20])
    parser.add_argument("--quick", action="store_true", help="one small grid, to see that the script works")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        return work(arguments.work)
    print(describe("lth"))
    print(f"{'units':>7}{'workers':>9}{'operations a unit':>19}{'ms a unit and worker':>22}   the calls")
    for seeds in [1] if arguments.quick else arguments.seeds:
        for workers in [2] if arguments.quick else arguments.workers:
            with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
                units, _, calls = measure(Path(first), seeds, workers, trace=True)
                _, seconds, _ = measure(Path(second), seeds, workers, trace=False)
            most = ", ".join(f"{name} {count / units:.1f}" for name, count in calls.most_common(6))
            cost = 1000 * seconds * workers / units
            print(f"{units:>7}{workers:>9}{sum(calls.values()) / units:>19.1f}{cost:>22.1f}   {most}", flush=True)


if __name__ == "__main__":
    main()
