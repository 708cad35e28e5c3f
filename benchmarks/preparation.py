"""Claim: `lth data prepare` makes images at 0.85 or more of the rate of a bare process pool that only reads, decodes
and resizes them, on Spark at 0.6 or more of it once the session is up, in workers of less than 500 MB.

    python benchmarks/preparation.py imagenet-sample-1000.tar              # any folder or tar that imagefolder: reads
    python benchmarks/preparation.py FOLDER --images 10000 --rounds 3 --spark

The source is repeated to `--images`. Every round runs each way once, one after the other; start-up (processes, or the
Spark session, and one image a worker) is measured by itself, reported, and taken off.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

from hardware import describe
from lth.data.listing import Entry, Listing
from lth.data.listings import open_listing
from lth.data.preparation.local import local_engine
from lth.data.preparation.plan import Plan, Tasks, make_plan, record_folder, shard_folder
from lth.data.preparation.task import Recipe, Report, Task
from lth.data.reading import READERS

RECIPE = Recipe(size=227, policy="center", codec="raw", quality=None)
Way = Callable[[Sequence[Task]], Iterable[object]]


def repeated(listing: Listing, images: int) -> Listing:
    """Returns the listing, over and over, cut at `images` rows, under new names."""
    rows = np.arange(images) % len(listing)
    names = [f"{number // len(listing)}/{listing.names[row]}" for number, row in enumerate(rows.tolist())]
    columns = {key: getattr(listing, key)[rows] for key in ("file", "offset", "size", "label")}
    return replace(listing, names=names, **columns)


def decode_only(task: tuple[str, tuple[Entry, ...]]) -> int:
    """Returns how many images a bare worker read, decoded and resized; it keeps none."""
    from lth.data.image import picture

    kind, entries = task
    for entry in entries:
        picture(READERS[kind](entry).content, RECIPE.size, RECIPE.policy)
    return len(entries)


def bare_pool(workers: int, tasks: Sequence[Task]) -> Iterator[int]:
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(decode_only, [(task.kind, task.entries) for task in tasks])


def seconds(way: Way, plan: Plan, tasks: Callable[[Path], Sequence[Task]]) -> float:
    """Returns the wall seconds of a way over tasks in a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        for part in plan.source.parts:
            for place in (shard_folder(Path(folder), part), record_folder(Path(folder), part)):
                place.mkdir(parents=True)
        given = tasks(Path(folder))
        began = time.perf_counter()
        for result in way(given):
            assert not isinstance(result, Report) or not result.reused
        return time.perf_counter() - began


class Memory:
    """The largest resident memory, in MB, that any Python worker below this process had while this was open."""

    def __init__(self) -> None:
        self.largest, self._over = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            for pid in _below(multiprocessing.current_process().pid or 0):
                self.largest = max(self.largest, _resident(pid))


def _below(parent: int) -> Iterator[int]:
    try:
        threads = list(Path(f"/proc/{parent}/task").iterdir())
        children = [int(pid) for thread in threads for pid in (thread / "children").read_text().split()]
    except OSError:
        return
    for pid in children:
        yield pid
        yield from _below(pid)


def _resident(pid: int) -> float:
    try:
        if b"java" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]:
            return 0.0
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:")), 0.0)


def first_images(tasks: Sequence[Task], count: int) -> list[Task]:
    """Returns `count` tasks of one image each."""
    return [replace(tasks[0], number=number, entries=tasks[0].entries[:1]) for number in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="what stands behind imagefolder:")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--spark", action="store_true", help="Spark too, in local mode")
    given = parser.parse_args()
    found = open_listing(f"imagefolder:{given.source}")
    source = replace(found, parts={"train": repeated(found.parts["train"], given.images)})
    plan = make_plan(source, RECIPE)
    with ExitStack() as stack:
        ways: dict[str, Way] = {
            "bare process pool": lambda tasks: bare_pool(given.workers, tasks),
            "lth, local": stack.enter_context(local_engine(given.workers)),
        }
        session = 0.0
        if given.spark:
            from lth.data.spark.engine import spark_engine

            began = time.perf_counter()
            ways["lth, Spark"] = stack.enter_context(spark_engine(f"local[{given.workers},4]"))
            seconds(ways["lth, Spark"], plan, lambda folder: first_images(Tasks(plan, folder), given.workers))
            session = time.perf_counter() - began
        print(describe("lth", "numpy", "Pillow", *(["pyspark"] if given.spark else [])))
        print(f"{given.images} images of {given.source} to {RECIPE.size} pixels, {given.workers} workers")
        report(ways, plan, given.rounds, given.workers, given.images, session)


def report(ways: dict[str, Way], plan: Plan, rounds: int, workers: int, images: int, session: float) -> None:
    """Prints the table of all ways, rates without start-up."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    starts: dict[str, list[float]] = {name: [] for name in ways}
    memory: dict[str, float] = {}
    for _ in range(rounds):
        for name, way in ways.items():
            start = seconds(way, plan, lambda folder: first_images(Tasks(plan, folder), workers))
            with Memory() as watched:
                taken = seconds(way, plan, lambda folder: Tasks(plan, folder))
            starts[name].append(start)
            rates[name].append(images / (taken - start))
            memory.setdefault(name, watched.largest)  # of the first round: Spark's workers stay on afterwards
    base = rates["bare process pool"]
    print(
        "| way | images/s a worker | range | of the bare pool (median of rounds) | start-up, s | largest worker, MB |"
    )
    print("|---|---|---|---|---|---|")
    for name, found in rates.items():
        each = [rate / workers for rate in found]
        ratio = median(one / other for one, other in zip(found, base, strict=True))
        begun = median(starts[name]) + (session if "Spark" in name else 0.0)
        span = f"{min(each):.0f} to {max(each):.0f}"
        print(f"| {name} | {median(each):.0f} | {span} | {ratio:.2f} | {begun:.1f} | {memory[name]:.0f} |")


if __name__ == "__main__":
    main()
