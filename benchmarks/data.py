"""Claim: shards are delivered at the speed of memory: cropped, flipped and shuffled by one or two threads, faster than
a torch DataLoader on the same memory map or on JPEG files, and than other loaders that are installed.

Arms alternate; printed are medians over the rounds. "per CPU second" counts the time of all threads and worker
processes. Start-up (from the first line of an arm to its first batch) is no part of the rates and has a column of
its own. What other libraries read is written before, in their formats: data_peers.py says how. The cold rows forget
the files' pages first, which only a disk that is one's own shows honestly.

    python benchmarks/data.py loading SHARDS        # SHARDS: a folder made by lth data prepare, raw, 227 pixels
    python benchmarks/data.py memory SHARDS         # claim: memory does not grow with the epochs read
"""

from __future__ import annotations

import argparse
import gc
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image

from data_loading import Rows, arms, cold
from data_peers import distributions, missing, peer_arms
from hardware import describe
from lth.data.loader import Stream, images_of, open_data
from lth.data.shards import open_shards
from lth.spec.schema import Data

COLD_BATCHES = 4


def loading(arguments: argparse.Namespace) -> None:
    """Returns nothing; prints the table of loaders."""
    rows = opened(Path(arguments.shards), arguments.rows, arguments.batch)
    print(describe("torch", "numpy", "Pillow", *distributions()))
    print(f"{len(rows.shards.labels)} rows of {rows.side} pixels, repeated to {rows.count}; batches of {rows.batch}")
    print(f"not here: {', '.join(missing())}")
    with tempfile.TemporaryDirectory(prefix="lth-loaders-", dir=arguments.scratch) as scratch:
        chosen = {name: arm for name, arm in arms(rows).items() if arguments.only in name}
        compare(rows, {**chosen, **peer_arms(rows, Path(scratch), arguments.only)}, arguments)
    if arguments.cold:
        for expect in (False, True) * 2:
            how = "asked for ahead" if expect else "page faults"
            print(f"cold, {how}: {cold(rows, COLD_BATCHES, expect=expect):,.0f} images a second")


def compare(rows: Rows, chosen: dict[str, Callable[[], Iterator[Any]]], arguments: argparse.Namespace) -> None:
    """Returns nothing; prints the table, of arms that alternate."""
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in chosen}
    began: dict[str, float] = {}
    for _ in range(arguments.rounds):
        for name, arm in chosen.items():
            start, rate, processor = timed(arm, rows.batch, arguments.seconds)
            began.setdefault(name, start)
            rates[name].append((rate, processor))
    limit = median(rate for rate, _ in rates.get("memcpy, 1 thread", [(float("nan"), 0)]))
    print("| loader | images a second | of memcpy | per CPU second | start-up, s |\n|---|---|---|---|---|")
    for name, found in rates.items():
        rate, processor = (median(column) for column in zip(*found, strict=True))
        print(f"| {name} | {rate:,.0f} | {rate / limit:.2f} | {processor:,.0f} | {began[name]:.2f} |")


def timed(arm: Callable[[], Iterator[Any]], batch: int, seconds: float) -> tuple[float, float, float]:
    """Returns the seconds to the first batch, and then images a second of wall time and of all processors' time."""
    first = time.perf_counter()
    feed = arm()
    next(feed)
    began, before, count = time.perf_counter(), busy(), 0
    while time.perf_counter() - began < seconds:
        np.asarray(next(feed))[0, 0, 0]
        count += batch
    wall = time.perf_counter() - began
    used = busy() - before
    if isinstance(feed, Iterator) and hasattr(feed, "close"):
        feed.close()  # type: ignore[attr-defined]
    del feed
    gc.collect()  # loaders are cycles: their workers would stay while the next arm is timed
    return began - first, count / wall, count / used if used else float("nan")


def memory(arguments: argparse.Namespace) -> None:
    """Returns nothing; prints the memory of this process after each epoch read through the stream of a training.

    Of its own: pages of mapped shards lie in the page cache, which the kernel takes back when it needs them.
    """
    augment = {"flip": True, "crop": 4}
    data = Data.model_validate({"source": f"shards:{arguments.shards}", "batch_size": 64, "augment": augment})
    print(describe("torch", "numpy"))
    for way in ("mmap", "pread"):
        images = images_of(open_data(data, way), data, 0, torch.device("cpu"))
        stream, held = Stream(images, 1, 2), []
        for epoch in range(arguments.epochs):
            for step in range(epoch * images.steps_per_epoch, (epoch + 1) * images.steps_per_epoch):
                stream.batch_at(step)
            status = Path("/proc/self/status").read_text()
            held.append(int(status.partition("RssAnon:")[2].split()[0]) / 1024)
        print(f"{way}, MiB after each of {arguments.epochs} epochs: {' '.join(f'{one:.1f}' for one in held)}")


def busy() -> float:
    """Returns the processor seconds of this process and of the children it has now."""
    ticks, used = os.sysconf("SC_CLK_TCK"), time.process_time()
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            used += (int(fields[11]) + int(fields[12])) / ticks
    return used


def opened(folder: Path, count: int, batch: int) -> Rows:
    """Returns the rows of raw shards, and their images as JPEG streams."""
    shards = open_shards(folder, "mmap")
    arrays = [np.load(path, mmap_mode="r") for path in sorted((folder / "train").glob("shard-*.npy"))]
    rows = Rows(shards, count, batch, arrays)
    for number in range(min(len(shards.labels), 1000)):
        stream = io.BytesIO()
        Image.fromarray(rows.row(number)).save(stream, "JPEG", quality=90)
        rows.streams.append(stream.getvalue())
    return rows


def main() -> None:
    """Returns nothing; runs the subcommand."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("loading", help="loaders of prepared images")
    one.add_argument("shards", help="a folder of raw shards")
    one.add_argument("--rows", type=int, default=20_000, help="rows of an epoch, repeated from those there are")
    one.add_argument("--batch", type=int, default=256)
    one.add_argument("--rounds", type=int, default=5)
    one.add_argument("--seconds", type=float, default=3.0, help="of each arm in each round")
    one.add_argument("--only", default="", help="arms whose name holds this")
    one.add_argument("--scratch", help="where the files of other libraries are written, 160 KB a row each, and removed")
    one.add_argument("--cold", action="store_true", help="also with the files out of memory")
    one.set_defaults(run=loading)
    two = commands.add_parser("memory", help="memory over many epochs")
    two.add_argument("shards", help="a folder of raw shards")
    two.add_argument("--epochs", type=int, default=20)
    two.set_defaults(run=memory)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
