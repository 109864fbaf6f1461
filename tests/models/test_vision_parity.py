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

from vtok.engine.device import to_pixels
from vtok.engine.preparation import ImageFacts, ImageTask, Prepared
from vtok.engine.runner import EncodedSample, encode_features
from vtok.models.base import Encoder
from vtok.models.registry import load_encoder
from vtok.models.vision.inputs import merged_patches, naflex_patches
from vtok.pipelines.config import CutConfig
from vtok.pipelines.cut import default_scheme, scheme_for
from vtok.pipelines.models import needs_of, record_of
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
HAS_CLS = ("clip", "clip-dual", "vit", "dinov2", "dinov2-registers", "dinov3", "internvit")
NUM_PREFIX = {"dinov2-registers": 4, "dinov3": 3}


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


def picture(size: Size) -> Image.Image:
    coarse = np.random.default_rng(size.num_pixels).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((size.width, size.height), Image.Resampling.BICUBIC)


# -- their way ------------------------------------------------------------------------------------


def their_inputs(checkpoint: Checkpoint, image: Image.Image) -> dict[str, torch.Tensor]:
    return dict(checkpoint.processor.preprocess([image], return_tensors="pt"))


def their_tower(name: str, model: Any, inputs: dict[str, Any], layer: int | None) -> Any:
    """The output of a tower; its states after a layer are among the hidden ones."""
    known = ("pixel_values", "pixel_attention_mask", "spatial_shapes", "image_sizes")
    call = {key: inputs[key] for key in known if key in inputs}
    tower = model.vision_model if name in DUALS else model
    return tower(**call, output_hidden_states=True)


def their_states(name: str, output: Any, inputs: dict[str, Any], layer: int | None) -> Any:
    tokens = output.last_hidden_state if layer is None else output.hidden_states[layer]
    if "pixel_attention_mask" in inputs:
        tokens = tokens[:, : int(inputs["pixel_attention_mask"].sum())]
    return tokens


def their_patches(
    name: str, model: Any, inputs: dict[str, Any], layer: int | None = None
) -> torch.Tensor:
    output = their_tower(name, model, inputs, layer)
    prefix = NUM_PREFIX.get(name, 1) if name in HAS_CLS else 0
    return their_states(name, output, inputs, layer)[:, prefix:]


def their_pooled(name: str, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    return their_tower(name, model, inputs, None).pooler_output[:, None]


def their_cls(name: str, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    output = their_tower(name, model, inputs, None)
    return their_states(name, output, inputs, None)[:, :1]


def their_projected(name: str, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """(views, M, D): what the projector gave for each view, before any packing."""
    if name in DUALS:
        return model.get_image_features(inputs["pixel_values"]).pooler_output[:, None]
    core = model.model
    if name == "llama-3.2-vision":
        call = {key: inputs[key] for key in ("aspect_ratio_ids", "aspect_ratio_mask")}
        states = core.vision_model(inputs["pixel_values"], **call).last_hidden_state
        num_tiles = int(inputs["aspect_ratio_mask"].sum())
        return core.multi_modal_projector(states)[0, 0, :num_tiles]
    if "image_grid_thw" in inputs:
        call = {key: inputs[key] for key in ("pixel_values", "image_grid_thw")}
        return core.get_image_features(**call).pooler_output[0][None]
    keys = ["pixel_values"]
    if name not in ("llava-1.5", "llava-siglip-2-layers"):
        keys.append("image_sizes")
    call = {key: inputs[key] for key in keys if key in inputs}
    found: list[torch.Tensor] = []
    module = getattr(core, "connector", None) or getattr(core, "multi_modal_projector", None)
    handle = module.register_forward_hook(lambda *call: found.append(call[2]))
    core.get_image_features(**call)
    handle.remove()
    return found[-1] if found[-1].ndim == 3 else found[-1][None]


def their_pixels(inputs: dict[str, Any]) -> torch.Tensor:
    """(views, 3, H, W), or the patches of one view as they are fed."""
    pixels = inputs["pixel_values"]
    if "aspect_ratio_mask" in inputs:
        return pixels[0, 0, : int(inputs["aspect_ratio_mask"].sum())]
    if "spatial_shapes" in inputs:
        return pixels[:, : int(inputs["pixel_attention_mask"].sum())]
    return pixels.flatten(0, -4) if pixels.ndim >= 4 else pixels


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
        if encoder.spec.output == "projected" and encoder.spec.family not in ("clip", "siglip"):
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


@pytest.mark.parametrize("name", sorted({*TOWERS} - {"dinov2-registers", "internvit"}))
def test_patches_of_a_layer_before_the_last(name: str, check: Any) -> None:
    def theirs(*call: Any) -> torch.Tensor:
        return their_patches(*call, -2)

    check(name, "layer -2", theirs, layers=(-2,))


def test_several_layers_lie_one_after_the_other(check: Any) -> None:
    def theirs(*call: Any) -> torch.Tensor:
        return torch.cat([their_patches(*call, layer) for layer in (1, -1, 0)], dim=-1)

    check("clip", "layers 1 -1 0", theirs, layers=(1, -1, 0))


@pytest.mark.parametrize("name", ["clip", "siglip", "siglip2-naflex", "dinov2", "dinov3"])
def test_pooled_vectors(name: str, check: Any) -> None:
    check(name, "pooled", their_pooled, output="pooled")


@pytest.mark.parametrize("name", ["clip", "dinov2-registers", "internvit"])
def test_class_tokens(name: str, check: Any) -> None:
    check(name, "cls", their_cls, output="cls")


@pytest.mark.parametrize("name", sorted({*WHOLES, *DUALS}))
def test_projected_vectors(name: str, check: Any) -> None:
    check(name, "projected", their_projected, output="projected")


def test_patches_of_a_whole_model_are_those_that_its_projector_reads(
    checkpoint: Callable[[str], Checkpoint],
) -> None:
    _, model, _, folder = checkpoint("llava-1.5")
    encoder = load_encoder(str(folder))
    outcome = prepared(encoder, picture(SIZES[0]))
    with torch.no_grad():
        expected = model.model.vision_tower(
            our_pixels(encoder, outcome.views, torch.zeros(1, 1, 1, 1)), output_hidden_states=True
        ).hidden_states[-2][:, 1:]
    torch.testing.assert_close(ours(encoder, outcome, torch.float32), expected, atol=1e-5, rtol=0)


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
