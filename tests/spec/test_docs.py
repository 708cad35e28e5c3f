"""The page about the spec: complete, its defaults and its output real."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from lth.errors import SpecError
from lth.spec import Step
from lth.spec.identity import differing_keys, experiment
from lth.spec.keys import KEYS
from lth.spec.load import parse_spec
from lth.spec.presets import preset_text
from lth.spec.step import MaskFrom
from lth.spec.toml import written

PAGE = (Path(__file__).parents[2] / "docs" / "spec.md").read_text(encoding="utf-8")
ROWS = {row[0]: row[1:] for row in re.findall(r"^\| `([a-z_.]+)` \| (.+?) \| (.+?) \| (.+) \|$", PAGE, re.M)}

# Keys whose default is made by another key.
MADE = {
    "data.validation.fraction": "`0.1`",
    "train.schedule.name": '`"constant"`',
    "prune.scope": "the model's",
    "prune.exclude": "the model's",
    "prune.rates": "the model's",
}


def test_every_key_has_a_row_with_its_default() -> None:
    leaves = {".".join(key.path): key for key in KEYS.values() if not key.table}
    assert ROWS.keys() == leaves.keys()
    for name, key in leaves.items():
        value = [str(one) for one in key.default] if name == "grid.rewind" else key.default
        value = str(value) if isinstance(value, Step | MaskFrom) else value
        default = "required" if value is PydanticUndefined else "none" if value is None else f"`{written(value)}`"
        assert ROWS[name][1] == MADE.get(name, default), name


def test_every_choice_of_a_key_is_in_its_row() -> None:
    for name in ("sgd", "adam", "adamw"):
        assert f'`"{name}"`' in ROWS["train.optimizer.name"][0]
    for key in KEYS.values():
        for variant in key.variants if key.path[-1] in ("momentum", "betas", "milestones", "final_lr") else ():
            assert f"`{variant}`" in ROWS[".".join(key.path)][2]


def test_the_output_is_real() -> None:
    (broken,) = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
    differing, output = re.findall(r"```text\n(.*?)```", PAGE, re.S)
    with pytest.raises(SpecError) as caught:
        parse_spec(broken, "spec.toml")
    assert f"{caught.value}\n" == output
    longer = experiment(parse_spec(preset_text("digits_lenet"), "preset", ["train.epochs=40"]))
    shorter = experiment(parse_spec(preset_text("digits_lenet"), "preset", ["train.epochs=10"]))
    assert differing_keys(longer, shorter) == differing.splitlines()
