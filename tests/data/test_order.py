from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lth.data.order import fingerprint, permutation, rank_slice, raw_draws, stream_seed
from lth.errors import DataError

STREAMS = (
    "split",
    "init",
    "reinit",
    "order-dense",
    "order-ticket",
    "augment-dense",
    "augment-ticket",
    "dropout",
    "mask",
)
WORD = 2**64 - 1


def philox(counter: int, key: int) -> list[int]:
    """Returns the four words of Philox 4x64 with 10 rounds, from the paper's description."""
    a, b, c, d = (counter >> (64 * i) & WORD for i in range(4))
    low, high = key & WORD, key >> 64
    for _ in range(10):
        left, right = 0xD2E7470EE14C6C93 * a, 0xCA5A826395121157 * c
        a, b, c, d = right >> 64 ^ b ^ low, right & WORD, left >> 64 ^ d ^ high, left & WORD
        low, high = low + 0x9E3779B97F4A7C15 & WORD, high + 0xBB67AE8584CAA73B & WORD
    return [a, b, c, d]


def test_the_reference_philox_gives_the_published_answer() -> None:
    assert philox(0, 0) == [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]


@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (12345, 3), (2**63 - 1, 2**40)])
def test_draws_are_philox_keyed_by_seed_and_epoch(seed: int, epoch: int) -> None:
    expected = [word for block in (1, 2, 3) for word in philox(block, seed + (epoch << 64))]
    assert raw_draws(seed, epoch, 12).tolist() == expected


def test_golden_stream_seeds() -> None:
    assert stream_seed(0, "init") == 3330654677893223573
    assert stream_seed(0, "order-dense") == 6978004340763702186
    assert stream_seed(1, "order-dense") == 3085294619560494299
    assert stream_seed(7, "split") == 5071290183312037391


def test_streams_and_seeds_do_not_meet() -> None:
    seeds = {stream_seed(seed, stream) for seed in range(200) for stream in STREAMS}
    assert len(seeds) == 200 * len(STREAMS)
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize(
    ("seed", "epoch", "order"),
    [
        (0, 0, [0, 2, 9, 1, 8, 5, 4, 3, 6, 7]),
        (0, 1, [5, 3, 7, 8, 2, 4, 1, 0, 6, 9]),
        (6978004340763702186, 0, [1, 9, 3, 2, 7, 10, 0, 11, 5, 6, 8, 4]),
        (2**63 - 1, 2**31, [0, 1, 4, 5, 7, 6, 3, 2]),
    ],
)
def test_golden_permutations(seed: int, epoch: int, order: list[int]) -> None:
    assert permutation(seed, epoch, len(order)).tolist() == order


def test_golden_long_permutation() -> None:
    assert fingerprint(permutation(0, 0, 60_000)) == "0c345d35008963793e7bf1c0d5c720f1363893929e0f77ad737d14213d665b6f"


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**31), st.integers(0, 300))
def test_a_permutation_holds_every_id_once_and_has_no_state(seed: int, epoch: int, n: int) -> None:
    order = permutation(seed, epoch, n)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(n))
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the global generator must not matter
    assert np.array_equal(order, permutation(seed, epoch, n))


def test_epochs_and_seeds_give_unrelated_orders() -> None:
    orders = [permutation(seed, epoch, 1000) for seed in range(5) for epoch in range(5)]
    same = [(a == b).sum() for i, a in enumerate(orders) for b in orders[:i]]
    assert max(same) < 10  # one fixed point is expected of two random orders


@given(st.integers(1, 700), st.data())
def test_rank_slices_follow_each_other_and_make_the_batch(batch: int, data: st.DataObject) -> None:
    world = data.draw(st.integers(1, batch))
    ids = np.arange(batch)
    parts = [ids[rank_slice(batch, rank, world)] for rank in range(world)]
    assert np.array_equal(np.concatenate(parts), ids)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_more_workers_than_examples_in_a_batch() -> None:
    with pytest.raises(DataError, match=r"data\.batch_size: a batch of 3 cannot be shared by 4 workers"):
        rank_slice(3, 0, 4)


def test_fingerprint_is_the_sha256_of_little_endian_ids() -> None:
    ids = np.array([3, 1, 2])
    assert fingerprint(ids) == hashlib.sha256(b"".join(int(i).to_bytes(8, "little") for i in ids)).hexdigest()
    assert fingerprint(ids) != fingerprint(ids[::-1])
