"""The best-scored code of every latent, a tile of scores at a time.

In: latents and a folded codebook in parts. Out: the best score, its code, and whether rounding
could change it. A tile (some latents, one part of the codes) stays in a core's cache between the
product and the search for its minimum; it is tall as well as wide, for a product of few rows spends
its time on rearranging the codebook. Knows nothing of metrics, nor of what becomes of doubts.

Dimension letters: N latents, K codes, D channels, R rows of a tile, C codes of a part, O rows that
a part may have something for.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class FoundCodes(NamedTuple):
    """What scores of limited precision say.

    Attributes:
        best: (N,) fp32, the smallest score; infinite where every score was NaN.
        indices: (N,) int64, whose it is.
        certain: (N,) bool, whether no other code can be nearer. Never where a score was NaN.
    """

    best: Tensor
    indices: Tensor
    certain: Tensor


class Part(NamedTuple):
    """Neighbouring codes.

    Attributes:
        first: Number of the first.
        folded: (D + 1, C) fp32: the scores are (latents, 1) @ folded.
    """

    first: int
    folded: Tensor


def best_codes(
    latents: Tensor, slack: Tensor, parts: Sequence[Part], block: int, tile: Tensor
) -> FoundCodes:
    """Return the best code of some latents (R, D).

    Args:
        latents: fp32.
        slack: (R,) fp32: how far above the smallest score that of the nearest code may lie.
        parts: Of the codebook, in order.
        block: Codes whose minimum is taken at once; divides every C.
        tile: (R * largest C,) fp32, overwritten.
    """
    num_rows = len(latents)
    best = latents.new_full((num_rows,), torch.inf)
    second = best.clone()  # of all scores but the best; exact only where it is within the slack
    indices = torch.zeros(num_rows, dtype=torch.int64, device=latents.device)
    with_one = torch.cat((latents, latents.new_ones((num_rows, 1))), dim=1)  # (R, D + 1)
    for part in parts:
        blocks = part_scores(with_one, part, tile).view(num_rows, -1, block)  # (R, C/block, block)
        minima = blocks.amin(dim=2)
        part_best, best_block = minima.min(dim=1)
        # Scores above the best one so far plus the slack decide nothing; NaN is never above.
        rows = (~(part_best > best + slack)).nonzero().squeeze(1)  # (O,)
        if not len(rows):
            continue
        chosen = best_block[rows]
        low, place = (in_block := blocks[rows, chosen]).min(dim=1)  # of (O, block)
        others = torch.minimum(
            in_block.scatter_(1, place.unsqueeze(1), torch.inf).amin(dim=1),
            minima[rows].scatter_(1, chosen.unsqueeze(1), torch.inf).amin(dim=1),
        )
        before = best[rows]
        # The second of two sets: the worse of their bests, or the better of their seconds.
        second[rows] = torch.minimum(
            torch.maximum(before, low), torch.minimum(second[rows], others)
        )
        is_better = low < before
        best[rows] = torch.where(is_better, low, before)
        indices[rows] = torch.where(is_better, part.first + chosen * block + place, indices[rows])
    return FoundCodes(best, indices, second > best + slack)


def part_scores(with_one: Tensor, part: Part, tile: Tensor) -> Tensor:
    """Return scores (R, C) of latents (R, D + 1), the last channel 1, in the tile's memory."""
    num_rows, num_codes = len(with_one), part.folded.shape[1]
    room = tile[: num_rows * num_codes].view(num_rows, num_codes)
    return torch.mm(with_one, part.folded, out=room)
