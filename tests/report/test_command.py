"""The command on the page makes the same experiment again."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from fake_run import spec_of

from lth.report.command import command
from lth.spec.load import parse_spec
from lth.spec.schema import Spec

WRITTEN = """
name = "digits"
seeds = [0, 1]
data = { source = "digits", batch_size = 64, validation = { fraction = 0.1 } }
model = { name = "lenet_300_100" }
train = { epochs = 20, optimizer = { name = "sgd", lr = 0.1 }, schedule = { name = "step", milestones = ["5ep"] } }
prune = { rates = { fc2 = 0.5 } }
grid = { sparsities = [0.5], rewind = ["0"] }
"""

CHANGES: list[list[str]] = [
    [],
    ["train.epochs=3", "train.schedule.milestones=['1ep', '2ep']"],
    ["seeds=[4]", 'name="it\'s"'.replace("'", "-"), "grid.sparsities=[0.5, 0.25]"],
    ["data.validation={ folds = 3 }"],
    ["train.schedule={ name = 'cosine' }"],
    ["train.optimizer={ name = 'adam', lr = 0.001 }"],
    ["prune.rates={ output = 0.5, 'fc*' = 0.25 }", "prune.scope=global"],
    ["model.arguments={ width = 0.5 }"],
    ["execute.launcher=processes"],
]


@pytest.mark.parametrize("changes", CHANGES)
def test_the_command_reaches_the_spec_that_was_run(changes: list[str]) -> None:
    spec = parse_spec(WRITTEN, "spec.toml", changes)
    text = command(spec, WRITTEN, "my digits")
    assert text is not None
    words = shlex.split(text)
    assert words[:5] == ["lth", "run", "spec.toml", "--into", "my digits"]
    assert (len(words) == 5) == (not changes or changes[0].startswith("execute"))
    again = parse_spec(WRITTEN, "spec.toml", words[6::2])
    assert without_execute(again) == without_execute(spec)


def without_execute(spec: Spec) -> dict[str, Any]:
    return spec.model_dump(mode="json", exclude={"execute"})


@pytest.mark.parametrize("text", ["", "not TOML", 'name = "x"', json.dumps({"name": "x"})])
def test_there_is_no_command_from_a_text_that_is_no_spec(text: str) -> None:
    assert command(spec_of(), text, "digits") is None
