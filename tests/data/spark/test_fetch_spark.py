<<<<<<< HEAD
"""The files of a list, brought by Spark."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
=======
"""A list of files brought by Spark's workers from a server on the loopback interface."""

from __future__ import annotations

import os
import random
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
>>>>>>> h2

import pytest
from data.web import serving, sha256

<<<<<<< HEAD
pytestmark = pytest.mark.long


def test_a_list_is_fetched_by_spark(tmp_path: Path) -> None:
    files = {f"/{number}": bytes([number]) * (1000 + number) for number in range(12)}
    with serving() as web:
        web.files.update(files)
        web.faults["/3"] = ["truncated 500"]
        lines = [f"{web.url(path)} {sha256(content)} part{path}" for path, content in files.items()]
        lines.append(f"{web.url('/none')} {sha256(b'')} none")
        (tmp_path / "urls.txt").write_text("\n".join(lines))
        command = ["data", "fetch", "--from", "urls.txt", "--into", "data", "--engine", "spark", "--json"]
        source = str(Path(__file__).parents[3] / "src")
        direct = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        done = subprocess.run(
            [sys.executable, "-m", "lth", *command, "--master", "local[2]"],
            cwd=tmp_path, env={**direct, "PYTHONPATH": source}, capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 1, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["fetched"], summary["there"], summary["failed"]) == (12, 0, 1)
    assert [failure["name"] for failure in summary["failures"]] == ["none"]
    assert {f"/{path.name}": path.read_bytes() for path in (tmp_path / "data" / "part").iterdir()} == files
    assert web.ranges("/3") == [None, "bytes=500-"]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["part"]
=======
from lth.data.download import Patience
from lth.data.fetch_list import Item, fetch_item
from lth.data.spark_map import spark_map

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
>>>>>>> h2
