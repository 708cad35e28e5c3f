"""Preparation on Spark: it ships paths, and workers read images and write shards themselves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lth.data.listing import Source
from lth.data.listings import open_listing
from lth.data.listings.tfrecords import list_tfrecord
from lth.data.preparation.task import Report, Task, make_shard
from lth.spark.session import spark_session
from lth.spark.spread import probe, spread

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class SparkEngine:
    """What `prepare` wants as `run`, and by its method as `listing`; one session does both."""

    def __init__(self, session: Callable[[], SparkSession]):
        self._session = session

    def __call__(self, tasks: Sequence[Task]) -> Iterator[Report]:
        """Yields the reports of shards as they get ready, in any order."""
        if not tasks:
            return
        ends = tasks[0], tasks[-1]
        # Looked for by every task: a source that one machine does not mount would be a thousand unreadable images.
        sources = [task.entries[0].path for task in ends if task.entries and os.path.exists(task.entries[0].path)]
        with ExitStack() as stack:
            folders = dict.fromkeys(Path(task.folder) for task in ends)
            probes = [stack.enter_context(probe(folder)) for folder in folders]
            yield from spread(self._session(), make_shard, tasks, [*probes, *sources])

    def listing(self, source: str) -> Source:
        """Returns what `open_listing` does. TFRecord files are walked through in parallel; others are not read."""
        kind, _, rest = source.partition(":")
        return list_tfrecord(rest, self._spans) if kind == "tfrecord" else open_listing(source)

    def _spans(self, files: Sequence[str]) -> list[np.ndarray]:
        from lth.data.spark.tfrecords import record_spans_of

        return record_spans_of(self._session(), files)


@contextmanager
def spark_engine(master: str | None = None) -> Iterator[SparkEngine]:
    """Yields the engine that makes shards on Spark at `master`; a session starts when it is first needed.

    The bytes are those of every other engine. A worker's DataError is raised as it was; DataError where a worker does
    not see the folders of source and output as this process does, and whatever `spark_session` raises.
    """
    with ExitStack() as stack:
        yield SparkEngine(cache(lambda: stack.enter_context(spark_session(master))))
