"""What is said to bound a run is what its figures say."""

from typing import Any

import pytest

from vtok.engine.times import StageTimes
from vtok.pipelines.benchmarking.report import BenchReport
from vtok.pipelines.benchmarking.verdict import verdict


def said(**figures: Any) -> str:
    usual: dict[str, Any] = {
        "num_images": 100, "num_views": 100, "num_cores": 2, "device": "cpu",
        "compute_dtype": "float32", "decode_ms": 3.0, "model_ms": 20.0, "write_ms": 1.0,
        "wall_s": 1.2, "cpu_s": 2.5, "device_busy": None, "times": StageTimes(), "began_s": 0.0,
    }  # fmt: skip
    return "\n".join(verdict(BenchReport(**{**usual, **figures})))


@pytest.mark.parametrize(
    ("figures", "stage", "advice"),
    [
        ({}, "model: 83%", "bf16"),
        ({"tokens": "vq"}, "model: 83%", "a GPU"),
        ({"operations": 2e8, "matrix_rate": 1e11}, "model: 83%", "--compile"),
        ({"decode_ms": 40.0}, "decode and render: 66%", "--decoding scaled"),
        ({"write_ms": 80.0}, "write: 78%", "--layout block"),
    ],
)
def test_on_a_cpu_all_stages_share_the_cores(
    figures: dict[str, Any], stage: str, advice: str
) -> None:
    text = said(**figures)
    assert stage in text
    assert advice in text
    assert ("--compile" in text) == ("operations" in figures)
    assert ("bf16" in text) == ("model" in stage and "tokens" not in figures)


def test_beside_a_device_the_slower_side_bounds() -> None:
    text = said(device_busy=0.4, model_ms=1.0)
    assert "the host: 2.00 ms" in text
    assert "4.0 cores would feed" in text
    text = said(device_busy=0.97, model_ms=9.0)
    assert "the device: 9.00 ms" in text


def test_what_is_lost_is_said_only_where_something_is() -> None:
    assert "lost" not in said(wall_s=1.3)
    times = StageTimes(input_s=0.2, model_s=1.0)
    assert "1.80 s beside the limit" in said(wall_s=3.0, times=times)
    assert "mostly for the model, 1.00 s" in said(wall_s=3.0, times=times)
