"""The page in a real browser: every chart is drawn and the console stays silent."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from fake_run import planted

from lth.report import write_report

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=8000",
    "--enable-logging=stderr",
]


def browser() -> str:
    """Returns a Chromium; skips without one, and fails where CI is set, for there it must be."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("no Chromium here: install the package chromium")
    if found is None:
        pytest.skip("NO BROWSER: the page is not drawn; install the package chromium")
    return str(found)


@pytest.mark.long
@pytest.mark.parametrize("width", [500, 1280])  # a headless window is at least 500 wide
@pytest.mark.parametrize("dark", [False, True])
def test_every_chart_is_drawn_without_a_word_on_the_console(tmp_path: Path, width: int, dark: bool) -> None:
    program = browser()
    path = write_report(planted(tmp_path / "run"))
    look = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    place = [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},4000", look]
    done = subprocess.run(
        [program, *FLAGS, *place, "--dump-dom", path.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    charts = re.findall(r'id="chart-([a-z-]+)"[^>]*>(.*?)</figure>', done.stdout, re.S)
    assert [name for name, _ in charts] == ["accuracy", "closeness", "heat-map", "layer-densities", "training"]
    for name, inside in charts:
        assert "<svg" in inside, name
        assert "could not be drawn" not in inside
        drawn = re.search(r'<svg[^>]* width="(\d+)', inside)
        assert drawn is not None
        assert int(drawn[1]) <= width
