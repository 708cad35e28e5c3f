"""The file that most tests bring, and how one knows that it came."""

from __future__ import annotations

import random
from pathlib import Path

from data.web import Web, sha256

from lth.data.fetching.download import Patience
from lth.data.fetching.listed import FetchReport, Item

CONTENT = random.Random(5).randbytes(50_000)
QUICK = Patience(tries=4, timeout=5.0, first_wait=0.0, longest_wait=0.01)


def item(web: Web, path: str = "/a", content: bytes = CONTENT) -> Item:
    return Item(web.url(path), sha256(content), path.lstrip("/"))


def good(report: FetchReport, folder: Path) -> FetchReport:
    assert report.reason is None
    assert report.state == "fetched"
    assert (folder / "a").read_bytes() == CONTENT
    assert not (folder / "a.part").exists()
    return report
