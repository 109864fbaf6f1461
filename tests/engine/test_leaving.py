"""Results on their way out of the engine: what is finite, and what is rounded to float16."""

import numpy as np
import pytest
import torch
from fake_models import BlockEncoder
from test_runner import CPU
from torch import Tensor

from vtok.engine.forward import FeaturesForward, finite_rows
from vtok.errors import NonFiniteError

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_with_anything_not_finite_are_found(dtype: torch.dtype) -> None:
    largest = torch.finfo(dtype).max
    values = torch.zeros((7, 3, 4, 5), dtype=dtype)
    values[0, 1, 2, 3] = torch.nan
    values[1, 0, 0, 0] = torch.inf
    values[2, 2, 3, 4] = -torch.inf
    values[3], values[4, 0, 0] = largest, -largest
    values[5, 1] = -0.0
    values[6] = torch.finfo(dtype).smallest_normal / 2
    expected = [False, False, False, True, True, True, True]
    for laid_out in (values, values.contiguous(memory_format=torch.channels_last)):
        assert finite_rows(laid_out).tolist() == expected
        assert finite_rows(laid_out.permute(0, 2, 3, 1)).tolist() == expected
    assert finite_rows(values[:0]).tolist() == []
    assert finite_rows(values[:2, :0]).tolist() == [True, True]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_float16_is_numpys_and_what_does_not_fit_stays(dtype: torch.dtype) -> None:
    class Scaled(BlockEncoder):
        def features(self, pixels: Tensor) -> Tensor:
            values = torch.linspace(-3, 3, 40 * 6, dtype=dtype).view(1, 40, 6)
            factors = torch.tensor([1.0, 1e-7, 30000.0, torch.inf], dtype=dtype)
            return values * factors.view(4, 1, 1)

    views = np.zeros((4, 8, 8, 3), np.uint8)
    forward = FeaturesForward(Scaled(), device=CPU, dtype=dtype)
    wide = forward.finish(forward.launch(views))
    forward.is_half = True
    half = forward.finish(forward.launch(views))
    for ours, before in zip(half[:2], wide[:2], strict=True):
        assert isinstance(ours, np.ndarray)
        assert isinstance(before, np.ndarray)
        assert ours.dtype == np.float16
        np.testing.assert_array_equal(ours, before.astype(np.float16))
    assert isinstance(half[2], np.ndarray)
    assert half[2].dtype == np.float32
    np.testing.assert_array_equal(half[2], np.asarray(wide[2]))
    assert isinstance(half[3], NonFiniteError)
