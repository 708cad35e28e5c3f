"""Which training examples are set aside for validation."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from lth.data.order import permutation, stream_seed
from lth.errors import DataError
from lth.spec.schema import Data, Validation

Part = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Split:
    """Ids into `Dataset.images`, int64 and sorted: every id stands in exactly one of the two."""

    train: np.ndarray
    validation: np.ndarray


def split(n: int, data: Data, seed: int) -> Split:
    """Returns the split of n examples, drawn by `data.split_seed` alone; `seed` names the fold, where there are folds.

    Raises DataError where nothing would be left for training or for validation.
    """
    first, last = _held_out(n, data.validation, seed)
    if not 0 < last - first < n:
        what = f"of {n} examples {last - first} would be validation and {n - last + first} training"
        raise DataError(what, at="data.validation", cure="Leave at least one example for each.")
    shuffled = permutation(stream_seed(data.split_seed, "split"), 0, n)
    validation = np.sort(shuffled[first:last])
    train = np.sort(np.concatenate([shuffled[:first], shuffled[last:]]))
    return Split(train, validation)


def _held_out(n: int, validation: Validation, seed: int) -> tuple[int, int]:
    """Returns where the validation examples begin and end in the shuffled order."""
    if validation.folds is not None:
        folds, fold = validation.folds, seed % validation.folds
        if folds > n:
            raise DataError(f"{n} examples cannot make {folds} folds", at="data.validation", cure="Take fewer folds.")
        return fold * n // folds, (fold + 1) * n // folds
    if validation.count is not None:
        return 0, validation.count
    # Exact arithmetic on the decimal that was written: 0.15 of 70 is 10.5, rounded half up.
    share = Fraction(str(validation.fraction)) * n
    return 0, int(share + Fraction(1, 2))
