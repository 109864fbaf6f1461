"""Rules that hold for every test."""

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `gpu` where there is no CUDA device, and say so."""
    if item.get_closest_marker("gpu") is None:
        return
    import torch  # seconds to load, and most test files do without it

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device, and torch.cuda.is_available() is False")
