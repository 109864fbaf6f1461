"""The use of a codebook as a line of bars: counts in, characters out.

Knows nothing of shards or models. Dimension letter: K codes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_BARS = "▁▂▃▄▅▆▇█"
_ASCII_BARS = ".:-=+*#@"


def rank_bars(
    counts: Sequence[int] | npt.NDArray[np.integer[Any]], width: int, *, ascii_only: bool = False
) -> str:
    """Return a histogram of one line: the codes from most to least used, left to right.

    Every character stands for about the same number of codes, its height for their mean count
    relative to the leftmost. A codebook that is used evenly is a flat line; a blank is codes that
    never occurred.

    Args:
        counts: How often each code occurred, (K,), none negative.
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
