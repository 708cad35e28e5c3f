"""A misbehaving web server on the loopback interface, and no proxy before it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from data.fetching.brought import CONTENT
from data.web import Web, serving


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as web:
        web.files["/a"] = CONTENT
        yield web
