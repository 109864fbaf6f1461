"""The `gpu` marker keeps a test away from machines that cannot run it."""

import pytest
import torch


@pytest.mark.gpu
def test_a_gpu_test_runs_only_where_a_gpu_is() -> None:
    assert torch.cuda.is_available()
