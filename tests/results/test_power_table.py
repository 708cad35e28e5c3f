"""The benchmark behind the power in docs/statistics.md runs and prints its four tables; no number of it is asserted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_power_prints_its_tables_and_the_page_names_the_command() -> None:
    command = [sys.executable, "-W", "error", str(ROOT / "benchmarks" / "power.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^\| .*\|$", done.stdout, re.MULTILINE)
    assert len(rows) == (1 + 48) + (1 + 18) + (1 + 3) + (1 + 3)
    assert "n = 20 runs a row" in done.stdout
    assert "python benchmarks/power.py\n" in (ROOT / "docs" / "statistics.md").read_text()
