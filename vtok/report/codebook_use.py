"""How much of a codebook is in use: counts in; figures and a small histogram out.

Knows nothing of shards or models. Dimension letter: K codes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_BARS = "▁▂▃▄▅▆▇█"
_ASCII_BARS = ".:-=+*#@"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodebookUse:
    """What the counts of a codebook say.

    Attributes:
        codebook_size: Number of codes (K).
        num_tokens: Indices that were counted.
        distinct: Codes that occurred at all.
        entropy_bits: Entropy of the codes' frequencies, in [0, log2 K] bits per token.
        perplexity: 2 to that power: how many equally frequent codes would have this entropy.
        most_used: The code that occurred most often, the smallest of several; None if none did.
        most_used_share: Its share of all tokens, in [0, 1].
    """

    codebook_size: int
    num_tokens: int
    distinct: int
    entropy_bits: float
    perplexity: float
    most_used: int | None
    most_used_share: float

    def to_json(self) -> dict[str, Any]:
        """Return the figures in a JSON-ready dict."""
        return {
            "codebook_size": self.codebook_size,
            "distinct": self.distinct,
            "entropy_bits": round(self.entropy_bits, 6),
            "perplexity": round(self.perplexity, 3),
            "most_used": self.most_used,
            "most_used_share": round(self.most_used_share, 9),
        }


def codebook_use(counts: Sequence[int] | npt.NDArray[np.integer[Any]]) -> CodebookUse:
    """Return the use of a codebook.

    Args:
        counts: How often each code occurred, (K,), none negative.
    """
    occurred = np.asarray(counts, dtype=np.int64)
    num_tokens = int(occurred.sum())
    if num_tokens == 0:
        return CodebookUse(
            codebook_size=len(occurred),
            num_tokens=0,
            distinct=0,
            entropy_bits=0.0,
            perplexity=0.0,
            most_used=None,
            most_used_share=0.0,
        )
    shares = occurred[occurred > 0] / num_tokens
    entropy_bits = max(0.0, -float(np.sum(shares * np.log2(shares))))
    most_used = int(occurred.argmax())
    return CodebookUse(
        codebook_size=len(occurred),
        num_tokens=num_tokens,
        distinct=len(shares),
        entropy_bits=entropy_bits,
        perplexity=2.0**entropy_bits,
        most_used=most_used,
        most_used_share=int(occurred[most_used]) / num_tokens,
    )


def rank_bars(
    counts: Sequence[int] | npt.NDArray[np.integer[Any]], width: int, *, ascii_only: bool = False
) -> str:
    """Return a histogram of one line: the codes from most to least used, left to right.

    Every character stands for the same number of codes, its height for their share of the tokens,
    relative to the leftmost. A codebook that is used evenly is a flat line; a blank is codes that
    never occurred.

    Args:
        counts: (K,), none negative.
        width: Characters; fewer where there are fewer codes.
        ascii_only: For terminals without block characters.
    """
    ranked = np.sort(np.asarray(counts, dtype=np.float64))[::-1]
    groups = np.array_split(ranked, min(width, len(ranked)))
    means = [float(group.mean()) for group in groups]
    if means[0] == 0:
        return " " * len(means)
    bars = _ASCII_BARS if ascii_only else _BARS
    return "".join(
        bars[min(len(bars) - 1, int(mean / means[0] * len(bars)))] if mean else " "
        for mean in means
    )
