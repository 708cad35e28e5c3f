from __future__ import annotations

import re
from pathlib import Path

import pytest

from lth.data.sources import SOURCES, open_source
from lth.errors import DataError


def test_the_sources() -> None:
    assert set(SOURCES) == {"digits", "mnist", "synthetic"}


@pytest.mark.parametrize("source", ["cifar", "", "Digits", ":x", "synthetics:size=4"])
def test_an_unknown_source_names_the_known_ones(source: str) -> None:
    with pytest.raises(DataError, match=r"data\.source: no such source .*digits, mnist, synthetic"):
        open_source(source)


def test_every_source_in_the_documentation_opens(idx_folder: Path) -> None:
    page = Path(__file__).parents[3] / "docs" / "data-sources.md"
    sources = re.findall(r'^source = "(.+?)"', page.read_text(), re.MULTILINE)
    assert {source.partition(":")[0] for source in sources} == set(SOURCES)
    for source in sources:
        assert len(open_source(re.sub("^mnist:.*", f"mnist:{idx_folder}", source)).labels)
