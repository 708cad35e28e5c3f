"""Training functions of one's own: the job, its log, what they may return, and the process that runs them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lth.data.loader import Resident, Stream
from lth.data.sources import open_source
from lth.errors import SpecError, TrainingError
from lth.pruning.score import magnitude_masks
from lth.spec.recipe import Train
from lth.spec.schema import Data
from lth.training.entry import Job, entry_function
from lth.training.entry_log import EntryFolder, EntryLog, read_rows
from lth.training.entry_process import SCORES, checked
from lth.training.recipe import learning_rate

DATA = Data.model_validate(
    {"source": "synthetic:examples=60,test_examples=20,size=4", "batch_size": 5, "validation": {"fraction": 0.25}}
)
RECIPE = Train.model_validate(
    {
        "epochs": 3,
        "optimizer": {"name": "sgd", "lr": 0.1},
        "schedule": {"name": "cosine", "warmup_epochs": 1},
        "entry": "a:b",
    }
)


def make_job(folder: Path, *, first: int = 0, keep: dict[int, str] | None = None) -> Job:
    """Returns a job as the process makes it: 9 steps an epoch, 27 in all."""
    stream = Stream(Resident(open_source(DATA.source), DATA, 0, torch.device("cpu")), 1, 2)
    torch.manual_seed(0)
    content = {"name": "dense-seed0", "first_step": first, "last_step": 27, "steps_per_epoch": 9, "keep": keep or {}}
    return Job(
        name="dense-seed0", model=nn.Sequential(nn.Flatten(), nn.Linear(16, 4)), mask=None, device=torch.device("cpu"),
        first_step=first, last_step=27, steps_per_epoch=9, recipe=RECIPE, seed=0, order_seed=1, augment_seed=2,
        dropout_seed=3, folder=folder, _stream=lambda: stream, _log=EntryLog(EntryFolder(folder), content),
    )  # fmt: skip


def test_the_dense_states_are_those_after_the_steps_before_them(tmp_path: Path) -> None:
    job, at = make_job(tmp_path, keep={9: "1ep", 11: "1ep2it"}), {}
    for step in range(27):
        with torch.no_grad():
            job.model[1].weight += 0.01  # pyright: ignore
        at[step + 1] = job.model[1].weight.detach().clone()  # pyright: ignore
        job.after_step(step)
    log = EntryLog(
        EntryFolder(tmp_path), {"name": "x", "first_step": 0, "last_step": 27, "steps_per_epoch": 9, "keep": {}}
    )
    assert log.reached == 27
    for step, name in ((9, "1ep"), (11, "1ep2it")):
        state = torch.frombuffer(
            bytearray(log.folder.state(name, log.kept[name]).read_bytes()[-256:]), dtype=torch.float32
        )
        assert torch.equal(state, at[step].flatten())


@pytest.mark.parametrize(("before", "step"), [([0, 1], 3), ([0, 1], 1), ([4, 5], 4), ([], -1), ([], 27), ([], "3")])
def test_a_step_out_of_turn_is_refused(tmp_path: Path, before: list[int], step: Any) -> None:
    job = make_job(tmp_path)
    for one in before:
        job.after_step(one)
    with pytest.raises(TrainingError, match="step"):
        job.after_step(step)


def test_the_curve_of_two_tries_has_one_row_a_step_and_drops_a_torn_line(tmp_path: Path) -> None:
    first = make_job(tmp_path)
    first.log(8, train_loss=torch.tensor(0.5, requires_grad=True))
    first.log(17, train_loss=np.float32(0.25), validation_top1=1)
    with open(EntryFolder(tmp_path).rows, "a") as file:
        file.write('{"step": 27, "trai')
    again = make_job(tmp_path)
    with open(EntryFolder(tmp_path).rows, "a") as file:
        file.write("\n")
    again.log(17, train_loss=0.125)
    rows = [
        {key: value for key, value in row.items() if key != "seconds"} for row in read_rows(EntryFolder(tmp_path).rows)
    ]
    assert rows == [
        {"step": 9, "epoch": 1.0, "train_loss": 0.5},
        {"step": 18, "epoch": 2.0, "train_loss": 0.125, "validation_top1": 1.0},
    ]


@pytest.mark.parametrize("value", ["0.5", None, True, [0.5], torch.zeros(2), float("nan"), float("inf")])
def test_what_is_no_number_is_not_logged(tmp_path: Path, value: Any) -> None:
    with pytest.raises(TrainingError, match=r"dense-seed0, step 3: train_loss is not a (finite )?number \(found"):
        make_job(tmp_path).log(3, train_loss=value)
    assert not EntryFolder(tmp_path).rows.exists()


def test_a_rewound_ticket_enters_the_schedule_and_the_data_at_its_own_step(tmp_path: Path) -> None:
    job = make_job(tmp_path, first=12)
    assert job.learning_rate(12) == learning_rate(12, 27, 9, 0.1, RECIPE.schedule) < 0.1
    images, labels = job.batch_at(12)
    assert images.shape == (5, 1, 4, 4)
    assert torch.equal(images, make_job(tmp_path).batch_at(12)[0])
    assert len(labels) == 5
    assert sum(len(part) for _, part in job.validation(4)) == 15
    assert sum(len(part) for _, part in job.test()) == 20


def test_enforce_holds_the_pruned_weights_and_is_nothing_for_a_dense_network(tmp_path: Path) -> None:
    dense = make_job(tmp_path)
    optimizer = torch.optim.SGD(dense.model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    assert dense.enforce(optimizer) is None
    job = replace(dense, mask=magnitude_masks(dense.model, [0.5])[0.5])
    assert job.enforce(optimizer) is not None
    for step in range(3):
        nn.functional.cross_entropy(job.model(job.batch_at(step)[0]), job.batch_at(step)[1]).backward()
        optimizer.step()
    assert int(job.model[1].weight.count_nonzero()) == 32  # pyright: ignore


@given(st.dictionaries(st.sampled_from(("train", "validation", "test")), st.tuples(st.floats(0, 1), st.floats(0, 1e9))))
def test_scores_in_range_come_through_unchanged(parts: dict[str, tuple[float, float]]) -> None:
    given_ = {
        f"{part}_{what}": value
        for part, pair in parts.items()
        for what, value in zip(("top1", "loss"), pair, strict=True)
    }
    assert checked(given_, "unit") == given_


GOOD = {"validation_top1": 0.5, "validation_loss": 1.0}


@given(
    st.sampled_from(SCORES),
    st.one_of(st.text(), st.none(), st.booleans(), st.floats(max_value=-1e-9), st.just(math.nan), st.just(math.inf)),
)
def test_anything_else_is_refused_by_name(key: str, value: Any) -> None:
    whole = {f"{key.partition('_')[0]}_{what}": 0.5 for what in ("top1", "loss")}
    with pytest.raises(TrainingError, match=f"unit, the scores returned: {key} is "):
        checked({**whole, key: value}, "unit")


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("fine", "not a dict (found 'fine')"),
        (0.97, "not a dict (found 0.97)"),
        ({**GOOD, "validation_top1": 97.3}, "validation_top1 is not between 0 and 1 (found 97.3). Give a fraction"),
        ({"val_top1": 0.5}, "unknown key 'val_top1'"),
        ({**GOOD, "validation_losses": 1}, "unknown key 'validation_losses'. Did you mean validation_loss?"),
        ({"test_top1": 0.5}, "test_loss is missing"),
        ({"test_examples": 10}, "test_loss is missing"),
        ({**GOOD, "validation_examples": 2.5}, "validation_examples is not a count (found 2.5)"),
    ],
)
def test_a_return_value_that_is_none_names_what_is_wrong(returned: Any, said: str) -> None:
    with pytest.raises(TrainingError) as caught:
        checked(returned, "unit")
    assert said in str(caught.value)


def test_nothing_is_a_fine_answer() -> None:
    assert checked(None, "unit") == {}
    assert checked({**GOOD, "validation_examples": 50000}, "unit") == {**GOOD, "validation_examples": 50000}


MODULES = {
    "breaks": "import no_such_thing",
    "quits": "import sys; sys.exit(1)",
    "plain": "value = 3\ndef two(a, b): pass\ndef fine(job): pass\n",
}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("no_such_module:train", "cannot import 'no_such_module': ModuleNotFoundError"),
        ("entry_breaks:train", "No module named 'no_such_thing'"),
        ("entry_quits:train", "cannot import 'entry_quits': SystemExit: 1"),
        (
            "entry_plain:train",
            "entry_plain has no function 'train' (found \"entry_plain:train\"). Its functions are: two, fine",
        ),
        ("entry_plain:value", "entry_plain has no function 'value'"),
        ("entry_plain:two", "it cannot be called with one argument"),
    ],
)
def test_a_function_that_is_not_there_is_a_problem_of_the_spec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, said: str
) -> None:
    for name, text in MODULES.items():
        (tmp_path / f"entry_{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SpecError) as caught:
        entry_function(path)
    assert said in str(caught.value)
    assert "train.entry: " in str(caught.value)
    assert entry_function("entry_plain:fine").__name__ == "fine"  # pyright: ignore


def test_the_page_quotes_the_example() -> None:
    root = Path(__file__).parents[2]
    page, code = (root / "docs/your-own-training.md").read_text(), (root / "examples/own_training/plain.py").read_text()
    block = page.partition("```python\n")[2].partition("```")[0]
    assert len(block) > 1000
    assert block in code
