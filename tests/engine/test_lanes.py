"""Lanes and runners: the same tokens from any number of threads, and what was learnt is kept."""

import threading

import pytest
import torch
from fake_models import BlockEncoder, BlockTokenizer
from test_runner import CPU, one_by_one, plain, prepared
from torch import Tensor

from vtok.engine.coding import TokenizeForward
from vtok.engine.forward import FeaturesForward
from vtok.engine.runner import Runner
from vtok.engine.times import Span, StageTimes


@pytest.mark.parametrize("num_lanes", [0, 1, 3])
def test_tokens_do_not_depend_on_the_number_of_lanes(num_lanes: int) -> None:
    outcomes = prepared(20)
    runner = Runner(
        TokenizeForward(BlockTokenizer(), device=CPU), batch_size=3, num_lanes=num_lanes
    )
    assert plain(runner.encode(outcomes)) == one_by_one(outcomes, BlockTokenizer())
    runner.close()


def test_lanes_work_side_by_side_each_on_one_core() -> None:
    meeting = threading.Barrier(
        2, timeout=60
    )  # broken if no two batches are ever under way at once
    threads: list[int] = []

    class Meeting(BlockEncoder):
        def features(self, pixels: Tensor) -> Tensor:
            threads.append(torch.get_num_threads())
            meeting.wait()
            return super().features(pixels)

    outcomes = prepared(4)
    times = StageTimes(spans=[])
    forward = FeaturesForward(Meeting(), device=CPU, dtype=torch.float32)
    runner = Runner(forward, batch_size=1, num_lanes=2, times=times)
    num_views = sum(len(getattr(each, "views", ())) for each in outcomes)
    assert num_views % 2 == 0
    assert len(list(runner.encode(outcomes))) == len(outcomes)
    runner.close()
    assert set(threads) == {1}
    assert times.spans is not None
    assert {span.lane for span in times.spans} == {0, 1}
    assert times.model_busy_s == pytest.approx(
        sum(span.end_s - span.start_s for span in times.spans)
    )


def test_the_model_goes_on_across_the_end_of_a_shard_but_no_batch_does() -> None:
    meeting = threading.Barrier(2, timeout=60)  # broken if the second shard waits for the first
    num_rows: list[int] = []

    class Meeting(BlockEncoder):
        def features(self, pixels: Tensor) -> Tensor:
            num_rows.append(len(pixels))
            meeting.wait()
            return super().features(pixels)

    one = prepared(4)[0]
    num_views = len(getattr(one, "views", ()))
    outcomes = [one, one, one, None, one, one, None]
    forward = FeaturesForward(Meeting(), device=CPU, dtype=torch.float32)
    runner = Runner(forward, batch_size=4 * num_views, num_lanes=2)
    assert len(list(runner.encode(outcomes))) == 5
    runner.close()
    assert sorted(num_rows) == [2 * num_views, 3 * num_views]


def test_an_error_in_a_lane_reaches_the_caller() -> None:
    class Broken(BlockEncoder):
        def features(self, pixels: Tensor) -> Tensor:
            raise RuntimeError("a mistake")

    forward = FeaturesForward(Broken(), device=CPU, dtype=torch.float32)
    runner = Runner(forward, batch_size=2, num_lanes=2)
    with pytest.raises(RuntimeError, match="a mistake"):
        list(runner.encode(prepared(3)))
    runner.close()


def test_what_running_out_of_memory_taught_is_kept_from_shard_to_shard() -> None:
    tokenizer = BlockTokenizer(most_pixels=3 * 28 * 28)
    runner = Runner(TokenizeForward(tokenizer, device=CPU), batch_size=16)
    first = plain(runner.encode(prepared()))
    num_calls = len(tokenizer.batch_shapes)
    assert plain(runner.encode(prepared())) == first
    sizes = [shape[0] for shape in tokenizer.batch_shapes[num_calls:]]
    assert max(sizes) == 2


@pytest.mark.parametrize(
    ("waits", "bottleneck"),
    [((3, 2, 1), "decode"), ((1, 3, 2), "model"), ((1, 2, 3), "write")],
)
def test_the_bottleneck_is_what_was_waited_for(
    waits: tuple[float, float, float], bottleneck: str
) -> None:
    times = StageTimes(input_s=waits[0], model_s=waits[1], output_s=waits[2])
    assert times.bottleneck == bottleneck
    assert times.to_json()["bottleneck"] == bottleneck
    assert StageTimes().to_json()["bottleneck"] is None


def test_times_of_workers_add_up() -> None:
    total, one = StageTimes(num_samples=2), StageTimes(num_samples=3)
    one.worked(Span("write", 0, 1.0, 3.5))
    total.add(one.sums())
    assert (total.num_samples, total.write_busy_s) == (5, 2.5)
