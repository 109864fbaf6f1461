"""The nearest code on a GPU in one kernel: distances are compared as they are computed.

In: latents and the folded codebook. Out: for every latent the best score, its code and the second
best score. The N x K scores are never written: a program keeps the best two of its latents while it
walks through the codes. Products are IEEE fp32, whatever TF32 switches say, so that the bound on
their rounding holds. Where Triton is not installed the tiles of `nearest` do the same.

Dimension letters: N latents, K codes, D channels.
"""

import functools
from typing import Any, NamedTuple

import torch
from torch import Tensor

_BLOCK_N = 64
_BLOCK_K = 64
_MAX_BLOCK_D = 64


class BestTwo(NamedTuple):
    """What one pass over the codes finds for every latent.

    Attributes:
        best: (N,) fp32, the smallest score.
        indices: (N,) int64, whose it is.
        second: (N,) fp32, the smallest score of all other codes; `best` where a score was NaN.
    """

    best: Tensor
    indices: Tensor
    second: Tensor


@functools.cache
def _kernel() -> Any:
    """Return the compiled kernel, None where Triton is not installed."""
    try:
        import triton
        import triton.language as tl
    except ImportError:
        return None
    globals()["tl"] = tl  # a kernel's names are looked up in its module

    @triton.jit  # type: ignore[untyped-decorator, unused-ignore]
    def kernel(  # type: ignore[no-untyped-def]  # noqa: PLR0913
        latents, weight, bias, best_out, index_out, second_out, num_latents, num_codes,
        D: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_D: tl.constexpr,
    ):  # fmt: skip
        rows = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
        is_row = rows < num_latents
        best = tl.full((BLOCK_N,), float("inf"), tl.float32)
        second = tl.full((BLOCK_N,), float("inf"), tl.float32)
        index = tl.zeros((BLOCK_N,), tl.int32)
        num_nan = tl.zeros((BLOCK_N,), tl.int32)
        for start in range(0, num_codes, BLOCK_K):
            codes = start + tl.arange(0, BLOCK_K)
            is_code = codes < num_codes
            products = tl.zeros((BLOCK_N, BLOCK_K), tl.float32)
            for channel in range(0, D, BLOCK_D):
                channels = channel + tl.arange(0, BLOCK_D)
                is_channel = channels < D
                z = tl.load(
                    latents + rows[:, None].to(tl.int64) * D + channels[None, :],
                    mask=is_row[:, None] & is_channel[None, :],
                    other=0.0,
                )
                e = tl.load(
                    weight + channels[:, None].to(tl.int64) * num_codes + codes[None, :],
                    mask=is_channel[:, None] & is_code[None, :],
                    other=0.0,
                )
                products = tl.dot(z, e, products, input_precision="ieee")
            offset = tl.load(bias + codes, mask=is_code, other=float("inf"))
            scores = products + offset[None, :]
            num_nan += tl.sum((scores != scores).to(tl.int32), axis=1)
            tile_best = tl.min(scores, axis=1)
            tile_index = tl.argmin(scores, axis=1)
            is_best = tl.arange(0, BLOCK_K)[None, :] == tile_index[:, None]
            tile_second = tl.min(tl.where(is_best, float("inf"), scores), axis=1)
            # The second of two sets: the worse of their bests, or the better of their seconds.
            second = tl.minimum(tl.maximum(best, tile_best), tl.minimum(second, tile_second))
            is_better = tile_best < best
            index = tl.where(is_better, start + tile_index, index)
            best = tl.where(is_better, tile_best, best)
        second = tl.where(num_nan > 0, best, second)
        tl.store(best_out + rows, best, mask=is_row)
        tl.store(index_out + rows, index.to(tl.int64), mask=is_row)
        tl.store(second_out + rows, second, mask=is_row)

    return kernel


def can_fuse(latents: Tensor) -> bool:
    """Return whether there is a kernel for where these latents are."""
    return latents.is_cuda and _kernel() is not None


def best_two(latents: Tensor, folded: Tensor) -> BestTwo:
    """Return the best code of every latent and how close the second comes.

    Args:
        latents: (N, D) fp32, finite.
        folded: (D + 1, K) fp32: the scores are latents @ folded[:D] + folded[D].
    """
    latents = latents.contiguous()
    num_latents, code_dim = latents.shape
    weight, bias = folded[:-1].contiguous(), folded[-1].contiguous()
    best = torch.empty(num_latents, dtype=torch.float32, device=latents.device)
    second = torch.empty_like(best)
    indices = torch.empty(num_latents, dtype=torch.int64, device=latents.device)
    if num_latents:
        block_d = min(_MAX_BLOCK_D, max(16, 1 << (code_dim - 1).bit_length()))
        _kernel()[(-(-num_latents // _BLOCK_N),)](
            latents, weight, bias, best, indices, second, num_latents, weight.shape[1],
            D=code_dim, BLOCK_N=_BLOCK_N, BLOCK_K=_BLOCK_K, BLOCK_D=block_d,
        )  # fmt: skip
    return BestTwo(best, indices, second)
