"""Every command and snippet of docs/report.md runs, and every file it names is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from fake_run import FakeRun, grid_only, spec_of, toml
from typer.testing import CliRunner

from lth.cli.app import app
from lth.report.page import write_report
from lth.runs.run import start_run

PAGE = (Path(__file__).parents[2] / "docs" / "report.md").read_text("utf-8")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns a folder, the working one, that holds the run directory runs/digits."""
    spec = spec_of(seeds=2, confirm=0, grid={"sparsities": [0.8, 0.9], "rewind": ["0", "1ep"]})
    run = start_run(tmp_path / "runs" / "digits", spec, toml(spec))
    for result in grid_only(tmp_path, spec).found.done.values():
        run.publish(f"dense/seed{result.seed}" if result.kind == "dense" else f"cells/{result.id}", result)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


@pytest.mark.usefixtures("no_pdf")
def test_the_commands_run(here: Path) -> None:
    commands = [shlex.split(line) for block in blocks("bash") for line in block.splitlines()]
    assert commands
    for words in commands:
        assert words[0] == "lth"
        done = CliRunner().invoke(app, words[1:])
        assert done.exit_code == 0, done.output
        assert (here / done.output.strip()).is_file()


@pytest.mark.usefixtures("no_pdf")
def test_the_snippet_runs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for code in blocks("python"):
        exec(compile(code, "docs/report.md", "exec"), {})
    assert (here / capsys.readouterr().out.strip()).is_file()


@pytest.mark.usefixtures("no_pdf")
def test_the_files_are_those_of_the_table(tmp_path: Path) -> None:
    run: FakeRun = grid_only(tmp_path / "run", spec_of(seeds=2, grid={"sparsities": [0.9], "rewind": ["0"]}))
    folder = write_report(run).parent
    for pattern in re.findall(r"^\| `([^`]+)` \|", PAGE, re.M):
        assert list(folder.glob(pattern)), pattern
