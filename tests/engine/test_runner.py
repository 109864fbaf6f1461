"""The loop: tokens in order, whatever the batches; a failure is its own sample's alone."""

from collections.abc import Iterator
from io import BytesIO
from itertools import islice

import numpy as np
import pytest
import torch
from engine_fakes import png_tasks, small_preparation, task
from fake_models import FACTOR, BlockEncoder, BlockTokenizer
from PIL import Image

from vtok.engine.decoding import DecodePool
from vtok.engine.device import to_pixels
from vtok.engine.preparation import Outcome, Preparation, Prepared
from vtok.engine.runner import EncodedSample, decode_indices, encode_features, encode_indices
from vtok.engine.times import StageTimes
from vtok.errors import DeviceError, NonFiniteError, ShardError
from vtok.models.base import Tokenizer
from vtok.records import Failure
from vtok.resolution import SchemeOptions, resolve

CPU = torch.device("cpu")


def prepared(count: int = 12) -> list[Outcome]:
    tasks = png_tasks(count)
    tasks.insert(5, task(99, b"not an image"))
    return [small_preparation().prepare(each) for each in tasks]


def one_by_one(outcomes: list[Outcome], tokenizer: Tokenizer) -> list[object]:
    """The plainest loop there is: one view at a time."""
    tokenizer.eval()
    found: list[object] = []
    for outcome in outcomes:
        if isinstance(outcome, Failure):
            found.append(outcome)
            continue
        with torch.inference_mode():
            arrays = [
                tokenizer.tokenize(
                    to_pixels(
                        torch.from_numpy(view.copy())[None], tokenizer.spec.pixels, device=CPU
                    )
                )[0].tolist()
                for view in outcome.views
            ]
        found.append((outcome.task.key, [view.name for view in outcome.facts.plan.views], arrays))
    return found


def plain(samples: Iterator[EncodedSample | Failure]) -> list[object]:
    return [
        each
        if isinstance(each, Failure)
        else (each.task.key, list(each.arrays), [array.tolist() for array in each.arrays.values()])
        for each in samples
    ]


@pytest.mark.parametrize("batch_size", [1, 2, 5, 64, None])
def test_indices_are_those_of_one_view_at_a_time(batch_size: int | None) -> None:
    outcomes = prepared()
    found = plain(encode_indices(outcomes, BlockTokenizer(), device=CPU, batch_size=batch_size))
    assert found == one_by_one(outcomes, BlockTokenizer())


def test_indices_are_int64_of_the_latent_grid() -> None:
    outcomes = prepared(1)
    sample, _ = encode_indices(outcomes, BlockTokenizer(), device=CPU)
    assert isinstance(sample, EncodedSample)
    assert {(array.dtype, array.shape) for array in sample.arrays.values()} == {
        (np.dtype(np.int64), (28 // FACTOR, 28 // FACTOR))
    }
    assert list(sample.arrays)[-1] == "thumbnail"


def test_views_of_many_shapes_share_batches_by_shape() -> None:
    scheme = resolve("navit", SchemeOptions(patch_px=4, max_tokens=64))
    outcomes = [Preparation(scheme=scheme).prepare(each) for each in png_tasks(24)]
    tokenizer = BlockTokenizer()
    found = plain(encode_indices(outcomes, tokenizer, device=CPU, batch_size=4))
    assert found == one_by_one(outcomes, BlockTokenizer())
    assert len({shape[2:] for shape in tokenizer.batch_shapes}) > 3
    assert len(tokenizer.batch_shapes) < 20


def test_running_out_of_memory_halves_the_batches_and_changes_no_token() -> None:
    outcomes = prepared()
    tokenizer = BlockTokenizer(most_pixels=3 * 28 * 28)
    found = plain(encode_indices(outcomes, tokenizer, device=CPU, batch_size=16))
    assert found == one_by_one(outcomes, BlockTokenizer())
    sizes = [shape[0] for shape in tokenizer.batch_shapes]
    assert sizes[:4] == [16, 8, 4, 2]
    assert max(sizes[3:]) == 2  # what was learnt is kept


def test_too_little_memory_for_a_single_view_is_one_line() -> None:
    with pytest.raises(DeviceError, match="cpu has too little memory for a single input of 28x28"):
        list(encode_indices(prepared(), BlockTokenizer(most_pixels=10), device=CPU))


def black(index: int) -> Outcome:
    buffer = BytesIO()
    Image.new("RGB", (60, 40)).save(buffer, "PNG")
    return small_preparation().prepare(task(index, buffer.getvalue()))


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_a_sample_that_is_not_finite_fails_alone(batch_size: int) -> None:
    outcomes = prepared()
    expected = one_by_one(outcomes, BlockTokenizer())
    outcomes.insert(3, black(77))
    tokenizer = BlockTokenizer(is_poisoned=True)
    found = plain(encode_indices(outcomes, tokenizer, device=CPU, batch_size=batch_size))
    culprit = found.pop(3)
    assert isinstance(culprit, Failure)
    assert (culprit.key, culprit.stage, culprit.reason) == ("000077", "model", "non-finite")
    assert culprit.message.startswith("view tile-000:")
    assert found == expected


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_what_an_encoder_refuses_as_a_batch_fails_alone(batch_size: int) -> None:
    outcomes = prepared()
    outcomes.insert(3, black(77))
    found = list(
        encode_features(outcomes, BlockEncoder(is_poisoned=True), device=CPU, batch_size=batch_size)
    )
    failures = [each for each in found if isinstance(each, Failure)]
    assert [(each.key, each.reason) for each in failures] == [
        ("000077", "non-finite"),
        ("000099", "not-an-image"),
    ]
    assert len(found) == len(outcomes)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_features_are_those_of_the_encoder(dtype: torch.dtype) -> None:
    outcomes = prepared(4)
    (first, *_) = encode_features(outcomes, BlockEncoder(), device=CPU, dtype=dtype, batch_size=3)
    assert isinstance(first, EncodedSample)
    assert isinstance(outcomes[0], Prepared)
    for array, view in zip(first.arrays.values(), outcomes[0].views, strict=True):
        assert array.dtype == (np.float16 if dtype == torch.float16 else np.float32)
        blocks = view.reshape(7, 4, 7, 4, 3).mean((1, 3)).reshape(49, 3) / 127.5 - 1  # (N, 3)
        expected = np.concatenate([blocks, 3 * blocks], 1)
        np.testing.assert_allclose(
            array, expected, atol=1e-6 if dtype == torch.float32 else 0.03, rtol=0
        )


def test_decoding_keeps_order_and_shapes_and_inverts_the_lookup() -> None:
    rng = np.random.default_rng(0)
    tokenizer = BlockTokenizer()
    shapes = [(2, 3), (4, 4), (2, 3), (1, 5), (4, 4), (2, 3)] * 3
    arrays = [rng.integers(0, 729, shape).astype(np.uint16) for shape in shapes]
    images = list(decode_indices(arrays, tokenizer, device=CPU, batch_size=4))
    for array, image in zip(arrays, images, strict=True):
        assert isinstance(image, np.ndarray)
        assert image.dtype == np.uint8
        assert image.shape == (array.shape[0] * FACTOR, array.shape[1] * FACTOR, 3)
        with torch.inference_mode():
            again = tokenizer.tokenize(
                to_pixels(torch.from_numpy(image)[None], tokenizer.spec.pixels, device=CPU)
            )
        np.testing.assert_array_equal(again[0], array)


def test_an_image_that_decodes_to_nothing_finite_is_an_error_of_its_own() -> None:
    arrays = [np.full((2, 2), 728), np.zeros((2, 2), int), np.full((2, 2), 728)]
    first, second, third = decode_indices(arrays, BlockTokenizer(is_poisoned=True), device=CPU)
    assert isinstance(second, NonFiniteError)
    np.testing.assert_array_equal(first, third)
    assert first.min() == 255


def test_an_index_outside_the_codebook_ends_the_run() -> None:
    with pytest.raises(ShardError):
        list(decode_indices([np.full((2, 2), 729)], BlockTokenizer(), device=CPU))


def test_shards_cut_from_one_run_have_batches_of_their_own() -> None:
    outcomes = prepared(11)
    with DecodePool(small_preparation(), num_workers=2) as pool:
        tasks = png_tasks(11)
        tasks.insert(5, task(99, b"not an image"))
        running = pool.map(tasks)
        shards = [
            plain(encode_indices(islice(running, 4), BlockTokenizer(), device=CPU, batch_size=5))
            for _ in range(3)
        ]
    assert [len(shard) for shard in shards] == [4, 4, 4]
    assert [each for shard in shards for each in shard] == one_by_one(outcomes, BlockTokenizer())


def test_time_is_accounted_for() -> None:
    times = StageTimes()
    samples = list(
        encode_indices(prepared(), BlockTokenizer(), device=CPU, batch_size=5, times=times)
    )
    assert times.num_samples == len(samples) == 13
    assert times.num_views == sum(
        len(each.arrays) for each in samples if isinstance(each, EncodedSample)
    )
    assert times.num_batches == -(-times.num_views // 5)
    assert times.model_s > 0
    assert times.bottleneck in {"decode", "model"}


@pytest.mark.gpu
def test_a_gpu_gives_the_same_indices_and_halves_for_real() -> None:
    outcomes = prepared()
    found = plain(
        encode_indices(outcomes, BlockTokenizer(), device=torch.device("cuda", 0), batch_size=5)
    )
    assert found == one_by_one(outcomes, BlockTokenizer().cpu())
