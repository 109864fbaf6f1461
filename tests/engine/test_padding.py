"""How much of the work is padding, where images of a thousand real sizes are computed together."""

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from bench_packing import PATCH_PX, num_tokens, photographs, waste

from vtok.engine.packed import PackedForward, features_forward
from vtok.engine.packs import PackLimits, form_packs
from vtok.models.vit import VitEncoder
from vtok.nn.vit import VitConfig

MOST_WASTE = 0.05
FEW = 60  # through a model


def test_packing_wastes_next_to_nothing() -> None:
    shares = waste(photographs())
    assert shares["packed by the engine"] < MOST_WASTE
    assert shares["padded to 1,024"] > 0.3, "the sizes would not need packing"


def test_the_layers_of_a_model_see_hardly_a_vector_more_than_there_are() -> None:
    model = VitEncoder(VitConfig(patch_px=PATCH_PX, dim=16, depth=1, num_heads=2)).eval()
    seen: list[int] = []
    block = model.vit.blocks[0]
    block.register_forward_pre_hook(lambda module, given: seen.append(given[0].shape[:2].numel()))
    forward = features_forward(model, device=torch.device("cpu"), dtype=torch.float32)
    assert isinstance(forward, PackedForward)
    sizes = photographs()[:FEW]
    views = ([np.zeros((size.height, size.width, 3), np.uint8)] for size in sizes)
    for pack in form_packs(views, PackLimits.of(None, on_cpu=True)):
        forward.finish(forward.launch(pack.arrays))
    wanted = sum(map(num_tokens, sizes))
    assert len(seen) < FEW / 2, "several images at a time"
    assert wanted <= sum(seen) < (1 + MOST_WASTE) * wanted
