"""Several sequences in one: images of any sizes side by side, none seeing another, nothing padded.

In: queries, keys and values of sequences laid end to end. Out: every token's mix of its own
sequence. Norms and linear layers take the long sequence as it is; attention is the one place where
the sequences part (NaViT, arXiv 2307.06304, section 2.1, without its masks and padding). The cost
is the sum over the sequences: on a GPU in half precision one variable-length kernel, elsewhere one
call a sequence, or one for all where they are equally long. Knows nothing of images.

Dimension letters: B batch, V sequences, L queries and N keys of all, C channels of one head.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Packing:
    """Several sequences in one: where each begins, and the total length at the end.

    Attributes:
        offsets: Increasing, from 0 to N; sequence i is [offsets[i], offsets[i + 1]).
    """

    offsets: tuple[int, ...]

    def __post_init__(self) -> None:
        starts_at_zero = len(self.offsets) > 1 and self.offsets[0] == 0
        if not starts_at_zero or any(a >= b for a, b in itertools.pairwise(self.offsets)):
            raise ValueError(f"offsets must increase strictly from 0, not {self.offsets}")

    @classmethod
    def of_lengths(cls, lengths: Sequence[int]) -> "Packing":
        """Return the packing of sequences of these lengths, in this order."""
        return cls(offsets=(0, *itertools.accumulate(lengths)))

    @property
    def lengths(self) -> list[int]:
        """The length of each sequence."""
        return [end - start for start, end in itertools.pairwise(self.offsets)]

    def mask(self, device: torch.device | None = None) -> Tensor:
        """Return the block-diagonal mask, (N, N) bool: for kernels that want one, and for tests."""
        lengths = torch.tensor(self.lengths, device=device)
        owner = torch.arange(len(lengths), device=device).repeat_interleave(lengths)  # (N,)
        return owner.unsqueeze(0) == owner.unsqueeze(1)


def attend_packed(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, key_packing: Packing
) -> Tensor:
    """Return softmax(query key^T / sqrt(C)) value, each query among the keys of its sequence.

    Args:
        query: (B, heads, L, C).
        key: (B, heads, N, C).
        value: (B, heads, N, C).
        packing: The sequences that the L queries are made of.
        key_packing: The sequences that the N keys are made of, as many.

    Returns:
        (B, heads, L, C).
    """
    lengths, key_lengths = packing.lengths, key_packing.lengths
    if len(lengths) != len(key_lengths):
        raise ValueError(f"{len(lengths)} sequences of queries and {len(key_lengths)} of keys")
    if _has_kernel(query):
        return _attend_by_kernel(query, key, value, packing, key_packing)
    if len(query) == 1 and len(set(lengths)) == len(set(key_lengths)) == 1:
        ends = [_stacked(x, len(lengths)) for x in (query, key, value)]
        mixed = functional.scaled_dot_product_attention(ends[0], ends[1], ends[2])  # as V batches
        return mixed.transpose(0, 1).flatten(1, 2).unsqueeze(0)
    sequences = zip(
        torch.split(query, lengths, dim=2),
        torch.split(key, key_lengths, dim=2),
        torch.split(value, key_lengths, dim=2),
        strict=True,
    )
    return torch.cat([functional.scaled_dot_product_attention(*each) for each in sequences], dim=2)


def _stacked(x: Tensor, num_sequences: int) -> Tensor:
    """Return V equally long sequences (1, heads, N, C) as a batch (V, heads, N / V, C)."""
    _, heads, length, channels = x.shape
    batch = x.reshape(heads, num_sequences, length // num_sequences, channels)
    return batch.transpose(0, 1)  # (V, heads, N / V, C)


def _has_kernel(query: Tensor) -> bool:
    """Tell whether the variable-length kernel takes these: flash attention, half precision."""
    return (
        query.is_cuda
        and query.dtype in (torch.float16, torch.bfloat16)
        and len(query) == 1
        and query.shape[3] % 8 == 0
        and query.shape[3] <= 256
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
    )


def _attend_by_kernel(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, key_packing: Packing
) -> Tensor:
    """Return the same from one kernel, which is told where the sequences begin."""
    from torch.nn.attention.varlen import (
        varlen_attn,  # needs no GPU to import, but one to be of use
    )

    starts, key_starts = (
        torch.tensor(each.offsets, dtype=torch.int32).to(query.device, non_blocking=True)
        for each in (packing, key_packing)
    )
    ends = [x[0].transpose(0, 1).contiguous() for x in (query, key, value)]  # (L, heads, C) each
    longest, longest_key = max(packing.lengths), max(key_packing.lengths)
    mixed = varlen_attn(ends[0], ends[1], ends[2], starts, key_starts, longest, longest_key)
    assert isinstance(mixed, Tensor)
    return mixed.transpose(0, 1).unsqueeze(0)  # (1, heads, L, C)
