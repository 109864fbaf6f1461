"""The decode pool: order, supervision, shared pixels, and no trace left behind."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from engine_fakes import Misbehaving, Probing, png_task, png_tasks, small_preparation, task

from vtok.engine import children, crew, decoding, demand
from vtok.engine.decoding import DecodePool, UpTo, default_num_workers
from vtok.engine.demand import LATELY, MAX_QUEUE_DEPTH, Demand, queue_depth, workers_needed
from vtok.engine.handover import Handover
from vtok.engine.preparation import ImageFacts, ImageTask, Outcome, Prepared
from vtok.engine.process import Assignment, WorkerProcess
from vtok.engine.slots import SlotReader, SlotWriter
from vtok.engine.times import StageTimes
from vtok.records import Failure


def digest(outcomes: list[Outcome]) -> list[object]:
    """What must not depend on how the images were prepared."""
    return [
        each
        if isinstance(each, Failure)
        else (each.task.index, each.facts, [view.tobytes() for view in each.views])
        for each in outcomes
    ]


def in_process(tasks: list[ImageTask]) -> list[Outcome]:
    return [small_preparation().prepare(each) for each in tasks]


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_the_number_of_workers_changes_nothing(num_workers: int) -> None:
    tasks = [*png_tasks(40), task(40, b"not an image"), task(41, None), *png_tasks(3)]
    with DecodePool(small_preparation(with_sidecars=True), num_workers=num_workers) as pool:
        found = list(pool.map(iter(tasks)))
    expected = [small_preparation(with_sidecars=True).prepare(each) for each in tasks]
    assert digest(found) == digest(expected)
    assert [type(each) for each in found[40:42]] == [Failure, Failure]


def test_a_pool_serves_one_run_after_another_with_the_same_processes() -> None:
    with DecodePool(small_preparation(), num_workers=2) as pool:
        pids = pool.worker_pids
        assert list(pool.map([])) == []
        for count in (1, 30, 7):
            assert digest(list(pool.map(png_tasks(count)))) == digest(in_process(png_tasks(count)))
        assert pool.worker_pids == pids


def test_slices_of_one_run_are_shards() -> None:
    with DecodePool(small_preparation(), num_workers=1) as pool:
        outcomes = pool.map(png_tasks(10))
        shards = [list(islice(outcomes, 4)) for _ in range(3)]
    assert [[each.task.index for each in shard] for shard in shards] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]


def test_two_runs_at_once_are_refused() -> None:
    with DecodePool(small_preparation(), num_workers=1) as pool:
        first = pool.map(png_tasks(4))
        next(first)
        with pytest.raises(RuntimeError, match="already at work"):
            next(pool.map(png_tasks(4)))


@pytest.mark.parametrize("how", ["segfault", "leave"])
def test_an_image_that_kills_its_worker_is_the_only_failure(how: str) -> None:
    tasks = png_tasks(20)
    with DecodePool(Misbehaving(7, how), num_workers=2) as pool:
        found = list(pool.map(tasks))
    culprit = found.pop(7)
    assert isinstance(culprit, Failure)
    assert (culprit.key, culprit.stage, culprit.reason) == ("000007", "decode", "crash")
    assert digest(found) == digest(in_process(tasks[:7] + tasks[8:]))


def test_a_worker_killed_from_outside_costs_no_image(tmp_path: Path) -> None:
    tasks = png_tasks(30)
    with DecodePool(Misbehaving(11, "die", tmp_path / "once"), num_workers=2) as pool:
        assert digest(list(pool.map(tasks))) == digest(in_process(tasks))


def test_workers_killed_at_random_cost_no_image() -> None:
    tasks = png_tasks(60)
    with DecodePool(small_preparation(), num_workers=2) as pool:
        found = []
        for index, outcome in enumerate(pool.map(tasks)):
            found.append(outcome)
            if index in (5, 30):
                os.kill(pool.worker_pids[index % 2], signal.SIGKILL)
    assert digest(found) == digest(in_process(tasks))


def test_an_image_that_never_ends_is_given_up_in_time() -> None:
    tasks = png_tasks(12)
    with DecodePool(Misbehaving(5, "hang_in_a_decoder"), num_workers=2, timeout_s=1.5) as pool:
        started = time.monotonic()
        found = list(pool.map(tasks))
        assert time.monotonic() - started < 20
    culprit = found.pop(5)
    assert isinstance(culprit, Failure)
    assert (culprit.stage, culprit.reason) == ("decode", "timeout")
    assert digest(found) == digest(in_process(tasks[:5] + tasks[6:]))


def test_memory_is_limited_and_said_to_be_what_is_missing() -> None:
    with DecodePool(Misbehaving(1, "take_memory"), num_workers=1) as pool:
        good, bad, also_good = pool.map(png_tasks(3))
    assert isinstance(good, Prepared)
    assert isinstance(also_good, Prepared)
    assert isinstance(bad, Failure)
    assert bad.reason == "too-large"


def test_a_mistake_in_the_program_ends_the_run_with_its_own_exception() -> None:
    with DecodePool(Misbehaving(3, "divide"), num_workers=2) as pool:
        with pytest.raises(ZeroDivisionError) as caught:
            list(pool.map(png_tasks(10)))
        assert "engine_fakes.py" in caught.value.__notes__[0]
        tasks = png_tasks(3)
        assert digest(list(pool.map(tasks))) == digest(in_process(tasks))


def test_an_exception_that_cannot_travel_ends_the_run_with_its_traceback() -> None:
    with (
        DecodePool(Misbehaving(3, "be_unpicklable"), num_workers=1) as pool,
        pytest.raises(RuntimeError) as caught,
    ):
        list(pool.map(png_tasks(10)))
    assert "LocalError: made here" in caught.value.__notes__[0]


def test_an_exception_of_the_tasks_reaches_the_caller() -> None:
    def failing() -> Iterator[ImageTask]:
        yield png_task(0)
        raise KeyError("listing")

    with (
        DecodePool(small_preparation(), num_workers=1) as pool,
        pytest.raises(KeyError, match="listing"),
    ):
        list(pool.map(failing()))


class CannotTravel:
    """Is not to be found where a worker would look for it."""

    def prepare(self, task: ImageTask) -> Outcome:
        raise NotImplementedError


def test_workers_that_cannot_start_are_an_error_and_not_a_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    CannotTravel.__module__ = "nowhere"
    monkeypatch.setitem(sys.modules, "nowhere", sys.modules[__name__])
    with (
        DecodePool(CannotTravel(), num_workers=1) as pool,
        pytest.raises(RuntimeError, match="No module named 'nowhere'"),
    ):
        list(pool.map(png_tasks(2)))


def probe(what: str) -> str:
    with DecodePool(Probing(what), num_workers=1) as pool:
        (outcome,) = pool.map(png_tasks(1))
    assert isinstance(outcome, Prepared)
    return outcome.facts.conversions[0]


def test_workers_load_neither_torch_nor_the_callers_script() -> None:
    import torch  # the parent has it: the worker must not inherit it

    assert torch.__name__ in sys.modules
    assert probe("heavy_modules") == "[]"


def test_workers_ignore_interrupts_and_have_limits() -> None:
    assert probe("interrupt_handler") == "True"
    assert probe("limits") == str((2 << 30, 0))


def test_nothing_more_is_begun_than_the_caller_can_hold() -> None:
    taken = []

    def counted() -> Iterator[ImageTask]:
        for each in png_tasks(50):
            taken.append(each.index)
            yield each

    with DecodePool(small_preparation(), num_workers=2) as pool:
        pool.max_ahead = 6
        outcomes = pool.map(counted())
        for num_yielded in range(1, 11):
            next(outcomes)
            time.sleep(0.02)
            assert len(taken) <= num_yielded + 6
        assert len(list(outcomes)) == 40


def test_pixels_that_wait_are_bounded_in_bytes() -> None:
    taken = []

    def counted() -> Iterator[ImageTask]:
        for each in png_tasks(50):
            taken.append(each.index)
            yield each

    with DecodePool(small_preparation(), num_workers=1, max_ahead_bytes=1) as pool:
        outcomes = pool.map(counted())
        next(outcomes)
        time.sleep(0.3)
        assert len(taken) <= 4  # the one that fills the room, and what was begun before it came
        assert len(list(outcomes)) == 49


def test_pixels_stay_while_any_array_refers_to_them_and_their_memory_is_used_again() -> None:
    with DecodePool(small_preparation(), num_workers=1) as pool:
        pool.max_ahead = 4
        outcomes = pool.map(png_tasks(60))
        first = next(outcomes)
        assert isinstance(first, Prepared)
        corner = first.views[0][2:9, 3:8, 1]  # a view of a view
        expected = corner.copy()
        assert not corner.flags.writeable
        del first
        rest = sum(1 for _ in outcomes)
        assert rest == 59
        np.testing.assert_array_equal(corner, expected)
        slots = pool._workers[0]._slots._memories
        assert 1 < len(slots) < 12  # not one for each of the 60


def test_letting_go_of_pixels_runs_no_python() -> None:
    """Or an interrupt might come up there, where nobody is to catch it, and be forgotten."""
    ref, descriptor = SlotWriter().write([np.arange(12, dtype=np.uint8).reshape(2, 2, 3)])
    assert descriptor is not None
    reader = SlotReader(max_slots=8)
    arrays = reader.read(ref, os.dup(descriptor))
    begun: list[str] = []
    gc.disable()  # others' hooks on it are Python
    sys.setprofile(lambda frame, event, _: begun.append(f"{event} {frame.f_code.co_name}"))
    try:
        del arrays
    finally:
        sys.setprofile(None)
        gc.enable()
    assert not [each for each in begun if each.startswith("call ")]
    assert reader.take_freed() == (ref.slot,)
    assert reader.take_freed() == ()


def test_slots_beyond_the_limit_on_open_files_are_copied_out() -> None:
    """The caller keeps every image, as a model's batches do; each slot would cost a descriptor."""
    with DecodePool(small_preparation(), num_workers=1) as pool:
        pool._workers[0]._slots = SlotReader(max_slots=3)
        kept = list(pool.map(png_tasks(80)))
        assert len(pool._workers[0]._slots._memories) <= 3 + 1 + MAX_QUEUE_DEPTH
    for number, outcome in enumerate(kept):
        assert isinstance(outcome, Prepared)
        assert outcome.task.index == number
        assert not outcome.views[0].flags.writeable
    again = [small_preparation().prepare(task) for task in png_tasks(80)]
    for outcome, expected in zip(kept, again, strict=True):
        assert isinstance(outcome, Prepared)
        assert isinstance(expected, Prepared)
        np.testing.assert_array_equal(outcome.views[0], expected.views[0])


def test_nothing_is_left_behind() -> None:
    def descriptors() -> set[str]:
        gc.collect()
        return {
            os.readlink(f"/proc/self/fd/{fd}")
            for fd in os.listdir("/proc/self/fd")
            if os.path.lexists(f"/proc/self/fd/{fd}")
        }

    def mappings() -> int:
        gc.collect()  # a failed test's traceback, say, may still hold a view of pixels
        return Path("/proc/self/maps").read_text().count("vtok-pixels")

    before, num_threads = descriptors(), threading.active_count()
    num_mappings = mappings()
    for how in ("hang", "divide"):
        with DecodePool(Misbehaving(2, how), num_workers=2, timeout_s=1.0) as pool:
            outcomes = pool.map(png_tasks(8))
            pids = pool.worker_pids
            with pytest.raises(ZeroDivisionError) if how == "divide" else _nothing():
                list(outcomes)
            del outcomes
        assert not any(is_alive(pid) for pid in pids)
    assert mappings() <= num_mappings
    assert len(descriptors()) <= len(before)
    assert threading.active_count() == num_threads
    assert not list(Path("/dev/shm").glob("vtok*"))


class _nothing:  # noqa: N801
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def test_closing_in_the_midst_takes_no_time() -> None:
    pool = DecodePool(Misbehaving(1, "hang"), num_workers=2)
    outcomes = pool.map(png_tasks(20))
    next(outcomes)
    pids = pool.worker_pids
    started = time.monotonic()
    pool.close()
    assert time.monotonic() - started < 1
    assert not any(is_alive(pid) for pid in pids)


def test_leaving_a_run_early_leaves_the_pool_usable() -> None:
    with DecodePool(Misbehaving(1, "hang"), num_workers=2) as pool:
        outcomes = pool.map(png_tasks(20))
        next(outcomes)
        outcomes.close()
        tasks = [png_task(5), png_task(6)]
        assert digest(list(pool.map(tasks))) == digest(in_process(tasks))


_PARENT = """
import sys, time
sys.path[:0] = {path!r}
from engine_fakes import Misbehaving, png_tasks
from vtok.engine.decoding import DecodePool
pool = DecodePool(Misbehaving(3, "hang_in_a_decoder"), num_workers=2)
outcomes = pool.map(png_tasks(8))
for _ in range(3):
    next(outcomes)
time.sleep(0.3)
print(*pool.worker_pids, flush=True)
time.sleep(60)
"""


def test_no_worker_survives_its_parent() -> None:
    # Not under `if __name__ == "__main__"`: workers must not run the caller's script again.
    script = _PARENT.format(path=[str(Path(__file__).parent)])
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    assert all(map(is_alive, pids))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 5
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(is_alive, pids))


def test_an_interrupt_at_the_terminal_reaches_the_parent_alone() -> None:
    with DecodePool(small_preparation(), num_workers=1) as pool:
        (pid,) = pool.worker_pids
        assert os.getpgid(pid) != os.getpgid(0)


def test_there_is_a_worker_for_every_core_that_may_be_used() -> None:
    assert default_num_workers() == len(os.sched_getaffinity(0))


def test_starting_a_pool_costs_the_caller_little() -> None:
    started = time.process_time()
    with DecodePool(small_preparation(), num_workers=2):
        assert time.process_time() - started < 0.1


@pytest.mark.parametrize(
    ("decode_s", "consumer_s", "needed"),
    [
        (0.002, 0.050, 1),
        (0.010, 0.010, 2),  # with some room
        (0.010, 0.002, 7),
        (0.010, 0.0001, 16),
        (0.010, 0.0, 16),
    ],
)
def test_workers_follow_from_the_rates_of_both_sides(
    decode_s: float, consumer_s: float, needed: int
) -> None:
    assert workers_needed(decode_s, consumer_s, 16) == needed


def test_more_workers_are_started_when_the_caller_takes_images_faster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoding, "FIRST_WORKERS", 1)
    monkeypatch.setattr(demand, "JUDGED_EVERY_S", 0.0)
    tasks = png_tasks(40)
    with DecodePool(small_preparation(), num_workers=UpTo(3)) as pool:
        assert len(pool.worker_pids) == 1
        outcomes = list(pool.map(tasks))
        assert len(pool.worker_pids) == 3
    assert [each.task.index for each in outcomes if isinstance(each, Prepared)] == list(range(40))


def test_a_number_that_was_asked_for_stays() -> None:
    with DecodePool(small_preparation(), num_workers=1) as pool:
        list(pool.map(png_tasks(8)))
        assert len(pool.worker_pids) == 1


def test_a_worker_that_does_not_start_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "START_TIMEOUT_S", 0.0)
    monkeypatch.setattr(children, "_BOOTSTRAP", "import time; time.sleep(3600)")
    with (
        DecodePool(small_preparation(), num_workers=1) as pool,
        pytest.raises(RuntimeError, match=r"cannot start \(not ready after 0 s"),
    ):
        list(pool.map(png_tasks(2)))


def test_images_that_became_slower_are_noticed_soon() -> None:
    figures = Demand()
    for _ in range(1000):
        figures.add_prepared(0.0001)
    assert figures.queue_depth == MAX_QUEUE_DEPTH
    for _ in range(LATELY):
        figures.add_prepared(0.05)
    assert figures.queue_depth == 2


def test_images_in_work_count_as_large_as_the_largest_of_late() -> None:
    handover = Handover(max_ahead=64, max_ahead_bytes=1000, times=StageTimes())
    first = png_tasks(1)[0]

    def outcome(num_bytes: int) -> Prepared:
        views = (np.zeros((num_bytes, 1, 1), np.uint8),)
        return Prepared(task=first, facts=cast(ImageFacts, None), views=views)

    try:
        assert handover.has_room(16)  # nobody knows yet
        handover.put(0, outcome(10))
        assert handover.has_room(16)
        handover.put(1, outcome(100))
        assert not handover.has_room(16)  # 110 bytes are here, 14 images in work
        assert handover.has_room(10)
        handover.put(2, first.failure("decode", "corrupt", ""))
        assert not handover.has_room(12)  # a failure says nothing of the others
        for ticket in range(3, 64):
            handover.put(ticket, outcome(1))
        assert handover.has_room(63)
    finally:
        handover.close()


def test_long_files_do_not_wait_for_a_busy_worker() -> None:
    worker = WorkerProcess()
    try:
        worker.is_ready = True
        long = png_tasks(1)[0]
        long.item.size_bytes = 3 << 20
        for ticket, can_take in enumerate((True, True, False)):
            assert worker.can_take(200, depth=16) is can_take
            worker.assign(Assignment(ticket, long), b"")
    finally:
        worker.kill()


def test_a_worker_is_given_more_at_once_the_faster_it_is() -> None:
    assert [queue_depth(ms / 1000) for ms in (0, 0.01, 2, 3, 4, 50)] == [2, 16, 12, 8, 7, 2]
