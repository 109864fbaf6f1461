"""Padding and packing of images at their native ratio: `python tests/bench/bench_packing.py`.

First, without a model, the share of tokens that are padding when the sizes in
`tests/golden/photo_sizes.txt` (1,000 photographs, shuffled once) are cut into patches of 14 px, at
most 1,024 an image. Then the time of transformer blocks over some of them, padded and packed, in
seconds of one core: the ratios count, not the seconds.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))

from vtok.engine.packs import PackLimits, form_packs
from vtok.models.vit import VitEncoder
from vtok.nn.block import Block
from vtok.nn.packing import Packing
from vtok.nn.vit import VitConfig
from vtok.records import Size
from vtok.resolution import SchemeOptions, resolve

GOLDEN = Path(__file__).parents[1] / "golden" / "photo_sizes.txt"
PATCH_PX, MAX_TOKENS = 14, 1024


def photographs(seed: int = 7) -> list[Size]:
    """Sizes of the views of 1,000 photographs, in an order that nothing sorted."""
    scheme = resolve("navit", SchemeOptions(patch_px=PATCH_PX, max_tokens=MAX_TOKENS))
    sizes = []
    for line in GOLDEN.read_text().splitlines():
        if not line.startswith("#"):
            height, width, count = map(int, line.split())
            plan = scheme.plan(Size(height=height, width=width))
            sizes += [plan.views[0].size] * count
    random.Random(seed).shuffle(sizes)
    return sizes


def num_tokens(size: Size) -> int:
    return (size.height // PATCH_PX) * (size.width // PATCH_PX)


def padded(lengths: Sequence[int], batch_size: int, longest: int | None = None) -> int:
    """Return the tokens of batches in order, padded to their longest, or to a fixed length."""
    batches = [lengths[i : i + batch_size] for i in range(0, len(lengths), batch_size)]
    return sum(len(batch) * (longest or max(batch)) for batch in batches)


def in_capacities(lengths: Sequence[int], capacity: int) -> int:
    """Return the tokens of sequences of a fixed capacity, each filled in order."""
    num_sequences, room = 0, 0
    for length in lengths:
        if length > room:
            num_sequences, room = num_sequences + 1, capacity
        room -= length
    return num_sequences * capacity


def packed(sizes: Sequence[Size]) -> int:
    """Return the tokens that go through the linear layers of what the engine packs."""
    limits = PackLimits.of(None, on_cpu=True)
    views = ([np.empty((size.height, size.width, 3), np.uint8)] for size in sizes)
    return sum(
        Packing.of_lengths(
            [array.shape[0] // PATCH_PX * (array.shape[1] // PATCH_PX) for array in pack.arrays]
        ).offsets[-1]
        for pack in form_packs(views, limits)
    )


def waste(sizes: Sequence[Size]) -> dict[str, float]:
    """Return the share of computed tokens that are padding, by how images go together."""
    lengths = [num_tokens(size) for size in sizes]
    computed = {
        "padded to 1,024": padded(lengths, 8, MAX_TOKENS),
        "padded to the batch's longest (8)": padded(lengths, 8),
        "sorted, padded to the longest (8)": padded(sorted(lengths), 8),
        "filled into sequences of 4,096": in_capacities(lengths, 4096),
        "packed by the engine": packed(sizes),
    }
    return {name: 1 - sum(lengths) / total for name, total in computed.items()}


@torch.inference_mode()
def seconds(run: Callable[[], object], passes: int) -> float:
    """Return the least processor time of several passes."""
    best = float("inf")
    for _ in range(passes):
        began = time.process_time()
        run()
        best = min(best, time.process_time() - began)
    return best


def timings(sizes: Sequence[Size], passes: int, dim: int = 768, depth: int = 2) -> dict[str, float]:
    """Return seconds of ViT-B's blocks over some images, by how they go together."""
    torch.manual_seed(0)
    blocks = [Block(dim, dim // 64, 4 * dim, norm_eps=1e-6).eval() for _ in range(depth)]
    lengths = [num_tokens(size) for size in sizes]
    whole = torch.randn(1, sum(lengths), dim)

    def one_sequence() -> Tensor:
        x, packing = whole, Packing.of_lengths(lengths)
        for block in blocks:
            x = block(x, packing=packing)
        return x

    def batched(longest: int) -> Tensor:
        seen = torch.arange(longest) < torch.tensor(lengths)[:, None]  # (B, longest)
        x = torch.zeros(len(lengths), longest, dim)
        x[seen] = whole[0]
        for block in blocks:
            x = block(x, mask=seen[:, None, None])
        return x[seen]

    packing_error = (one_sequence()[0] - batched(max(lengths))).abs().max().item()
    assert packing_error < 1e-3, packing_error
    return {
        "padded to 1,024": seconds(lambda: batched(MAX_TOKENS), passes),
        "padded to the longest": seconds(lambda: batched(max(lengths)), passes),
        "packed": seconds(one_sequence, passes),
    }


@torch.inference_mode()
def difference(sizes: Sequence[Size]) -> float:
    """Return how far a small transformer's features in packs are from each image's alone."""
    torch.manual_seed(0)
    shape = VitConfig(patch_px=PATCH_PX, dim=192, depth=6, num_heads=3)
    encoder = VitEncoder(shape).eval()
    for parameter in encoder.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.05)
    images = [torch.randn(3, size.height, size.width) for size in sizes]
    packed = encoder.features_packed(images)
    alone = [encoder.features(image.unsqueeze(0))[0] for image in images]
    pairs = zip(packed, alone, strict=True)
    return max((first - second).abs().max().item() for first, second in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=8, help="how many are timed")
    parser.add_argument("--passes", type=int, default=3, help="the best of so many counts")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sizes = photographs()
    lengths = [num_tokens(size) for size in sizes]
    print(f"{len(sizes):,} photographs, {min(lengths)} to {max(lengths)} tokens, ", end="")
    print(f"mean {sum(lengths) / len(lengths):.0f}")
    for name, share in waste(sizes).items():
        print(f"  {name:36} {share:6.1%} of the tokens are padding")
    print(f"packed as alone: within {difference(sizes[:48]):.1e} (48 images, 6 layers, fp32)")
    print(f"2 blocks of ViT-B over {arguments.images} of them, fp32, one thread")
    times = timings(sizes[: arguments.images], arguments.passes)
    for name, taken in times.items():
        print(f"  {name:36} {taken:6.2f} s, {taken / times['packed']:.2f} of packed")


if __name__ == "__main__":
    main()
