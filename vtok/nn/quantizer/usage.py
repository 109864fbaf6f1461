"""How much of a codebook is in use: counts in, three figures out.

Dimension letters: K codes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeUsage:
    """What the counts of a codebook say.

    Attributes:
        codebook_size: Number of codes (K).
        distinct: Codes that occurred at all.
        entropy_bits: Entropy of the codes' frequencies, in [0, log2 K] bits.
        perplexity: 2 to that power: how many equally frequent codes would have this entropy.
    """

    codebook_size: int
    distinct: int
    entropy_bits: float
    perplexity: float


def code_usage(counts: Tensor) -> CodeUsage:
    """Return the use of a codebook from how often each code occurred.

    Args:
        counts: (K,) int or float, not negative; all zero counts as entropy 0, perplexity 0.
    """
    seen = counts[counts > 0].double()
    if len(seen) == 0:
        return CodeUsage(codebook_size=len(counts), distinct=0, entropy_bits=0.0, perplexity=0.0)
    shares = seen / seen.sum()
    entropy_bits = max(0.0, -float((shares * torch.log2(shares)).sum()))
    return CodeUsage(
        codebook_size=len(counts),
        distinct=len(seen),
        entropy_bits=entropy_bits,
        perplexity=2.0**entropy_bits,
    )
