"""A list of files brought by Spark's workers from a server on the loopback interface."""

from __future__ import annotations

import os
import random
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from data.web import serving, sha256

from lth.data.fetching.download import Patience
from lth.data.fetching.listed import Item, fetch_item
from lth.spark.spread import spark_map

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

QUICK = Patience(tries=4, timeout=10.0, first_wait=0.0)


@pytest.mark.long
def test_workers_bring_what_the_driver_lists(local_spark: SparkSession, tmp_path: Path) -> None:
    if any(name.lower().endswith("http_proxy") for name in os.environ):
        pytest.skip("A PROXY: the workers would ask it for this machine's files")
    draws = random.Random(7)
    with serving() as web:
        web.files = {f"/{number}": draws.randbytes(20_000) for number in range(8)}
        web.faults = {"/1": ["truncated 5000"], "/2": ["status 503,0"], "/3": ["status 404 always"]}
        items = [Item(web.url(path), sha256(content), f"in{path}") for path, content in web.files.items()]
        bring = partial(fetch_item, folder=tmp_path, patience=QUICK)
        reports = {one.name: one for one in spark_map(bring, items, shared=tmp_path)}
        assert {name: one.state for name, one in reports.items() if one.state != "fetched"} == {"in/3": "failed"}
        assert "404" in str(reports["in/3"].reason)
        assert web.ranges("/1") == [None, "bytes=5000-"]
        del web.faults["/3"]
        again = list(spark_map(bring, items, shared=tmp_path))
    assert sorted(one.state for one in again) == ["fetched"] + 7 * ["there"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "in").iterdir()} == {
        path.lstrip("/"): content for path, content in web.files.items()
    }
