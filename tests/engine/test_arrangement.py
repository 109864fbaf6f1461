"""Tiles given together are the canvas that they were cut from, and come back tile by tile."""

import dataclasses

import numpy as np
import torch
from engine_fakes import png_tasks
from fake_models import BlockEncoder
from torch import Tensor

from vtok.engine.arrangement import TOGETHER
from vtok.engine.preparation import Preparation, Prepared
from vtok.engine.runner import EncodedSample, encode_features
from vtok.resolution import SchemeOptions, resolve, stitch

SCHEME = resolve("internvl", SchemeOptions(tile_size_px=28, patch_px=4, thumbnail=False))


class JointEncoder(BlockEncoder):
    """Adds to every feature the mean of its image, which no tile knows by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = dataclasses.replace(self.spec, reads_tiles_together=True)

    def features(self, pixels: Tensor) -> Tensor:
        batch, _, height, width = pixels.shape
        rows, cols = height // 28, width // 28
        tiles = pixels.reshape(batch, 3, rows, 28, cols, 28).permute(0, 2, 4, 1, 3, 5)
        each = super().features(tiles.reshape(-1, 3, 28, 28))  # (B T, N, 6)
        return each.reshape(batch, -1, 6) + pixels.mean((1, 2, 3)).view(-1, 1, 1)


def test_tiles_are_stitched_and_features_parted() -> None:
    outcomes = [Preparation(scheme=SCHEME).prepare(each) for each in png_tasks(6)]
    device = torch.device("cpu")
    together = list(encode_features(outcomes, JointEncoder(), device=device))
    apart = list(encode_features(outcomes, BlockEncoder(), device=device))
    assert len({len(each.arrays) for each in together if isinstance(each, EncodedSample)}) > 1
    for outcome, ours, alone in zip(outcomes, together, apart, strict=True):
        assert isinstance(outcome, Prepared)
        assert isinstance(ours, EncodedSample)
        assert isinstance(alone, EncodedSample)
        (canvas,) = TOGETHER.arrays(outcome.facts.plan, outcome.views)
        np.testing.assert_array_equal(canvas, stitch(outcome.facts.plan, outcome.views))
        mean = np.float32(canvas.mean() / 127.5 - 1)
        assert list(ours.arrays) == list(alone.arrays)
        for name, array in ours.arrays.items():
            np.testing.assert_allclose(array, alone.arrays[name] + mean, atol=1e-5)
