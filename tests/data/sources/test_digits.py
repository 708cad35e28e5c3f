from __future__ import annotations

import sys

import numpy as np
import pytest

from lth.data.sources import open_source
from lth.errors import DataError, MissingExtraError


def test_the_digits() -> None:
    dataset = open_source("digits")
    assert dataset.name == "digits"
    assert dataset.images.shape == (1437, 8, 8, 1)
    assert dataset.test_images.shape == (360, 8, 8, 1)
    assert len(dataset.class_names) == 10
    assert np.bincount(dataset.test_labels).tolist() == [31, 38, 38, 34, 34, 45, 40, 29, 28, 43]
    levels = np.unique(dataset.images)
    assert levels.tolist() == [int(level * 255 / 16 + 0.5) for level in range(17)]


def test_the_digits_are_the_same_everywhere() -> None:
    expected = "26eec628374e0c8a328e33b4c7fdc343d0ea6e694d9f3c67159c8dbba2a0832f"
    assert open_source("digits").dataset_id == expected


def test_options_are_refused() -> None:
    with pytest.raises(DataError, match="digits takes no options"):
        open_source("digits:8")


def test_without_scikit_learn_the_cure_is_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lth\[demo\]'"):
        open_source("digits")
