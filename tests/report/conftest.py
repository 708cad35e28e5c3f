"""The planted runs, importable by the tests of the report whatever the import mode."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lth.report import page

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def no_pdf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the drawing of PDF files, the slow part, to the tests that look at them."""
    monkeypatch.setattr(page, "_pdf", lambda figure: b"%PDF-")
