"""The handwritten digits that come with scikit-learn: 1797 images of 8 x 8 pixels, 10 classes."""

from __future__ import annotations

import numpy as np

from lth.data.order import permutation, stream_seed
from lth.data.sources.dataset import Dataset, make_dataset
from lth.errors import DataError, MissingExtraError

TEST_EXAMPLES = 360


def open_digits(rest: str) -> Dataset:
    """Returns the digits: 1437 for training and 360 for test, drawn once and for all; grey levels 0..16 become 0..255.

    Raises MissingExtraError without scikit-learn, DataError where `rest` is not empty.
    """
    if rest:
        raise DataError("digits takes no options", at="data.source", value=f"digits:{rest}", cure='Write "digits".')
    try:
        from sklearn.datasets import load_digits
    except ImportError as problem:
        raise MissingExtraError("scikit-learn", "demo", "the source 'digits'") from problem
    levels, labels = (
        np.asarray(one) for one in load_digits(return_X_y=True)
    )  # not the data frames it can be told to give
    # Whole-number arithmetic, half up: the same bytes on every machine.
    images = ((levels.astype(np.int64) * 255 + 8) // 16).astype(np.uint8).reshape(-1, 8, 8)
    shuffled = permutation(stream_seed(0, "digits-test"), 0, len(images))
    test, train = np.sort(shuffled[:TEST_EXAMPLES]), np.sort(shuffled[TEST_EXAMPLES:])
    return make_dataset("digits", (images[train], labels[train]), (images[test], labels[test]), 10)
