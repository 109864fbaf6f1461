"""Sizes of batches found by running the model on one view: counted, so always the same."""

import numpy as np
import pytest
import torch
from engine_fakes import png_tasks, small_preparation
from fake_models import BlockEncoder, BlockTokenizer
from test_runner import CPU
from torch import Tensor, nn

from vtok.engine.coding import TokenizeForward
from vtok.engine.forward import FeaturesForward
from vtok.engine.runner import Runner
from vtok.engine.sizing import CACHED_BYTES, MAX_VIEWS_ON_CPU, find_batch_pixels
from vtok.errors import NonFiniteError
from vtok.records import Size

SIZE = Size(height=64, width=96)


class WideEncoder(BlockEncoder):
    """Has one layer whose result is far larger than what goes in and out."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.wide = nn.Conv2d(3, num_channels, 1)

    def features(self, pixels: Tensor) -> Tensor:
        assert self.wide(pixels).isfinite().all()
        return super().features(pixels)


@pytest.mark.parametrize("num_channels", [48, 64, 300])
def test_the_largest_intermediate_result_fills_the_cache(num_channels: int) -> None:
    forward = FeaturesForward(WideEncoder(num_channels), device=CPU, dtype=torch.float32)
    largest_bytes = num_channels * SIZE.num_pixels * 4
    assert find_batch_pixels(forward, SIZE) == CACHED_BYTES // largest_bytes * SIZE.num_pixels


def test_what_fits_no_cache_goes_one_by_one_and_what_is_small_not_without_end() -> None:
    huge = FeaturesForward(WideEncoder(2000), device=CPU, dtype=torch.float32)
    assert find_batch_pixels(huge, SIZE) == SIZE.num_pixels
    small = TokenizeForward(BlockTokenizer(), device=CPU)
    assert find_batch_pixels(small, SIZE) == MAX_VIEWS_ON_CPU * SIZE.num_pixels


def test_a_model_that_refuses_a_grey_image_is_sized_all_the_same() -> None:
    class Refusing(WideEncoder):
        def features(self, pixels: Tensor) -> Tensor:
            super().features(pixels)
            raise NonFiniteError("grey")

    forward = FeaturesForward(Refusing(64), device=CPU, dtype=torch.float32)
    assert find_batch_pixels(forward, SIZE) > SIZE.num_pixels


def test_batches_have_as_many_views_as_the_pixels_say() -> None:
    tokenizer = BlockTokenizer()
    runner = Runner(TokenizeForward(tokenizer, device=CPU), batch_pixels=5 * 28 * 28 + 100)
    list(runner.encode(small_preparation().prepare(each) for each in png_tasks(6)))
    assert {shape[0] for shape in tokenizer.batch_shapes[:-1]} == {5}


@pytest.mark.gpu
def test_a_gpu_is_filled_but_not_over_filled() -> None:
    device = torch.device("cuda", 0)
    forward = FeaturesForward(WideEncoder(300), device=device, dtype=torch.float32)
    found = find_batch_pixels(forward, SIZE)
    assert found == find_batch_pixels(forward, SIZE)
    views = np.zeros((found // SIZE.num_pixels, SIZE.height, SIZE.width, 3), np.uint8)
    parts = forward.launch(views)
    assert len(parts) == 1  # it was not halved
    assert len(forward.finish(parts)) == len(views)


@pytest.mark.gpu
def test_batches_are_stacked_where_a_gpu_fetches_them_itself() -> None:
    device = torch.device("cuda", 0)
    forward = FeaturesForward(BlockEncoder(), device=device, dtype=torch.float32)
    views = [np.full((28, 28, 3), value, np.uint8) for value in range(9)]
    stacked = forward.stack(views)
    assert torch.from_numpy(stacked).is_pinned()
    np.testing.assert_array_equal(stacked, np.stack(views))
    alone = FeaturesForward(BlockEncoder(), device=CPU, dtype=torch.float32)
    for ours, expected in zip(
        forward.finish(forward.launch(stacked)), alone.finish(alone.launch(stacked)), strict=True
    ):
        np.testing.assert_allclose(np.asarray(ours), np.asarray(expected), atol=1e-6)
