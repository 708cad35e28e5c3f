"""Files that are no spec: told as such, never with a traceback."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lth.errors import SpecError
from lth.spec.load import build_spec, load_spec, parse_spec, spec_text
from lth.spec.presets import preset_text

SMALLEST = """
name = "small"
data = { source = "digits", batch_size = 64 }
model = { name = "lenet_300_100" }
train = { epochs = 10, optimizer = { name = "sgd", lr = 0.1 } }
grid = { sparsities = [0.8, 0.9] }
"""


def problems(text: str, *overrides: str) -> list[str]:
    """Returns the lines of the SpecError that `text` meets."""
    with pytest.raises(SpecError) as caught:
        parse_spec(text, "spec.toml", overrides)
    assert str(caught.value).startswith("spec.toml: ")
    return caught.value.problems


def test_reads_a_file(tmp_path: Path) -> None:
    path = tmp_path / "spec.toml"
    path.write_text(SMALLEST)
    assert load_spec(path) == load_spec(str(path)) == parse_spec(SMALLEST, path)
    assert load_spec(path, ["train.epochs=3"]).train.epochs == 3


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "spec.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SMALLEST.replace("\n", "\r\n").encode())
    assert load_spec(path) == parse_spec(SMALLEST, path)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'name = "\xff"', "not UTF-8 text: byte 8 is 0xff. Save the file as UTF-8"),
        (b"#" * (2**20 + 1), "larger than 1 MiB, so hardly a spec. Check the path"),
        (b"a = " + b"[" * 5000, "nested deeper than 32"),
        (b"a = " + b"[" * 40 + b"]" * 40, "nested deeper than 32"),
        (b".".join([b"a"] * 5000) + b" = 1", "nested deeper than 32"),
        (b"a = " + b"9" * 5000, "not readable as TOML"),
        (b"a = 1979-99-99", "Check its numbers and dates|not TOML"),
        (b"\x00", "line 1, column 1: not TOML"),
    ],
)
def test_hostile_content(tmp_path: Path, content: bytes, line: str) -> None:
    path = tmp_path / "spec.toml"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=line) as caught:
        load_spec(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_path_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no such file\. Check the path, or make one: lth init digits_lenet"):
        load_spec(tmp_path / "none.toml")
    with pytest.raises(SpecError, match="a folder, not a file"):
        load_spec(tmp_path)
    with pytest.raises(SpecError, match="cannot be read: embedded null byte"):
        load_spec("a\0b")
    (tmp_path / "file").touch()
    with pytest.raises(SpecError, match="cannot be read: Not a directory"):
        load_spec(tmp_path / "file" / "spec.toml")


def test_a_file_that_never_ends() -> None:
    if not os.path.exists("/dev/zero"):
        pytest.skip("NO /dev/zero on this system")
    with pytest.raises(SpecError, match="larger than 1 MiB"):
        spec_text("/dev/zero")


@pytest.mark.parametrize(
    ("text", "place", "found"),
    [
        ("name = demo", "line 1, column 8", "'name = demo'"),
        ('a = 1\nname = "x\nb = 2', "line 2, column 10", "'name = \"x'"),
        ("a = 1\na = 2\n", "line 2, column 6", "'a = 2'"),
        ("a = [1,\n 2", "line 2, column 3", "'2'"),
        ("[data\n", "line 1, column 6", "'[data'"),
    ],
)
def test_invalid_toml_is_told_with_line_and_column(text: str, place: str, found: str) -> None:
    (line,) = problems(text)
    assert line.startswith(f"{place}: not TOML: ")
    assert f"(found {found})" in line
    assert line.endswith('name = "demo", seeds = [0, 1]')


def test_an_empty_file_is_told_what_a_spec_needs() -> None:
    assert problems("") == [
        'name: missing. Add it at the top, for example name = "my-experiment"',
        'data: missing. Add a table [data], for example with source = "digits", batch_size = 64',
        'model: missing. Add a table [model], for example with name = "lenet_300_100"',
        'train: missing. Add a table [train], for example with epochs = 40, optimizer = { name = "sgd", lr = 0.1 }',
        "grid: missing. Add a table [grid], for example with sparsities = [0.8, 0.9, 0.95]",
    ]


@settings(max_examples=60)
@given(st.text(max_size=80) | st.binary(max_size=80).map(lambda found: found.decode("latin-1")))
def test_no_text_gives_a_traceback(text: str) -> None:
    assert problems(text)


@settings(max_examples=60)
@given(st.data())
def test_a_preset_with_a_hole_is_read_or_refused(data: st.DataObject) -> None:
    text = preset_text("digits_lenet")
    start = data.draw(st.integers(0, len(text)))
    text = (
        text[:start]
        + data.draw(st.sampled_from(["", "[", '"', "=", "\n", "9", "true", "{}"]))
        + text[start + data.draw(st.integers(0, 60)) :]
    )
    with suppress(SpecError):
        parse_spec(text, "spec.toml")


def test_a_document_is_left_as_it_was() -> None:
    document = {"name": "small", "train": {"epochs": 3}}
    with pytest.raises(SpecError):
        build_spec(document, "here", ["train.epochs=4", "data.x=1"])
    assert document == {"name": "small", "train": {"epochs": 3}}


def test_thousands_of_problems_are_cut_short() -> None:
    text = "".join(f"key{number} = {number}\n" for number in range(30_000))
    found = problems(text)
    assert len(found) == 101
    assert found[-1] == "and 29905 more problems. Begin with those above"
