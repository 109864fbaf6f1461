"""How a codebook is used: counts of indices, and what they say of its health.

In: arrays of indices, as they are written. Out: how often each one occurs, and the three numbers
people ask for. Knows nothing of shards or models.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vtok.shards.fields import IndexArray, check_indices

_PENDING_INDICES = 1 << 20


class CodebookCounter:
    """Counts indices; counting many at once, it costs next to nothing a sample.

    Args:
        codebook_size: Number of codes; indices are in [0, codebook_size).
    """

    def __init__(self, codebook_size: int) -> None:
        self._counts = np.zeros(codebook_size, np.int64)
        self._pending: list[IndexArray] = []
        self._num_pending = 0

    def add(self, indices: IndexArray) -> None:
        """Count the indices of an array of any shape; the array must not change afterwards.

        Raises:
            ShardError: at the latest when the counts are asked for, if an index is outside.
        """
        self._pending.append(indices.reshape(-1))
        self._num_pending += indices.size
        if self._num_pending >= _PENDING_INDICES:
            self._count_pending()

    @property
    def counts(self) -> tuple[int, ...]:
        """How often each index occurred: `codebook_size` counts."""
        self._count_pending()
        return tuple(self._counts.tolist())

    def _count_pending(self) -> None:
        if self._pending:
            indices = np.concatenate(self._pending)
            check_indices(indices, len(self._counts))
            self._counts += np.bincount(indices, minlength=len(self._counts))
            self._pending.clear()
            self._num_pending = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CodebookUse:
    """The health of a codebook.

    Attributes:
        codebook_size: Number of codes.
        num_indices: Indices counted.
        num_distinct: Codes that occur.
        entropy_bits: Shannon entropy of the indices' distribution, in bits.
        perplexity: 2 to the entropy: as many equally frequent codes would have it.
    """

    codebook_size: int
    num_indices: int
    num_distinct: int
    entropy_bits: float
    perplexity: float

    @classmethod
    def of(cls, counts: Sequence[int]) -> "CodebookUse":
        """Return the use that these counts, one for every code, describe."""
        total = sum(counts)
        used = np.array([count for count in counts if count], np.float64)
        shares = used / total if total else used
        entropy = float(-(shares * np.log2(shares)).sum()) + 0.0  # no -0.0 for a single code
        return cls(
            codebook_size=len(counts),
            num_indices=total,
            num_distinct=len(used),
            entropy_bits=entropy,
            perplexity=2.0**entropy,
        )
