"""Preparation on Spark: it ships paths, and workers read images and write shards themselves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lth.data.shard_task import Report, Task, make_shard
from lth.data.spark_map import probe, spread
from lth.data.spark_session import spark_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Run = Callable[[Sequence[Task]], Iterator[Report]]


@contextmanager
def spark_engine(master: str | None = None) -> Iterator[Run]:
    """Yields what makes shards of tasks on Spark at `master`, as `lth.data.prepare.prepare` wants its `run`.

    Reports come as shards get ready, in any order. The bytes are those of every other engine. Raises what
    `spark_session` does at once; while it runs a worker's DataError as it was, and DataError where a worker does not
    see the folders of source and output as this process does.
    """
    with spark_session(master) as session:
        yield partial(_run, session)


def _run(session: SparkSession, tasks: Sequence[Task]) -> Iterator[Report]:
    if not tasks:
        return
    ends = tasks[0], tasks[-1]
    # Looked for by every task: a source that one machine does not mount would be a thousand unreadable images.
    sources = [task.entries[0].path for task in ends if task.entries and os.path.exists(task.entries[0].path)]
    with ExitStack() as stack:
        folders = dict.fromkeys(Path(task.folder) for task in ends)
        probes = [stack.enter_context(probe(folder)) for folder in folders]
        yield from spread(session, make_shard, tasks, [*probes, *sources])
