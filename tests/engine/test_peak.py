"""Operations are those of the formula; rates are of something that ran."""

import pytest
import torch
from fake_models import BlockEncoder
from test_runner import CPU
from torch import Tensor, nn
from torch.nn import functional

from vtok.engine.forward import FeaturesForward
from vtok.engine.peak import count_operations, matrix_rate
from vtok.records import Size


def test_operations_of_a_convolution_and_a_product() -> None:
    class Counted(BlockEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(3, 16, 3, padding=1)
            self.product = nn.Linear(16, 8)

        def features(self, pixels: Tensor) -> Tensor:
            return self.product(self.convolution(pixels).flatten(2).transpose(1, 2))

    forward = FeaturesForward(Counted(), device=CPU, dtype=torch.float32)
    num_pixels = 12 * 20
    expected = 2 * num_pixels * (16 * 3 * 3 * 3 + 16 * 8)
    assert count_operations(forward, Size(height=12, width=20)) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_operations_of_attention_are_those_of_its_two_products(dtype: torch.dtype) -> None:
    class Attending(BlockEncoder):
        def features(self, pixels: Tensor) -> Tensor:
            heads = pixels[:, :, :, :, None].expand(-1, -1, -1, -1, 5).flatten(3)  # (B, 3, H, W 5)
            return functional.scaled_dot_product_attention(heads, heads, heads).flatten(2)

    forward = FeaturesForward(Attending(), device=CPU, dtype=dtype)
    height, width = 12, 20
    products = 2 * 2 * height * height * (width * 5)
    assert count_operations(forward, Size(height=height, width=width)) == 3 * products


def test_the_matrix_rate_is_of_one_core_and_leaves_threads_alone() -> None:
    threads = torch.get_num_threads()
    assert 1e8 < matrix_rate(CPU, torch.float32) < 1e13
    assert torch.get_num_threads() == threads
