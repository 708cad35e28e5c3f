"""Every problem at once: key, what is wrong, value found, cure."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spec.documents import Document, smallest

from lth.errors import SpecError
from lth.spec import Spec
from lth.spec.load import build_spec
from lth.spec.overrides import apply
from lth.spec.problems import check

# Changes to the smallest spec as `--set` writes them, and the line each gives: (set, line).
CASES = tomllib.loads((Path(__file__).parent / "problems.toml").read_text(encoding="utf-8"))
FAULTS: list[tuple[str, str]] = [(case["set"], case["line"]) for case in CASES["fault"]]
WORDINGS: list[tuple[str, str]] = [(case["set"], case["line"]) for case in CASES["wording"]]


def changed(*settings: str, **changes: Any) -> Document:
    document = smallest(**changes)
    for setting in settings:
        apply(document, setting)
    return document


def lines(document: Document) -> list[str]:
    found = check(document)
    assert not isinstance(found, Spec)
    return found


@pytest.mark.parametrize(("setting", "line"), FAULTS + WORDINGS, ids=[setting for setting, _ in FAULTS + WORDINGS])
def test_a_fault_is_told_with_key_value_and_cure(setting: str, line: str) -> None:
    assert lines(changed(setting)) == [line]


@settings(max_examples=50)
@given(st.lists(st.sampled_from(FAULTS), min_size=2, unique=True))
def test_any_faults_are_told_together(faults: list[tuple[str, str]]) -> None:
    document = changed(*(setting for setting, _ in faults))
    assert sorted(lines(document)) == sorted(line for _, line in faults)


@settings(max_examples=50)
@given(st.lists(st.sampled_from([fault for fault in FAULTS if "grid.controls" not in fault[0]]), unique=True))
def test_a_broken_rule_is_told_beside_any_other_fault(faults: list[tuple[str, str]]) -> None:
    rules = {"grid__rewind": ["10ep"], "grid__controls_at": "all"}
    found = lines(changed(*(setting for setting, _ in faults), **rules))
    assert "grid.controls_at: would be ignored: there are no controls" in " ".join(found)
    assert any(line.startswith("grid.rewind: not before the end of training") for line in found)
    assert len(found) == len(faults) + 2


def test_a_mistyped_key_is_told_as_unknown_and_as_missing() -> None:
    document = smallest()
    document["train"]["epocs"] = document["train"].pop("epochs")
    assert lines(document) == [
        "train.epocs: unknown key (found 10). Did you mean train.epochs?",
        "train.epochs: missing. Add it to [train], for example epochs = 40",
    ]


def test_a_rule_is_not_tried_on_stand_ins() -> None:
    document = smallest(train__epochs="ten", grid__rewind=["300ep"])
    assert lines(document) == ['train.epochs: expected a whole number (found "ten"). For example: epochs = 40']


def test_a_hostile_key_or_value_cannot_write_to_the_terminal() -> None:
    (line,) = lines(smallest(**{"\x1b[2Jkey": "\x1b]0;title\x07" + "é" * 500}))
    assert line.isprintable()
    assert line.startswith('"\\u001b[2Jkey": unknown key (found "\\u001b]0;title')
    assert len(line) < 250


def test_the_error_counts_its_problems_and_names_the_file() -> None:
    pattern = r"^lab/spec\.toml: 2 problems in the spec\n  seeds: .*\n  train\.epochs"
    with pytest.raises(SpecError, match=pattern) as caught:
        build_spec(smallest(seeds=1, train__epochs=0), "lab/spec.toml")
    assert caught.value.at == "lab/spec.toml"
    with pytest.raises(SpecError, match="1 problem in the spec"):
        build_spec(smallest(seeds=1), "spec.toml")
