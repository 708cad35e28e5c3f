"""The files of a list, brought by Spark."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from data.web import serving, sha256

pytestmark = pytest.mark.long


def test_a_list_is_fetched_by_spark(tmp_path: Path) -> None:
    files = {f"/{number}": bytes([number]) * (1000 + number) for number in range(12)}
    with serving() as web:
        web.files.update(files)
        web.faults["/3"] = ["truncated 500"]
        lines = [f"{web.url(path)} {sha256(content)} part{path}" for path, content in files.items()]
        lines.append(f"{web.url('/none')} {sha256(b'')} none")
        (tmp_path / "urls.txt").write_text("\n".join(lines))
        command = ["data", "fetch", "--from", "urls.txt", "--into", "data", "--engine", "spark", "--json"]
        source = str(Path(__file__).parents[3] / "src")
        direct = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        done = subprocess.run(
            [sys.executable, "-m", "lth", *command, "--master", "local[2]"],
            cwd=tmp_path, env={**direct, "PYTHONPATH": source}, capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 1, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["fetched"], summary["there"], summary["failed"]) == (12, 0, 1)
    assert [failure["name"] for failure in summary["failures"]] == ["none"]
    assert {f"/{path.name}": path.read_bytes() for path in (tmp_path / "data" / "part").iterdir()} == files
    assert web.ranges("/3") == [None, "bytes=500-"]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["part"]
