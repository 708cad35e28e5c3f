"""Lists of addresses: what is read, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from data.web import sha256
from hypothesis import given
from hypothesis import strategies as st

from lth.data.fetch_list import Item
from lth.data.url_list import checked_name, read_list
from lth.errors import DataError


def test_a_full_list(tmp_path: Path) -> None:
    path = tmp_path / "urls.txt"
    one, two = sha256(b"1"), sha256(b"2")
    text = f"# two files\n\nhttp://h/x/a%20b.tar {one}\n  https://h:8/?q=1#f {two.upper()} train/n01/a b.jpg  \n"
    path.write_text(text)
    assert read_list(path) == [
        Item("http://h/x/a%20b.tar", one, "a b.tar"),
        Item("https://h:8/?q=1#f", two, "train/n01/a b.jpg"),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("file:///etc/passwd {} x", "not an http or https address"),
        ("ftp://h/x {}", "not an http or https address"),
        ("http:///x {}", "not an http or https address"),
        ("http://h/x", "sha256"),
        ("http://h/x 123", "sha256"),
        ("http://me:secret@h/x {}", "user name"),
        ("http://h/\u00e4 {}", "ASCII"),
        ("http://h:port/x {}", "Port"),
        ("http://[h/x {}", "Invalid"),
        ("http://h/ {}", "empty"),
        ("http://h/x {} ../x", "leads out"),
        ("http://h/x {} /etc/x", "leads out"),
        ("http://h/%2e%2e {}", "leads out"),
        ("http://h/a%2fb/../%2fc {}", "leads out"),
        ("http://h/x {} a//b", "leads out"),
        ("http://h/x {} .hidden", "hidden"),
        ("http://h/x {} x.part", "odd"),
        ("http://h/x {} x.part/y", "odd"),
        ("http://h/x {} a\\b", "odd"),
        ("http://h/%00 {}", "odd"),
        ("http://h/%0a {}", "odd"),
        ("http://h/x {} " + 201 * "n", "too long"),
        ("http://h/x {0} y\nhttp://h/z {0} y", "two files"),
        ("http://h/x {0} y\nhttp://h/z {0} y/z", "a file and a folder"),
        ("# nothing", "no file is named"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "urls.txt"
    path.write_text(line.format(64 * "a") + "\n")
    with pytest.raises(DataError, match=reason) as raised:
        read_list(path)
    assert str(path) in str(raised.value)


def test_all_bad_lines_are_told_together(tmp_path: Path) -> None:
    path = tmp_path / "urls.txt"
    path.write_bytes(b"\xff\n" + b"nonsense\n" * 30)
    with pytest.raises(DataError, match=r"line 1: .*\n  line 2: (.|\n)*and 11 more"):
        read_list(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_list(tmp_path / "absent")


@given(st.text(st.sampled_from("ab./\\ \n\x00\u00e9~"), max_size=12))
def test_no_accepted_name_leads_out_of_its_folder(name: str) -> None:
    try:
        checked_name(name)
    except ValueError:
        return
    folder = Path("/folder")
    assert Path(os.path.normpath(folder / name)).is_relative_to(folder)
    assert os.path.normpath(folder / name) == str(folder / name) != str(folder)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_list_or_a_data_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(content)
    try:
        assert read_list(path)
    except DataError:
        return
