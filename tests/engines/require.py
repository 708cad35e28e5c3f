"""Engines that are missing: a loud skip, but a failure where they are said to be there."""

from __future__ import annotations

import os

import pytest


def require(found: object, words: str) -> None:
    """Returns nothing where an engine is `found`; else skips the test, or fails it where LTH_ENGINES=required."""
    if found:
        return
    if os.environ.get("LTH_ENGINES") == "required":
        pytest.fail(words)
    pytest.skip(words)
