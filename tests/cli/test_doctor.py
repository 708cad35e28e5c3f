from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from lth.cli import extras, machine
from lth.cli.doctor import doctor, report

ROOT = Path(__file__).parents[2]
app = typer.Typer()
app.command()(doctor)


@pytest.fixture
def no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "torch", lambda: machine.Part("torch", True, "2.13.0", True))


def test_every_extra_of_the_package_is_looked_at_with_its_packages():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = {name: {re.split(r"[\[<>=]", line)[0] for line in lines} - {"lth"} for name, lines in declared.items()}
    assert {name: set(extra.modules.values()) for name, extra in extras.EXTRAS.items()} == names


def test_a_missing_package_names_what_it_blocks_and_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch):
    wanted = extras.Extra({"json": "json", "no_such_module_here": "no-such-package"}, "nothing real")
    monkeypatch.setitem(extras.EXTRAS, "demo", wanted)
    part = extras.extra("demo")
    assert (part.ok, part.required, part.found) == (False, False, "missing: no-such-package")
    assert part.blocks == "nothing real"
    assert part.cure == "Install it with: pip install 'lth[demo]'"


def test_installed_packages_are_shown_with_versions():
    part = extras.extra("dev")
    assert part.ok
    assert f"pytest {pytest.__version__}" in part.found


def test_torch_is_asked_in_another_process():
    part = machine.torch()
    assert part.ok
    assert part.required
    code = (
        "import sys; from lth.cli.doctor import report; report(); print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert asked.stdout == "False False\n"


@pytest.mark.parametrize(
    ("probe", "found"),
    [
        ("import no_such_module_here", "ModuleNotFoundError: No module named 'no_such_module_here'"),
        ('print(\'["2.4.1", "AVX2", 1, []]\')', "2.4.1 is too old"),
        ("raise SystemExit(3)", "exit code 3"),
    ],
)
def test_torch_that_cannot_be_used_is_missing(monkeypatch: pytest.MonkeyPatch, probe: str, found: str):
    monkeypatch.setattr(machine, "TORCH_PROBE", probe)
    part = machine.torch()
    assert (part.ok, part.required, part.found) == (False, True, found)
    assert "pip install 'torch>=2.11'" in part.cure


@pytest.mark.parametrize(
    ("said", "ok", "found"),
    [
        ('openjdk version "17.0.15" 2025-04-15', True, "17.0.15 at "),
        ('openjdk version "21" 2023-09-19', True, "21 at "),
        ('java version "1.8.0_202"', False, "1.8.0_202 at "),
        ("The operation could not be completed", False, ""),
    ],
)
def test_java_is_asked_for_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, ok: bool, found: str
):
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "java"
    program.write_text(f"#!/bin/sh\necho '{said}' >&2\n")
    program.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    part = machine.java()
    assert (part.ok, part.required) == (ok, False)
    assert part.found.startswith(found)
    assert "openjdk-17-jre-headless" in part.cure or ok


def test_no_java_blocks_spark_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    part = machine.java()
    assert (part.ok, part.found, part.blocks) == (False, "none", "work on Spark")


def test_a_folder_with_hard_links_and_exclusive_creation_is_fit_and_left_clean(tmp_path: Path):
    part = machine.file_system(tmp_path)
    assert part.ok
    assert str(tmp_path) in part.found
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_hard_links_is_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def no_links(first: Path, second: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    part = machine.file_system(tmp_path)
    assert (part.ok, part.required) == (False, True)
    assert "no hard links" in part.found
    assert part.blocks
    assert "--into" in part.cure


def test_links_that_overwrite_are_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "link", lambda first, second: None)
    part = machine.file_system(tmp_path)
    assert not part.ok
    assert part.found == "a second hard link is not refused"


def test_cores_memory_and_disk_are_positive(tmp_path: Path):
    assert re.match(r"[1-9]\d* of [1-9]\d*", machine.cores().found)
    assert re.fullmatch(r"\d+\.\d GiB free", machine.memory().found)
    assert re.fullmatch(r"\d+\.\d GiB free", machine.disk(tmp_path).found)


def test_the_order_of_the_report(tmp_path: Path, no_probe: None):
    names = [part.name for part in report(tmp_path)]
    assert names[:3] == ["python", "torch", "extra demo"]
    assert names[-7:] == ["run folder", "clock", "files", "limits", "cores", "memory", "disk"]


def test_text_goes_to_stdout_and_ends_with_the_verdict(tmp_path: Path, no_probe: None):
    result = CliRunner().invoke(app, [str(tmp_path)])
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.endswith("lth works here.\n")
    assert re.search(r"^ok +torch +2\.13\.0$", result.stdout, re.MULTILINE)


def test_json_is_one_object_and_a_missing_required_part_is_exit_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "TORCH_PROBE", "import no_such_module_here")
    result = CliRunner().invoke(app, ["--json", str(tmp_path)])
    assert (result.exit_code, result.stderr) == (1, "")
    answer = json.loads(result.stdout)
    assert answer["works"] is False
    torch = next(part for part in answer["parts"] if part["name"] == "torch")
    assert set(torch) == {"name", "ok", "found", "required", "blocks", "cure"}
    assert torch["ok"] is False


def test_a_folder_that_is_not_there_is_wrong_usage(tmp_path: Path):
    assert CliRunner().invoke(app, [str(tmp_path / "nowhere")]).exit_code == 2
