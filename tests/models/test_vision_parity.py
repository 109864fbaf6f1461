"""Vision towers and whole models against transformers' own processors and forward passes.

A picture goes two ways: through the image processor and the model of transformers; and through this
package's plan, rendering, batches and encoder, loaded from the saved checkpoint.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

pytest.importorskip("transformers", reason="the reference models are an extra")

import torch
from PIL import Image
from transformers.utils import logging
from vision_models import dual_configs, made, tower_configs, whole_configs
from vision_processors import processors
from vision_references import (
    HAS_CLS,
    their_cls,
    their_patches,
    their_pixels,
    their_pooled,
    their_projected,
    their_read,
)

from vtok.engine.device import to_pixels
from vtok.engine.preparation import ImageFacts, ImageTask, Prepared
from vtok.engine.runner import EncodedSample, encode_features
from vtok.models.base import Encoder
from vtok.models.registry import load_encoder
from vtok.models.vision.inputs import merged_patches, naflex_patches
from vtok.pipelines.config.cut import default_scheme, scheme_for
from vtok.pipelines.config.parts import CutConfig
from vtok.pipelines.running.model import needs_of, record_of
from vtok.records import Size
from vtok.resolution import render

pytestmark = pytest.mark.slow  # importing transformers is most of it

MAX_ERROR = 1e-5
MIN_COSINE = 0.9999
MAX_PIXEL_ERROR = 1e-6
SIZES = (Size(height=40, width=64), Size(height=90, width=37), Size(height=28, width=28))
WIDE = Size(height=60, width=400)
HEADER = ("architecture", "output", "|pixels|", "|fp32|", "bf16 cosine")
CPU = torch.device("cpu")
TOWERS, WHOLES, DUALS = tower_configs(), whole_configs(), dual_configs()
POOLS = sorted({*TOWERS, *DUALS} - {"internvit", "pixtral"})
POOLED_FAMILIES = ("clip", "siglip", "siglip2")  # projected is one vector
OF_ANOTHER_LAYER = ("llava-1.5", "llava-next", "llava-onevision", "internvl", "mistral3")


class Checkpoint(NamedTuple):
    """A random model, its image processor, and the folder that both were saved in."""

    name: str
    model: Any
    processor: Any
    folder: Path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Checkpoint]:
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)

    @cache
    def make(name: str) -> Checkpoint:
        folder = tmp_path_factory.mktemp("models") / name
        model = made({**TOWERS, **WHOLES, **DUALS}[name])
        processor = processors()[name]
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        return Checkpoint(name, model, processor, folder)

    return make


def their_inputs(checkpoint: Checkpoint, image: Image.Image) -> dict[str, torch.Tensor]:
    return dict(checkpoint.processor.preprocess([image], return_tensors="pt"))


def picture(size: Size) -> Image.Image:
    coarse = np.random.default_rng(size.num_pixels).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((size.width, size.height), Image.Resampling.BICUBIC)


# -- our way --------------------------------------------------------------------------------------


def prepared(encoder: Encoder, image: Image.Image) -> Prepared:
    """A picture under the encoder's own scheme."""
    needs = needs_of(record_of(encoder))
    assert needs.scheme is not None
    scheme = scheme_for(CutConfig(), default_scheme(needs), needs)
    plan = scheme.plan(Size(height=image.height, width=image.width))
    assert needs.problem(plan) is None
    facts = ImageFacts(plan=plan, format="PNG", num_bytes=0, sha256="", conversions=())
    task = ImageTask(index=0, key="0", item=None)  # type: ignore[arg-type]
    return Prepared(task=task, facts=facts, views=tuple(render(plan, image)))


def our_pixels(encoder: Encoder, views: tuple[np.ndarray, ...], like: torch.Tensor) -> torch.Tensor:
    stack = torch.from_numpy(np.stack(views))
    pixels = to_pixels(stack, encoder.spec.pixels, device=CPU)
    if like.ndim == 4:
        return pixels
    patch = encoder.spec.patch_px
    if encoder.spec.family.startswith("qwen"):
        return merged_patches(pixels, patch, 2, 2)
    return naflex_patches(pixels, patch)


def ours(encoder: Encoder, outcome: Prepared, dtype: torch.dtype) -> torch.Tensor:
    """(views, N, D), through the batches of the engine; the grid is what the spec says."""
    (sample,) = encode_features([outcome], encoder, device=CPU, dtype=dtype)
    assert isinstance(sample, EncodedSample), sample
    for view in outcome.facts.plan.views:
        grid = encoder.spec.token_grid(view.size)
        expected = encoder.spec.num_tokens if grid is None else grid.num_cells
        assert sample.arrays[view.name].shape == (expected, encoder.spec.dim)
        if encoder.spec.output == "projected" and encoder.spec.family not in POOLED_FAMILIES:
            assert expected == view.num_tokens
    return torch.from_numpy(np.stack([sample.arrays[v.name] for v in outcome.facts.plan.views]))


# -- the comparison -------------------------------------------------------------------------------


def compare(
    checkpoint: Checkpoint,
    theirs: Callable[[str, Any, dict[str, Any]], torch.Tensor],
    **asked: Any,
) -> tuple[float, float, float]:
    """Return the largest difference of pixels and of features, and the least cosine in bf16."""
    name, folder = checkpoint.name, checkpoint.folder
    full, half = (load_encoder(str(folder), **asked) for _ in range(2))
    lower = type(checkpoint.model).from_pretrained(folder, dtype=torch.bfloat16).eval()
    pixel_error, error, cosine = 0.0, 0.0, 1.0
    for size in SIZES:
        image = picture(size)
        inputs = their_inputs(checkpoint, image)
        outcome = prepared(full, image)
        pixels = their_pixels(inputs)
        difference = our_pixels(full, outcome.views, pixels) - pixels
        pixel_error = max(pixel_error, float(difference.abs().max()))
        with torch.no_grad():
            expected = theirs(name, checkpoint.model, inputs)
            inputs["pixel_values"] = inputs["pixel_values"].to(torch.bfloat16)
            rough = theirs(name, lower, inputs).float()
        found = ours(full, outcome, torch.float32)
        assert found.shape == expected.shape, (found.shape, expected.shape)
        error = max(error, float((found - expected).abs().max()))
        close = torch.cosine_similarity(ours(half, outcome, torch.bfloat16), rough, dim=-1)
        cosine = min(cosine, float(close.min()))
    return pixel_error, error, cosine


@pytest.fixture
def check(checkpoint: Callable[[str], Checkpoint], table_row: Callable[..., None]) -> Any:
    def run(name: str, label: str, theirs: Any, **asked: Any) -> None:
        pixel_error, error, cosine = compare(checkpoint(name), theirs, **asked)
        cells = (name, label, f"{pixel_error:.0e}", f"{error:.1e}", f"{cosine:.6f}")
        table_row("parity with transformers' own forward", HEADER, cells)
        assert pixel_error <= MAX_PIXEL_ERROR
        assert error <= MAX_ERROR
        assert cosine >= MIN_COSINE

    return run


@pytest.mark.parametrize("name", sorted({*TOWERS, *DUALS}))
def test_patches_of_towers(name: str, check: Any) -> None:
    check(name, "patches", their_patches)


@pytest.mark.parametrize("name", sorted(TOWERS))
def test_patches_of_a_layer_before_the_last(name: str, check: Any) -> None:
    def theirs(*call: Any) -> torch.Tensor:
        return their_patches(*call, -2)

    check(name, "layer -2", theirs, layers=(-2,))


def test_several_layers_lie_one_after_the_other(check: Any) -> None:
    def theirs(*call: Any) -> torch.Tensor:
        return torch.cat([their_patches(*call, layer) for layer in (1, -1, 0)], dim=-1)

    check("clip", "layers 1 -1 0", theirs, layers=(1, -1, 0))


@pytest.mark.parametrize("name", POOLS)
def test_pooled_vectors(name: str, check: Any) -> None:
    check(name, "pooled", their_pooled, output="pooled")


@pytest.mark.parametrize("name", HAS_CLS)
def test_class_tokens(name: str, check: Any) -> None:
    check(name, "cls", their_cls, output="cls")


@pytest.mark.parametrize("name", sorted({*WHOLES, *DUALS}))
def test_projected_vectors(name: str, check: Any) -> None:
    check(name, "projected", their_projected, output="projected")


@pytest.mark.parametrize("name", sorted(WHOLES))
def test_patches_of_a_whole_model_are_those_that_its_projector_reads(name: str, check: Any) -> None:
    check(name, "patches", their_read)


@pytest.mark.parametrize("name", OF_ANOTHER_LAYER)
def test_projected_vectors_of_another_layer(name: str, check: Any) -> None:
    def theirs(name: str, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        core, own = model.model, model.config.vision_feature_layer
        model.config.vision_feature_layer = core.config.vision_feature_layer = -3
        try:
            return their_projected(name, model, inputs)
        finally:
            model.config.vision_feature_layer = core.config.vision_feature_layer = own

    check(name, "projected, layer -3", theirs, output="projected", layers=(-3,))


@pytest.mark.parametrize("name", ["qwen2-vl", "qwen2.5-vl", "qwen3-vl"])
def test_qwen_patches_lie_row_by_row(name: str, checkpoint: Callable[[str], Checkpoint]) -> None:
    """Its tower sees cells of 2 x 2; merging them again by rows and columns gives its own."""
    _, model, _, folder = checkpoint(name)
    encoder = load_encoder(str(folder))
    outcome = prepared(encoder, picture(WIDE))  # several windows, the last one smaller
    grid = encoder.spec.token_grid(outcome.facts.plan.views[0].size)
    assert grid is not None
    patches = ours(encoder, outcome, torch.float32)[0].reshape(grid.rows, grid.cols, -1)
    cells = [
        patches[row : row + 2, col : col + 2].flatten(0, 1)
        for row in range(0, grid.rows, 2)
        for col in range(0, grid.cols, 2)
    ]
    projected = ours(load_encoder(str(folder), output="projected"), outcome, torch.float32)
    with torch.no_grad():
        merged = model.model.visual.merger(torch.cat(cells))
    torch.testing.assert_close(projected[0], merged, atol=1e-5, rtol=0)


def test_as_many_architectures_as_promised() -> None:
    assert len({*TOWERS, *WHOLES}) >= 15
    assert len({type(config).__name__ for config in (*TOWERS.values(), *WHOLES.values())}) >= 15
