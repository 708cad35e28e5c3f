from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def rows(text: str) -> list[tuple[float, float]]:
    found = re.findall(r"density ([\d.]+)  test accuracy ([\d.]+)", text)
    return [(float(density), float(accuracy)) for density, accuracy in found]


def test_the_example_finds_tickets_and_the_page_shows_what_it_prints():
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / "your_own_loop.py")]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    printed, shown = rows(output), rows((ROOT / "docs" / "your-own-loop.md").read_text())
    assert [density for density, _ in printed] == [1.0, 0.224, 0.126, 0.078, 0.049, 0.039]
    assert [density for density, _ in shown] == [density for density, _ in printed]
    assert all(abs(a - b) < 0.02 for (_, a), (_, b) in zip(printed, shown, strict=True))
    dense, *tickets = [accuracy for _, accuracy in printed]
    assert dense > 0.9
    assert min(tickets[:4]) > dense


def test_the_page_quotes_the_example():
    page, code = (ROOT / "docs" / "your-own-loop.md").read_text(), (ROOT / "examples" / "your_own_loop.py").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    quoted = [line.strip() for line in block.splitlines() if line.strip()]
    assert len(quoted) > 5
    assert all(line in code for line in quoted)
