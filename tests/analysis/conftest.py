"""Two small real runs: one-shot pruning with copies, and iterative pruning with copies at its last level."""

from __future__ import annotations

import pytest
from analysis.made_runs import CHAIN, DOCUMENT, made

from lth.runs.run import Run


@pytest.fixture(scope="session")
def one_shot(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return made(DOCUMENT, tmp_path_factory.mktemp("one_shot"))


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return made(CHAIN, tmp_path_factory.mktemp("chain"))
