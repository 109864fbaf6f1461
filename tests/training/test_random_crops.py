import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from training_fixtures import SHORT, picture

from vtok.training.crops import RandomCrops
from vtok.training.generated import dead_leaves, generated, gradient, line_art, text_page

UNSCALED = dataclasses.replace(SHORT, min_scale=1.0)


def crops(seed: int = 0, **changes: float) -> RandomCrops:
    images = [picture(i) for i in range(5)]
    return RandomCrops(images, dataclasses.replace(SHORT, seed=seed, **changes))


def test_a_step_has_the_same_crops_whenever_it_is_drawn() -> None:
    first = crops()
    later = crops()
    later.batch(0, range(4))
    later.batch(1, range(4))
    assert torch.equal(first.batch(7, range(4)), later.batch(7, range(4)))


def test_steps_and_seeds_differ() -> None:
    one = crops()
    assert not torch.equal(one.batch(0, range(4)), one.batch(1, range(4)))
    assert not torch.equal(one.batch(0, range(4)), crops(seed=1).batch(0, range(4)))


def test_crops_are_bytes_of_the_asked_size_even_from_smaller_images() -> None:
    tiny = RandomCrops([picture(0, height=5, width=9)], UNSCALED)
    batch = tiny.batch(0, range(3))
    assert batch.shape == (3, 3, 16, 16)
    assert batch.dtype == torch.uint8


def test_unscaled_crops_are_parts_of_their_image_or_its_mirror() -> None:
    image = picture(3)
    one = RandomCrops([image], UNSCALED)
    windows = np.lib.stride_tricks.sliding_window_view(image, (16, 16), axis=(0, 1))
    flat = {windows[r, c].tobytes() for r in range(windows.shape[0]) for c in range(41)}
    for crop in one.batch(0, range(8)):
        pixels = np.ascontiguousarray(crop.numpy())
        mirrored = np.ascontiguousarray(pixels[:, :, ::-1])
        assert pixels.tobytes() in flat or mirrored.tobytes() in flat


def test_a_crop_is_the_same_whichever_others_are_drawn_with_it() -> None:
    whole = crops(colour_jitter=0.3, generated_share=0.5).batch(3, range(6))
    shared = [
        crops(colour_jitter=0.3, generated_share=0.5).batch(3, numbers)
        for numbers in (range(2), range(2, 6))
    ]
    assert torch.equal(whole, torch.cat(shared))


def test_colours_change_by_no_more_than_was_asked() -> None:
    plain, jittered = crops().batch(0, range(8)), crops(colour_jitter=0.1).batch(0, range(8))
    ratio = jittered.float().mean((1, 2, 3)) / plain.float().mean((1, 2, 3))
    assert not torch.equal(plain, jittered)
    assert ratio.min() > 0.88
    assert ratio.max() < 1.12


def test_the_share_of_generated_crops_is_the_one_asked_for() -> None:
    black = [np.zeros((40, 56, 3), np.uint8)]
    recipe = dataclasses.replace(SHORT, generated_share=0.25)
    drawn = RandomCrops(black, recipe).batch(0, range(400))
    share = (drawn.flatten(1).amax(1) > 0).float().mean()
    assert 0.19 < share < 0.31


@pytest.mark.parametrize("kind", [dead_leaves, text_page, line_art, gradient, generated])
def test_generated_pictures_are_bytes_that_a_seed_decides(kind: Callable[..., np.ndarray]) -> None:
    first, again = (kind(np.random.default_rng(4), 48) for _ in range(2))
    assert first.shape == (48, 48, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert first.std() > 2
    assert not np.array_equal(first, kind(np.random.default_rng(5), 48))
