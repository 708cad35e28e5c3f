"""The benchmark behind docs/statistics.md runs and prints its three tables; its numbers are not asserted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_selection_error_prints_its_tables_and_the_page_names_the_command() -> None:
    command = [sys.executable, "-W", "error", str(ROOT / "benchmarks" / "selection_error.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^\| .*\|$", done.stdout, re.MULTILINE)
    assert len(rows) == (1 + 18) + (1 + 16) + (1 + 3)
    assert "n = 4 worlds a row" in done.stdout
    assert "python benchmarks/selection_error.py\n" in (ROOT / "docs" / "statistics.md").read_text()
