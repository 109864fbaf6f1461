"""Counts and health of a codebook against numpy's own."""

import numpy as np
import pytest

from vtok.errors import ShardError
from vtok.shards.usage import CodebookCounter, CodebookUse


def test_counts_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 300, (50, 7)).astype(np.uint16) for _ in range(20)]
    counter = CodebookCounter(300)
    for array in arrays:
        counter.add(array)
    assert counter.counts == tuple(np.bincount(np.concatenate(arrays).ravel(), minlength=300))
    counter.add(np.zeros(2**20, np.uint8))
    assert counter.counts[0] > 2**20


def test_an_index_outside_is_refused() -> None:
    counter = CodebookCounter(4)
    counter.add(np.array([4]))
    with pytest.raises(ShardError, match="outside the codebook of 4"):
        _ = counter.counts


@pytest.mark.parametrize(
    ("counts", "distinct", "entropy"),
    [([5, 5, 5, 5], 4, 2.0), ([8, 0], 1, 0.0), ([0, 0], 0, 0.0), ([2, 1, 1], 3, 1.5)],
)
def test_health(counts: list[int], distinct: int, entropy: float) -> None:
    use = CodebookUse.of(counts)
    assert (use.num_distinct, use.num_indices) == (distinct, sum(counts))
    assert use.entropy_bits == pytest.approx(entropy)
    assert use.perplexity == pytest.approx(2**entropy)
