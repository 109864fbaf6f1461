"""Scores of latent and code without rounding: what decides where fp32 cannot.

In: fp32 latents and codes, paired. Out: fp64 scores in two parts, whose sum is off by some 2^-104
of the largest term, compared high part first. Knows nothing of which pairs are worth the work.

Dimension letters: D channels, P pairs, T terms of a sum.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Metric = Literal["l2", "cosine", "dot"]

SHORTEST = 1e-12  # a code's length counts as at least this, so that the zero vector has cosine 0


def exact_scores(
    latents: Tensor, codebook: Tensor, rows: Tensor, codes: Tensor, metric: Metric
) -> tuple[Tensor, Tensor]:
    """Return the score of each pair (row, code), smallest for the nearest: high and low part, (P,).

    A product of two fp32 numbers is exact in fp64, and `_sum_exactly` loses next to nothing.
    """
    latent, code = latents[rows].double().T, codebook[codes].double().T  # (D, P) each
    if metric == "l2":  # |e|^2 - 2 z.e, for |z|^2 is the same for all codes
        return _sum_exactly(torch.cat((code * code, -2 * latent * code)))
    high, low = _sum_exactly(-latent * code)
    if metric == "cosine":  # the quotient is rounded: ties of parallel codes hold to fp64 only
        squared, rest = _sum_exactly(code * code)
        high = (high + low) / (squared + rest).sqrt().clamp_min(SHORTEST)
        low = torch.zeros_like(high)
    return high, low


def _sum_exactly(terms: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum over the first axis of fp64 terms (T, P): high and low part, (P,) each.

    What each addition loses is carried along in the low part (Knuth's TwoSum). Halves are added to
    halves, so the order depends on T alone; every step is one correctly rounded elementwise
    operation, the same in any batch and on any device.
    """
    low = torch.zeros_like(terms)
    while len(terms) > 1:
        if len(terms) % 2:
            terms, low = (functional.pad(part, (0, 0, 0, 1)) for part in (terms, low))
        (first, second), (low_first, low_second) = terms.chunk(2), low.chunk(2)
        terms, lost = _add_exactly(first, second)
        low = low_first + low_second + lost
    return _add_exactly(terms[0], low[0])


def _add_exactly(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rounded sum and what the rounding lost."""
    total = first + second
    back = total - first
    return total, (first - (total - back)) + (second - back)
