"""Numbers computed once are read again; what is no such file is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from lth.analysis.cache import Cache
from lth.errors import RunError


def test_a_value_is_made_once_and_kept_at_once(tmp_path: Path) -> None:
    path, made = tmp_path / "deep" / "file.json", []
    first = Cache(path)
    assert first.get("a") is None
    for _ in range(2):
        assert first.once("a", lambda: made.append(1) or {"x": [0.1, None]}) == {"x": [0.1, None]}
    assert Cache(path).once("a", lambda: made.append(1)) == {"x": [0.1, None]}
    assert made == [1]


@pytest.mark.parametrize("text", ["{", "[]", '{"format_version": 2, "values": {}}', '{"format_version": 1}'])
def test_another_file_is_refused_with_a_cure(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(RunError, match="Delete it"):
        Cache(path)
