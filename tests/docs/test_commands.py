"""Every command shown in the pages below runs, in order; LTH_WRITE_DOCS=1 writes their real output.

A block that starts with ```console holds commands after "$ " and what they print. "# exit code N" after a
command says that it fails on purpose. Outputs differ between machines in their digits, and verdicts may: the
first line of each is compared with its digits masked.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "docs/tutorial.md",
    "docs/your-own-training.md",
    "docs/stability.md",
    "docs/data.md",
    "docs/data-care.md",
    "docs/data-spark.md",
    "docs/clusters.md",
    "docs/mpi.md",
    "docs/spark-grid.md",
)
BLOCK = re.compile(r"```console\n(.*?)```", re.S)
WRITE = os.environ.get("LTH_WRITE_DOCS") == "1"


@dataclass(frozen=True)
class Shown:
    """A command of a page, the exit code it should have, and the output shown."""

    command: str
    code: int
    output: str


def shown(block: str) -> list[Shown]:
    """Returns the commands of a console block."""
    found = []
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        command, _, output = part.partition("\n")
        code = re.search(r"# exit code (\d)", command)
        found.append(Shown(command, int(code[1]) if code else 0, output))
    return found


def run(command: str, folder: Path) -> tuple[int, str, str]:
    """Returns exit code, output (stderr where a failure has no other) and stderr of a shell command."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "120"}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=900
    )
    return done.returncode, done.stdout or (done.stderr if done.returncode else ""), done.stderr


def masked(text: str) -> str:
    """Returns the first line of a text with every number and every Step masked, and white space folded.

    Another kind of CPU rounds otherwise: "rewound to 0" may be "rewound to 2ep" there.
    """
    first = next((line for line in text.splitlines() if line.strip()), "")
    return " ".join(re.sub(r"[-+−]?\d[\d.,]*(?:(?:ep|it)\d*)*", "#", first).split())


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with the repository's examples in it."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "examples").symlink_to(ROOT / "examples")
    return folder


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_runs_and_prints_what_is_shown(page: str, workplace: Path) -> None:
    text = (ROOT / page).read_text()
    blocks = BLOCK.findall(text)
    assert blocks
    for block in blocks:
        written = ""
        for one in shown(block):
            code, output, error = run(one.command, workplace)
            assert code == one.code, f"{one.command}\n{output}"
            written += f"$ {one.command}\n{output if one.output or WRITE else ''}"
            assert WRITE or not one.output or masked(output) == masked(one.output), f"{one.command}\n{error}"
        if WRITE:
            text = text.replace(f"```console\n{block}```", f"```console\n{written}```")
    if WRITE:
        (ROOT / page).write_text(text)


def test_every_page_that_the_pages_link_to_exists() -> None:
    for page in (*PAGES, "CONTRIBUTING.md", *(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))):
        for link in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
            assert ((ROOT / page).parent / link).exists(), f"{page} links to {link}"


def test_the_make_targets_that_the_readme_names_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    named = set(re.findall(r"`?make ([a-z]+)", (ROOT / "README.md").read_text()))
    assert {"demo", "test"} <= named <= targets
