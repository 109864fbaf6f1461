"""The writing thread: order kept, memory bounded, errors and the end heard by who hands in."""

import threading
from collections.abc import Callable, Iterable

import numpy as np
import pytest

from vtok.engine.times import StageTimes
from vtok.pipelines.running.shard_thread import ShardThread
from vtok.records import Failure
from vtok.shards.samples import Sample

Tell = Callable[[str], None]


def sample(number: int) -> Sample:
    return Sample(key=f"{number:06d}", features={"whole": np.zeros((4, 4), np.float32)})


def tell_keys(shard: int, samples: Iterable[Sample | Failure], tell: Tell) -> None:
    for each in samples:
        tell(f"{shard}:{each.key}")
    tell(f"{shard} done")


def test_shards_and_samples_come_in_order() -> None:
    times = StageTimes()
    with ShardThread[str](tell_keys, times) as thread:
        for shard in range(3):
            thread.begin(shard)
            for number in range(shard):
                thread.put(sample(number))
            thread.end()
        heard = [*thread.heard(), *thread.finish()]
    assert heard == ["0 done", "1:000000", "1 done", "2:000000", "2:000001", "2 done"]
    assert times.write_busy_s > 0


def test_what_waits_is_bounded() -> None:
    may_write, is_full = threading.Event(), threading.Event()

    def make(shard: int, samples: Iterable[Sample | Failure], tell: Tell) -> None:
        may_write.wait(60)
        tell_keys(shard, samples, tell)

    handed_in: list[int] = []

    def hand_in() -> None:
        with ShardThread[str](make, StageTimes(), 3 * 64) as thread:
            thread.begin(0)
            for number in range(10):
                if number == 3:
                    is_full.set()
                thread.put(sample(number))
                handed_in.append(number)
            thread.end()
            list(thread.finish())

    caller = threading.Thread(target=hand_in)
    caller.start()
    assert is_full.wait(60)
    caller.join(0.2)
    assert handed_in == [0, 1, 2]  # 64 bytes each; the fourth has to wait
    may_write.set()
    caller.join(60)
    assert handed_in == list(range(10))


def test_an_error_ends_the_handing_in() -> None:
    def make(shard: int, samples: Iterable[Sample | Failure], tell: Tell) -> None:
        next(iter(samples))
        raise OSError("the disk is full")

    with ShardThread[str](make, StageTimes()) as thread:
        thread.begin(0)
        thread.put(sample(0))
        with pytest.raises(OSError, match="the disk is full"):
            list(thread.finish())
        with pytest.raises(OSError, match="the disk is full"):
            thread.put(sample(1))


def test_an_error_of_the_caller_drops_the_shard_at_hand() -> None:
    ended: list[str] = []

    def make(shard: int, samples: Iterable[Sample | Failure], tell: Tell) -> None:
        try:
            tell_keys(shard, samples, tell)
        except Exception as error:
            ended.append(type(error).__name__)
            raise

    with pytest.raises(KeyboardInterrupt), ShardThread[str](make, StageTimes()) as thread:  # noqa: PT012
        thread.begin(0)
        thread.put(sample(0))
        raise KeyboardInterrupt
    assert ended in ([], ["_StopError"])  # not begun, or begun and dropped: never done
