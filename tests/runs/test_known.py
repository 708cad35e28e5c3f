"""What workers are told by the journal is what the folders hold, whatever happens to the journal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs.test_run import a_result, make

from lth.errors import RunError
from lth.runs.files import publish_first
from lth.runs.journal import Journal
from lth.runs.records import Failure, Results
from lth.runs.run import Run, start_run

FOLDERS = ("dense/seed0", "cells/a", "cells/b", "winner/c")
TORN = (b"\n", b"{", b'{"folder": "cells/a", "result": {"kind": "cell"}}\n', b"\x00\xff\n", b'{"folder": 3}\n', b"[]\n")
ACTIONS = ("publish", "publish untold", "fail", "delete", "damage", "start", "listen", "lose")


@pytest.fixture(autouse=True)
def _listings_are_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lth.runs.known.LISTED_SECONDS", 0.0)


def a_failure(name: str) -> Failure:
    return Failure(id=name, error="E", message="m", final=True, attempt="1", host="h", failed_at="t")


def tell(run: Run) -> Results:
    """Returns what a worker knows once it has looked."""
    run.told.look_everywhere()
    return run.told.results()


def act(run: Run, action: str, folder: str, number: int) -> None:
    """Does one of ACTIONS; a unit is done again only by one who has noticed that it is gone, as workers do."""
    unit = run.path / folder
    record = a_result(id=folder, attempt=str(number)) if "winner" not in folder else {"format_version": 1, "id": folder}
    if action == "delete":
        shutil.rmtree(unit, ignore_errors=True)
    elif action == "damage":
        with open(run.layout.journal, "ab") as file:
            file.write(TORN[number % len(TORN)])
    elif action == "start":
        start_run(run.path, run.spec)
    elif action == "listen":
        run.told.listen()
    elif tell(run).settled(folder):
        return
    elif action == "fail":
        run.fail(folder, a_failure(folder))
    elif action == "publish":
        run.publish(folder, record)
    else:  # killed before it told
        unit.mkdir(parents=True, exist_ok=True)
        text = json.dumps(record) if isinstance(record, dict) else record.model_dump_json()
        publish_first(unit / "result.json", text)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from(ACTIONS), st.sampled_from(FOLDERS)), max_size=25))
def test_workers_are_told_what_the_folders_hold(tmp_path_factory: pytest.TempPathFactory, story) -> None:
    first = start_run(tmp_path_factory.mktemp("told") / "run", make())
    workers = [first, Run(first.path, first.spec)]
    for number, (who, action, folder) in enumerate(story):
        if action == "lose":  # the journal, between two sets of workers
            first.layout.journal.unlink(missing_ok=True)
            workers = [Run(first.path, first.spec) for _ in workers]
        else:
            act(workers[who], action, folder, number)
    for worker in (*workers, Run(first.path, first.spec)):
        assert tell(worker) == Run(first.path, first.spec).results()


def test_a_result_is_told_without_a_look_into_its_folder(tmp_path: Path) -> None:
    one = start_run(tmp_path / "run", make())
    other = Run(one.path, one.spec)
    tell(other)
    one.publish("cells/a", a_result(id="a"))
    one.fail("cells/b", a_failure("b"))
    shutil.rmtree(one.path / "cells")
    other.told.listen()
    assert (set(other.told.results().done), set(other.told.results().failed)) == ({"a"}, {"b"})


def test_what_was_told_just_now_need_not_be_listed_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node whose listing is a minute old neither does the unit again nor tells others that it is gone."""
    monkeypatch.setattr("lth.runs.known.LISTED_SECONDS", 120.0)
    one = start_run(tmp_path / "run", make())
    one.publish("cells/a", a_result(id="a"))
    shutil.rmtree(one.path / "cells")
    other = Run(one.path, one.spec)
    assert tell(other).settled("a")
    assert len(Journal(one.layout.journal).news()) == 1
    monkeypatch.setattr("lth.runs.known.LISTED_SECONDS", 0.0)
    assert not tell(other).settled("a")
    assert not tell(start_run(one.path, one.spec)).settled("a")


def test_a_failure_that_does_not_settle_its_unit_is_not_told(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", make(execute={"attempts": 2}))
    again = a_failure("a").model_copy(update={"final": False})
    run.fail("cells/a", again)
    assert Journal(run.layout.journal).news() == []
    run.fail("cells/a", again)
    assert [told["folder"] for told in Journal(run.layout.journal).news()] == ["cells/a"]


def test_a_journal_written_anew_is_read_from_its_beginning(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.append("cells/a", "gone", "true")
    journal.append("cells/b", "gone", "true")
    assert len(journal.news()) == 2
    assert journal.news() == []
    journal.rewrite(['{"folder": "cells/c"}\n', '{"folder": "cells/d"}'])
    assert journal.news() == [{"folder": "cells/c"}]  # the last line is still being written
    with open(journal.path, "a") as file:
        file.write("\n")
    assert journal.news() == [{"folder": "cells/d"}]


def test_a_result_alone_that_was_deleted_is_wanted_again_when_the_run_is_started(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", make())
    run.publish("cells/a", a_result(id="a"))
    run.layout.result("cells/a").unlink()
    again = start_run(run.path, run.spec)
    assert not tell(again).settled("a")


def test_a_result_that_is_not_there_is_named(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", make())
    with pytest.raises(RunError, match=r"dense/seed0/result.json: no trained network's result"):
        run.told.trained("dense/seed0")


def test_a_journal_that_cannot_be_written_hinders_nothing(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", make())
    run.layout.journal.mkdir()
    assert run.publish("cells/a", a_result(id="a"))
    assert tell(Run(run.path, run.spec)).settled("a")
