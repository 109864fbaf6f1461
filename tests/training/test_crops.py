import numpy as np
import torch
from training_fixtures import picture

from vtok.training.crops import RandomCrops


def crops(seed: int = 0, *, min_scale: float = 0.6, number: int = 5) -> RandomCrops:
    images = [picture(i) for i in range(number)]
    return RandomCrops(images, crop_px=16, min_scale=min_scale, seed=seed)


def test_a_step_has_the_same_crops_whenever_it_is_drawn() -> None:
    first = crops()
    later = crops()
    later.batch(0, 4)
    later.batch(1, 4)
    assert torch.equal(first.batch(7, 4), later.batch(7, 4))


def test_steps_and_seeds_differ() -> None:
    one = crops()
    assert not torch.equal(one.batch(0, 4), one.batch(1, 4))
    assert not torch.equal(one.batch(0, 4), crops(seed=1).batch(0, 4))


def test_crops_are_bytes_of_the_asked_size_even_from_smaller_images() -> None:
    tiny = RandomCrops([picture(0, height=5, width=9)], crop_px=16, min_scale=1.0, seed=0)
    batch = tiny.batch(0, 3)
    assert batch.shape == (3, 3, 16, 16)
    assert batch.dtype == torch.uint8


def test_unscaled_crops_are_parts_of_their_image_or_its_mirror() -> None:
    image = picture(3)
    one = RandomCrops([image], crop_px=16, min_scale=1.0, seed=5)
    windows = np.lib.stride_tricks.sliding_window_view(image, (16, 16), axis=(0, 1))
    flat = {windows[r, c].tobytes() for r in range(windows.shape[0]) for c in range(41)}
    for crop in one.batch(0, 8):
        pixels = np.ascontiguousarray(crop.numpy())
        mirrored = np.ascontiguousarray(pixels[:, :, ::-1])
        assert pixels.tobytes() in flat or mirrored.tobytes() in flat
