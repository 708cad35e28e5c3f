"""Published data sets, brought from a server on the loopback interface instead of their own."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from data.web import Web, serving, sha256

from lth.data.download import Patience
from lth.data.fetch import SETS, Published, fetch
from lth.data.sources import open_source
from lth.errors import DataError, MissingExtraError

QUICK = Patience(tries=2, timeout=5.0, first_wait=0.0)
FILES = {"one.gz": b"1" * 5000, "two.gz": b"22" * 5000}


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    with serving() as web:
        web.files = {f"/{folder}/{name}": content for folder in ("x", "y") for name, content in FILES.items()}
        small = Published("mnist", {name: sha256(content) for name, content in FILES.items()}, (web.url("/x"),))
        monkeypatch.setitem(SETS, "small", small)
        yield web


def test_files_are_fetched_once_and_the_source_is_told(web: Web, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "small"
    assert fetch("small", folder, patience=QUICK) == f"mnist:{folder}"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    count = len(web.asked)
    fetch("small", folder, patience=QUICK)
    assert len(web.asked) == count
    (folder / "one.gz").write_bytes(b"damaged")
    fetch("small", folder, patience=QUICK)
    assert (folder / "one.gz").read_bytes() == FILES["one.gz"]
    assert len(web.asked) == count + 1


def test_the_next_mirror_is_asked(web: Web, tmp_path: Path) -> None:
    web.faults["/x/one.gz"] = ["status 503 always"]
    web.files["/x/two.gz"] = b"not what it should be"
    fetch("small", tmp_path, [web.url("/x/"), web.url("/y")], QUICK)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == FILES


def test_where_no_mirror_has_it_all_reasons_are_told(web: Web, tmp_path: Path) -> None:
    web.faults["/x/one.gz"] = ["status 403 always"]
    with pytest.raises(DataError, match=r"403.*; .*/z/one.gz: the server says: 404.*--mirror"):
        fetch("small", tmp_path, [web.url("/x"), web.url("/z")], QUICK)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_fetch_goes_on(web: Web, tmp_path: Path) -> None:
    (tmp_path / "two.gz.part").write_bytes(FILES["two.gz"][:777])
    fetch("small", tmp_path, patience=QUICK)
    assert web.ranges("/x/two.gz") == ["bytes=777-"]


def test_a_file_in_the_way_and_an_unknown_name(web: Web, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file"):
        fetch("small", tmp_path / "file", patience=QUICK)
    with pytest.raises(DataError, match="mnist, fashion_mnist, cifar10, cifar100"):
        fetch("imagenet", tmp_path)
    with pytest.raises(DataError, match="http or https"):
        fetch("small", tmp_path, ["file:///etc"])


def test_without_pooch_the_line_that_installs_it_is_told(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(MissingExtraError, match=r"lth\[data\]"):
        fetch("small", tmp_path)


def test_the_published_sets_are_complete() -> None:
    assert list(SETS)[:4] == ["mnist", "fashion_mnist", "cifar10", "cifar100"]
    for one in SETS.values():
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in one.files.values())
        assert all(re.match("https?://", mirror) and not mirror.endswith("/") for mirror in one.mirrors)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_the_real_files_have_the_checksums_and_are_read(web: Web, test_data: Path, tmp_path: Path, name: str) -> None:
    for file in SETS[name].files:
        web.files[f"/m/{file}"] = (test_data / name.replace("_", "-") / file).read_bytes()
    source = fetch(name, tmp_path / name, [web.url("/m")], QUICK)
    assert open_source(source).images.shape == (60000, 28, 28, 1)
