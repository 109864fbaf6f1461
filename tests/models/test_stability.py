"""How much indices depend on how a model is run: on our own model and on published ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import STORED

from vtok.engine.precision import float32_as
from vtok.engine.stability import Way, measure
from vtok.models.registry import load_tokenizer

PUBLISHED = [label for label in STORED if STORED[label][0] in ("taming", "llamagen", "ibq")]
CPU = [torch.device("cpu")]
NOISE = 6e-5  # how far latents of one image move with the layout of the arithmetic alone


def ways_of(name: str, images: Any) -> dict[tuple[str, int], Way]:
    ways = measure(load_tokenizer(name), images, CPU)
    return {(way.compute_dtype, way.batch_size): way for way in ways}


def pictures(count: int) -> Any:
    return np.random.default_rng(7).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("label", [None, *PUBLISHED])
def test_batches_change_no_index_but_near_ties(label: str | None, tmp_path: Path) -> None:
    name = "vtok-base"
    if label is not None:
        stored, write = STORED[label]
        (tmp_path / stored).mkdir()  # the writers go by the folder's name
        name = str(write(tmp_path / stored))
    ways = ways_of(name, pictures(5))
    batches = [way for way in ways.values() if way.compute_dtype == "float32"]
    assert [way.batch_size for way in batches] == [2, 4, 5]
    for way in batches:
        assert way.largest_move < NOISE
        assert way.num_changed == len(way.changed) <= 0.001 * way.num_indices


def test_lower_precision_is_seen_to_move_latents() -> None:
    ways = ways_of("vtok-base", pictures(12))
    low, half = ways["bfloat16", 1], ways["float16", 1]
    assert low.largest_move > half.largest_move > NOISE
    assert 0 < low.num_changed == len(low.changed) < low.num_indices
    assert low.share == low.num_changed / (12 * 64)
    first = low.changed[0]
    assert first.before != first.after
    tokenizer = load_tokenizer("vtok-base")
    alone = torch.from_numpy(pictures(12)[[first.image]]).permute(0, 3, 1, 2) / 255 * 2 - 1
    with torch.inference_mode():
        assert int(tokenizer.tokenize(alone).flatten()[first.position]) == first.before


def test_precision_comes_back() -> None:
    before = torch.backends.cuda.matmul.fp32_precision
    with float32_as("tf32"):
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    assert torch.backends.cuda.matmul.fp32_precision == before


@pytest.mark.gpu
def test_a_gpu_is_compared_with_the_cpu() -> None:
    devices = [torch.device("cuda", 0), *CPU]
    ways = list(measure(load_tokenizer("vtok-base"), pictures(4), devices))
    assert {(way.device, way.compute_dtype) for way in ways} >= {
        ("cuda:0", "tf32"),
        ("cpu", "float32"),
    }
    batches = [way for way in ways if (way.device, way.compute_dtype) == ("cuda:0", "float32")]
    assert all(way.num_changed <= 0.001 * way.num_indices for way in batches)
