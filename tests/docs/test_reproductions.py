"""The page of reproductions tells what `lth repro` knows, and its commands name what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lth.spec.load import load_spec
from lth.spec.published import PUBLISHED, scale_named

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reproductions.md").read_text(encoding="utf-8")
STUDIES = ("fashion_lenet", "cifar_resnet20_small", "imagenette_mobilenetv2_small", "imagenette_mobilenetv2")


def test_every_experiment_and_scale_has_its_row_and_section() -> None:
    for name, one in PUBLISHED.items():
        assert f"\n## {name}\n" in PAGE
        for scale, size in one.scales.items():
            where = "a laptop" if size.laptop else "GPUs"
            assert f"| {name} | {scale} | {size.expected} | {where} | " in PAGE


def test_the_commands_name_experiments_scales_and_files() -> None:
    commands = re.findall(r"^lth (repro|run) (\S+)(.*)$", PAGE, re.M)
    assert len(commands) > 10
    for kind, name, options in commands:
        scale = re.search(r"--scale (\w+)", options)
        if kind == "repro" and name != "#":
            assert scale_named(name, scale[1] if scale else None)
        elif kind == "run":
            assert (ROOT / name).exists()


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_valid_bears_its_name_and_is_commented(name: str) -> None:
    path = ROOT / "examples" / f"{name}.toml"
    assert load_spec(path).name == name
    lines = path.read_text(encoding="utf-8").splitlines()
    assignments = [line for line in lines if re.match(r"\w+ = |\]", line) and not line.endswith("[")]
    assert [line for line in assignments if " # " not in line] == []
    assert max(map(len, lines)) <= 120
    assert f"`examples/{name}.toml`" in PAGE


def test_the_grid_of_2021_is_that_of_the_gpu_study() -> None:
    spec = load_spec(ROOT / "examples" / "imagenette_mobilenetv2.toml")
    assert len(spec.grid.sparsities) * len(spec.grid.rewind) == 100
