"""benchmarks/bands_bite.py tells a finished run wrong in every way, and shows what falls outside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from results.paper_run import paper_run, written_run

from lth.results.forged import FORGERIES

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "bands_bite.py"


def test_every_forgery_is_shown_with_the_rows_it_breaks(tmp_path: Path) -> None:
    run = written_run(tmp_path / "run", paper_run())
    command = [sys.executable, "-W", "error", str(SCRIPT), str(run)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "as it is: 0 of 13 rows outside" in done.stdout
    for how in FORGERIES:
        assert f"\n{how}: " in done.stdout
        assert f"{how}: 0 of" not in done.stdout
    assert done.stdout.endswith("Every forgery falls outside.\n")
    assert not any(path.name == "result.json" and path.stat().st_nlink > 2 for path in run.rglob("*"))
