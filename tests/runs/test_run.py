"""A run directory: started once, extended, refused to another experiment, readable when it is damaged in places."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lth.errors import RunError
from lth.runs.records import Audit, CellResult, Failure
from lth.runs.run import Run, open_run, start_run
from lth.spec import Spec


def make(**changes) -> Spec:
    raw = {
        "name": "t",
        "data": {"source": "mnist:/a", "batch_size": 8},
        "model": {"name": "lenet_300_100"},
        "train": {"epochs": 4, "optimizer": {"name": "sgd", "lr": 0.1}},
        "grid": {"sparsities": [0.5]},
    }
    return Spec.model_validate({**raw, **changes})


def a_result(**changes) -> CellResult:
    scores = "train_top1 train_loss validation_top1 validation_loss test_top1 test_loss epochs seconds"
    early = "early_stop_validation_loss early_stop_validation_top1"
    counts = "seed first_step last_step steps_per_epoch train_examples validation_examples test_examples"
    fields = dict.fromkeys(f"{scores} {early}".split(), 0.5)
    fields |= dict.fromkeys(f"{counts} early_stop_step parameters prunable".split(), 1)
    text = dict.fromkeys(["id", "key", "dataset_id", "order", "attempt", "weights_sha256", "host", "finished_at"], "x")
    audit = Audit(passed=True, checks={})
    return CellResult.model_validate(
        {**fields, **text, "kind": "cell", "files": {}, "audit": audit, "numerics": {}, **changes}
    )


def test_a_run_is_started_opened_and_extended(tmp_path: Path) -> None:
    start_run(tmp_path / "r", make(), "text = 1\n")
    assert (tmp_path / "r" / "spec.toml").read_text() == "text = 1\n"
    assert open_run(tmp_path / "r").spec == make()
    more = make(grid={"sparsities": [0.5, 0.9], "rewind": ["1ep"]}, seeds=[0, 1], select={"confirm_seeds": 3})
    start_run(tmp_path / "r", more, "")
    assert open_run(tmp_path / "r").spec == more


def test_moving_the_data_changes_nothing(tmp_path: Path) -> None:
    start_run(tmp_path / "r", make())
    start_run(tmp_path / "r", make(data={"source": "mnist:/b", "batch_size": 8}))


def test_another_experiment_is_refused_with_the_differing_keys(tmp_path: Path) -> None:
    run = start_run(tmp_path / "r", make())
    run.publish("cells/a", a_result(id="a"))
    other = make(train={"epochs": 5, "optimizer": {"name": "sgd", "lr": 0.2}})
    with pytest.raises(
        RunError, match=r"(?s)another experiment.*train\.epochs.*4.*5.*train\.optimizer\.lr.*--into"
    ) as caught:
        start_run(tmp_path / "r", other)
    assert "batch_size" not in str(caught.value)
    assert open_run(tmp_path / "r").spec == make()


def test_a_first_try_with_a_mistake_is_corrected_not_refused(tmp_path: Path) -> None:
    run = start_run(tmp_path / "r", make())
    run.settle_facts({"dataset_id": "a"})
    run.fail("dense/seed0", Failure(id="dense-seed0", error="E", message="m", attempt="x", host="h", failed_at="t"))
    other = make(train={"epochs": 5, "optimizer": {"name": "sgd", "lr": 0.2}})
    with run.claims() as claims:
        claims.take("dense-seed1")
        with pytest.raises(RunError, match="another experiment"):
            start_run(tmp_path / "r", other)
    corrected = start_run(tmp_path / "r", other)
    assert open_run(tmp_path / "r").spec == other
    assert corrected.results().failed == {}
    assert corrected.settle_facts({"dataset_id": "b"}) == {"dataset_id": "b"}


def test_a_correction_that_was_killed_midway_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start_run(tmp_path / "run", make(), "as written")
    other = make(train={"epochs": 5, "optimizer": {"name": "sgd", "lr": 0.1}})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr("lth.runs.run.write_json", killed)
        dying.setattr("lth.runs.run.publish_first", killed)
        with pytest.raises(KeyboardInterrupt):
            start_run(tmp_path / "run", other)
    assert start_run(tmp_path / "run", other).describe()["spec"]["train"]["epochs"] == 5


def test_other_data_are_refused(tmp_path: Path) -> None:
    run = start_run(tmp_path / "r", make())
    run.settle_facts({"dataset_id": "a"})
    assert run.settle_facts({"dataset_id": "a", "late": 1}) == {"dataset_id": "a"}
    with pytest.raises(RunError, match="data differ"):
        run.settle_facts({"dataset_id": "b"})


def test_a_start_that_was_killed_at_its_first_write_can_be_repeated(tmp_path: Path) -> None:
    (tmp_path / ".run.json.0123456789ab.tmp").write_text('{"format_')
    start_run(tmp_path, make())
    assert open_run(tmp_path).spec == make()


def test_a_folder_with_other_things_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("")
    with pytest.raises(RunError, match="not a run directory, and not empty"):
        start_run(tmp_path, make())
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]
    with pytest.raises(RunError, match="not a run directory"):
        open_run(tmp_path)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    run = start_run(tmp_path / "r", make())
    run.layout.run.write_text(json.dumps({**run.describe(), "format_version": 2}))
    with pytest.raises(RunError, match=r"format_version.*found 2.*Update lth"):
        open_run(tmp_path / "r")
    with pytest.raises(RunError, match="format_version"):
        start_run(tmp_path / "r", make())


def test_the_first_result_wins_and_a_deleted_folder_is_forgotten(tmp_path: Path) -> None:
    run = start_run(tmp_path / "r", make())
    assert run.publish("cells/a", a_result(id="a", host="one"))
    assert not run.publish("cells/a", a_result(id="a", host="two"))
    assert run.results().done["a"].host == "one"
    shutil.rmtree(run.path / "cells" / "a")
    assert run.results().done == {}


def test_failures_count_until_the_attempts_are_used_up(tmp_path: Path) -> None:
    run = start_run(tmp_path / "r", make(execute={"attempts": 2}))
    failure = Failure(id="a", error="E", message="m", attempt="x", host="h", failed_at="t")
    run.fail("cells/a", failure)
    assert run.results().failed == {}
    run.fail("cells/a", failure)
    assert run.results().failed["a"].message == "m"
    run.fail("cells/b", failure.model_copy(update={"id": "b", "final": True}))
    assert set(run.results().failed) == {"a", "b"}
    run.publish("cells/a", a_result(id="a"))
    assert set(run.results().failed) == {"b"}


@pytest.mark.parametrize(
    "content", ["", "{}", '{"format_version": 1, "kind": "cell", "id": 3}', "[]", '{"format_version": 9}']
)
def test_a_damaged_result_is_named_with_its_cure(tmp_path: Path, content: str) -> None:
    run = start_run(tmp_path / "r", make())
    (run.path / "cells" / "a").mkdir(parents=True)
    (run.path / "cells" / "a" / "result.json").write_text(content)
    with pytest.raises(RunError, match=r"cells/a/result\.json.*(Delete the folder|Update lth)"):
        Run(run.path, run.spec).results()


def test_the_first_look_at_test_data_is_on_record(tmp_path: Path) -> None:
    run = start_run(tmp_path / "r", make())
    assert run.describe()["test_first_shown"] is None
    run.test_shown()
    first = run.describe()["test_first_shown"]
    run.test_shown()
    assert run.describe()["test_first_shown"] == first
