"""Batches: every array once, in order, by shape, from the stream alone."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vtok.engine.batching import Batch, default_batch_size, form_batches

SHAPES = [(2, 3), (3, 2), (4, 4)]

streams = st.lists(st.lists(st.sampled_from(SHAPES), max_size=7), max_size=30)


def stamped(stream: list[list[tuple[int, int]]]) -> list[list[np.ndarray]]:
    """Give every array its own content: sample and position."""
    return [
        [np.full(shape, 100 * sample + position) for position, shape in enumerate(shapes)]
        for sample, shapes in enumerate(stream)
    ]


@settings(deadline=None)
@given(streams, st.integers(1, 5), st.integers(1, 8), st.integers(1, 2000))
def test_every_array_is_in_exactly_one_batch_of_its_shape(
    stream: list[list[tuple[int, int]]], size: int, window_samples: int, window_bytes: int
) -> None:
    samples = stamped(stream)
    batches = list(
        form_batches(
            samples, lambda _: size, window_samples=window_samples, window_bytes=window_bytes
        )
    )
    found = []
    for batch in batches:
        assert 1 <= len(batch.members) == len(batch.arrays) <= size
        assert list(batch.members) == sorted(batch.members)
        for member, array in zip(batch.members, batch.arrays, strict=True):
            np.testing.assert_array_equal(array, samples[member.sample][member.position])
            found.append(member)
    expected = [(s, p) for s, shapes in enumerate(stream) for p in range(len(shapes))]
    assert sorted(found) == expected


@settings(deadline=None)
@given(streams, st.integers(1, 5), st.integers(1, 8))
def test_no_array_waits_past_its_window(
    stream: list[list[tuple[int, int]]], size: int, window: int
) -> None:
    num_read = 0

    def reading() -> Iterator[list[np.ndarray]]:
        nonlocal num_read
        for arrays in stamped(stream):
            num_read += 1
            yield arrays

    for batch in form_batches(reading(), lambda _: size, window_samples=window):
        assert num_read - 1 - batch.members[0].sample <= window


@settings(deadline=None)
@given(st.lists(streams, max_size=4), st.integers(1, 5), st.integers(1, 8), st.integers(1, 2000))
def test_what_none_parts_is_batched_as_if_alone(
    shards: list[list[list[tuple[int, int]]]], size: int, window_samples: int, window_bytes: int
) -> None:
    limits = {"window_samples": window_samples, "window_bytes": window_bytes}
    parts = [stamped(shard) for shard in shards]
    alone, num_before = [], 0
    for part in parts:
        for batch in form_batches(part, lambda _: size, **limits):
            members = [(sample + num_before, position) for sample, position in batch.members]
            alone.append((batch.arrays.tolist(), members))
        num_before += len(part)
    joined = [each for part in parts for each in (*part, None)]
    together = [
        (batch.arrays.tolist(), list(map(tuple, batch.members)))
        for batch in form_batches(joined, lambda _: size, **limits)
    ]
    assert together == alone


def test_one_shape_makes_full_batches_with_samples_across_them() -> None:
    samples = stamped([[(2, 3)] * 7] * 3)
    batches = list(form_batches(samples, lambda _: 8))
    assert [len(batch.members) for batch in batches] == [8, 8, 5]
    assert batches[0].members[-1] == (1, 0)
    assert all(isinstance(batch, Batch) and batch.arrays.flags.c_contiguous for batch in batches)


def test_a_rare_shape_does_not_hold_back_the_others_forever() -> None:
    samples = stamped([[(4, 4)], *[[(2, 3)]] * 9])
    batches = list(form_batches(samples, lambda _: 100, window_samples=4))
    assert [batch.members[0].sample for batch in batches] == [0, 1, 6]


def test_too_many_bytes_do_not_wait() -> None:
    samples = stamped([[(4, 4)]] * 6)
    num_bytes = samples[0][0].nbytes
    batches = list(form_batches(samples, lambda _: 100, window_bytes=2 * num_bytes))
    assert [len(batch.members) for batch in batches] == [3, 3]


def test_sizes_are_by_shape_and_at_least_one() -> None:
    samples = stamped([[(2, 3), (4, 4)]] * 4)
    sizes = {(2, 3): 4, (4, 4): 1}
    batches = list(form_batches(samples, sizes.__getitem__))
    assert [batch.arrays.shape for batch in batches] == [(1, 4, 4)] * 3 + [(4, 2, 3), (1, 4, 4)]
    with pytest.raises(ValueError, match="at least 1"):
        list(form_batches(samples, lambda _: 0))


def test_the_default_size_is_about_pixels() -> None:
    assert default_batch_size((336, 336, 3), on_cpu=True) == 8
    assert default_batch_size((336, 336, 3), on_cpu=False) == 128
    assert default_batch_size((4000, 4000, 3), on_cpu=True) == 1
    assert default_batch_size((16, 16, 3), on_cpu=True) == 64
    assert default_batch_size((16, 16, 3), on_cpu=False) == 512
