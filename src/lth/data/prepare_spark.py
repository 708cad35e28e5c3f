"""Preparation on Spark: it ships paths, and workers read images and write shards themselves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from lth.data.listing import Source
from lth.data.listings import open_listing
from lth.data.listings.tfrecords import list_tfrecord
from lth.data.shard_task import Report, Task, make_shard
from lth.data.spark_map import probe, spread
from lth.data.spark_session import spark_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class SparkEngine:
    """What `lth.data.prepare.prepare` wants as `run` and as `listing`."""

    run: Callable[[Sequence[Task]], Iterator[Report]]
    listing: Callable[[str], Source]


@contextmanager
def spark_engine(master: str | None = None) -> Iterator[SparkEngine]:
    """Yields the engine that makes shards on Spark at `master`; a session starts when it is first needed.

    Reports come as shards get ready, in any order, and the bytes are those of every other engine. A worker's
    DataError is raised as it was; DataError where a worker does not see the folders of source and output as this
    process does, and whatever `spark_session` raises.
    """
    with ExitStack() as stack:
        session = cache(lambda: stack.enter_context(spark_session(master)))
        yield SparkEngine(partial(_run, session), partial(_listing, session))


def _run(session: Callable[[], SparkSession], tasks: Sequence[Task]) -> Iterator[Report]:
    if not tasks:
        return
    ends = tasks[0], tasks[-1]
    # Looked for by every task: a source that one machine does not mount would be a thousand unreadable images.
    sources = [task.entries[0].path for task in ends if task.entries and os.path.exists(task.entries[0].path)]
    with ExitStack() as stack:
        folders = dict.fromkeys(Path(task.folder) for task in ends)
        probes = [stack.enter_context(probe(folder)) for folder in folders]
        yield from spread(session(), make_shard, tasks, [*probes, *sources])


def _listing(session: Callable[[], SparkSession], source: str) -> Source:
    """TFRecord files are walked through in parallel; of other sources no file is read to list them."""
    kind, _, rest = source.partition(":")
    if kind != "tfrecord":
        return open_listing(source)

    def spans(files: Sequence[str]):
        from lth.data.tfrecord_spark import record_spans_of

        return record_spans_of(session(), files)

    return list_tfrecord(rest, spans)
