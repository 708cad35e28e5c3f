from __future__ import annotations

import pytest

from lth.data.listings import LISTINGS, open_listing
from lth.errors import DataError


def test_the_kinds() -> None:
    assert set(LISTINGS) == {
        "imagefolder", "imagenet_tars", "tfrecord", "shards", "cifar10", "cifar100", "mnist", "digits", "synthetic",
    }  # fmt: skip


@pytest.mark.parametrize("source", ["", ":x", "cifar", "Digits", "synthetics:size=4", "tfrecords:/data/*"])
def test_an_unknown_source_names_the_known_ones(source: str) -> None:
    with pytest.raises(
        DataError, match=r"data\.source: no such source .*imagefolder, imagenet_tars, .*package\.module"
    ):
        open_listing(source)
