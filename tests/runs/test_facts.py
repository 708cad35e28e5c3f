"""facts.json: what the first worker found stays, what was measured is added, by any number of workers at once."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from lth.errors import RunError
from lth.runs.run import Run
from lth.spec import Spec

SPEC = Spec.model_validate(
    {
        "name": "t",
        "data": {"source": "digits", "batch_size": 8},
        "model": {"name": "lenet_300_100"},
        "train": {"epochs": 4, "optimizer": {"name": "sgd", "lr": 0.1}},
        "grid": {"sparsities": [0.5]},
    }
)
FOUND = {"dataset_id": "a", "train_examples": 640}


def test_measurements_are_added_and_the_last_wins(tmp_path: Path) -> None:
    run = Run(tmp_path, SPEC)
    assert run.facts() == {}
    run.measured("dense", {"seconds_per_step": 1})
    assert not run.layout.facts.exists(), "nobody has looked at the data yet"
    run.settle_facts(FOUND)
    run.measured("dense", {"seconds_per_step": 1})
    run.measured("tickets-4", {"seconds_per_step": 2})
    run.measured("dense", {"seconds_per_step": 3})
    measured = {"dense": {"seconds_per_step": 3}, "tickets-4": {"seconds_per_step": 2}}
    assert run.facts() == {**FOUND, "measured": measured}


def test_the_data_are_still_compared_and_the_first_facts_kept(tmp_path: Path) -> None:
    run = Run(tmp_path, SPEC)
    run.settle_facts(FOUND)
    run.measured("dense", {})
    assert run.settle_facts({**FOUND, "train_examples": 1}) == {**FOUND, "measured": {"dense": {}}}
    with pytest.raises(RunError, match="data differ"):
        run.settle_facts({**FOUND, "dataset_id": "b"})


def test_many_writers_never_lose_the_facts_about_the_data_nor_show_half_a_file(tmp_path: Path) -> None:
    run = Run(tmp_path, SPEC)
    run.settle_facts(FOUND)
    broken: list[object] = []

    def write(number: int) -> None:
        for value in range(20):
            run.measured(f"tickets-{number}", {"seconds_per_step": value, "padding": "x" * 5000})
            seen = json.loads(run.layout.facts.read_text())
            if seen.items() < FOUND.items() or not run.settle_facts(FOUND)["measured"]:
                broken.append(seen)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not broken
    final = run.facts()
    assert FOUND.items() <= final.items()
    assert any(found["seconds_per_step"] == 19 for found in final["measured"].values())
    assert [path.name for path in tmp_path.iterdir()] == ["facts.json"]
