"""What every engine is compared with."""

from __future__ import annotations

import pytest
from engines.grid import hashes, lth, write_spec


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The weights hashes of the grid after one worker did it all without a break."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = lth("run", write_spec(folder), "--into", folder / "run")
    assert done.returncode == 0, done.stderr
    return hashes(folder / "run")
