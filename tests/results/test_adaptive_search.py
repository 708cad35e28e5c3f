"""The benchmark behind docs/adaptive-search.md runs and prints its tables; its numbers are not asserted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_adaptive_search_prints_its_tables_and_the_page_names_the_command() -> None:
    command = [sys.executable, "-W", "error", str(ROOT / "benchmarks" / "adaptive_search.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^\| .*\|$", done.stdout, re.MULTILINE)
    assert len(rows) == (1 + 8) + (1 + 12) + (1 + 6) + (1 + 8)
    assert "n = 6 surfaces a row" in done.stdout
    assert "python benchmarks/adaptive_search.py\n" in (ROOT / "docs" / "adaptive-search.md").read_text()
