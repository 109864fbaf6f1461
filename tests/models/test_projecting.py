"""Projectors of one's own: read under the names others give them, drawn, and recorded."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import InternVLConfig, LlavaConfig
from transformers.models.internvl.modeling_internvl import InternVLMultiModalProjector
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

from vtok.errors import UsageError, WeightsError
from vtok.io.files import sha256_file
from vtok.models.adapting.projecting import ProjectorRequest, project
from vtok.models.adapting.projector_file import make_projector, read_projector, save_projector
from vtok.models.base import Encoder, EncoderSpec, PixelRange
from vtok.nn.projector import pixel_shuffle
from vtok.records import Grid, Size

E, D, P = 16, 24, 4


class PatchEncoder(Encoder):
    """Every pixel of a patch, cut to E channels."""

    def __init__(self, **options: object) -> None:
        super().__init__()
        self.spec = EncoderSpec(
            name="patches",
            family="fake",
            patch_px=P,
            dim=E,
            pixels=PixelRange(),
            alignment_px=P,
            **options,  # type: ignore[arg-type]
        )

    def features(self, pixels: Tensor) -> Tensor:
        patches = nn.functional.unfold(pixels, P, stride=P)  # (B, 3 P P, N)
        return patches[:, :E].transpose(1, 2)


def llava() -> nn.Module:
    vision = {"model_type": "clip_vision_model", "hidden_size": E, "num_attention_heads": 2}
    text = {"model_type": "llama", "hidden_size": D, "num_attention_heads": 2}
    return LlavaMultiModalProjector(LlavaConfig(vision_config=vision, text_config=text))


def internvl() -> nn.Module:
    vision = {"model_type": "internvl_vision", "hidden_size": E}
    text = {"model_type": "qwen2", "hidden_size": D}
    return InternVLMultiModalProjector(InternVLConfig(vision_config=vision, text_config=text))


def renamed(module: nn.Module, prefix: str, names: dict[str, str]) -> dict[str, Tensor]:
    state = {}
    for name, tensor in module.state_dict().items():
        head, _, tail = name.rpartition(".")
        state[f"{prefix}{names.get(head, head)}.{tail}"] = tensor
    return state


LLAVA_OWN = {"linear_1": "0", "linear_2": "2"}
INTERNVL_OWN = {"layer_norm": "0", "linear_1": "1", "linear_2": "3"}


@pytest.mark.parametrize(
    ("prefix", "names"),
    [
        ("", {}),
        ("multi_modal_projector.", {}),
        ("model.multi_modal_projector.", {}),
        ("model.mm_projector.", LLAVA_OWN),
        ("", LLAVA_OWN),
    ],
)
def test_llavas_projector_is_read_by_any_of_its_names(
    tmp_path: Path, prefix: str, names: dict[str, str]
) -> None:
    theirs = llava()
    state = renamed(theirs, prefix, names)
    if prefix:
        state["language_model.embed_tokens.weight"] = torch.ones(3, 2)
    save_file(state, tmp_path / "p.safetensors")
    held = read_projector(tmp_path / "p.safetensors", "mlp", 0)
    assert (held.in_dim, held.out_dim) == (E, D)
    features = torch.randn(2, 12, E)
    assert torch.equal(held.projector(features, Grid(rows=3, cols=4)), theirs(features))


@pytest.mark.parametrize(
    ("prefix", "names"), [("model.multi_modal_projector.", {}), ("mlp1.", INTERNVL_OWN)]
)
def test_internvls_projector_is_read_by_any_of_its_names(
    tmp_path: Path, prefix: str, names: dict[str, str]
) -> None:
    theirs = internvl()
    nn.init.normal_(theirs.layer_norm.weight)
    save_file(renamed(theirs, prefix, names), tmp_path / "p.safetensors")
    held = read_projector(tmp_path / "p.safetensors", "pixel-shuffle", 2)
    features, grid = torch.randn(2, 24, E), Grid(rows=4, cols=6)
    expected = theirs(pixel_shuffle(features, grid, 2))
    assert torch.equal(held.projector(features, grid), expected)


@pytest.mark.parametrize(
    ("kind", "number"), [("linear", 0), ("mlp", 0), ("pixel-shuffle", 2), ("resampler", 5)]
)
def test_what_was_saved_projects_as_before(tmp_path: Path, kind: str, number: int) -> None:
    trained = make_projector(kind, number, E, D, depth=3)  # type: ignore[arg-type]
    path = tmp_path / "p.safetensors"
    save_file(trained.state_dict(), path)
    request = ProjectorRequest(kind=kind, number=number, weights=path)  # type: ignore[arg-type]
    encoder = PatchEncoder()
    both = project(encoder, request)
    pixels = torch.randn(2, 3, 16, 24)
    expected = trained(encoder.features(pixels), Grid(rows=4, cols=6))
    assert torch.equal(both.features(pixels), expected)
    facts = both.spec.projector
    assert facts is not None
    assert (facts.in_dim, facts.out_dim, facts.seed) == (E, D, None)
    assert facts.weights_sha256 == sha256_file(path)
    grid = both.spec.token_grid(Size(height=16, width=24))
    num_tokens = both.spec.num_tokens if grid is None else grid.num_cells
    assert num_tokens == expected.shape[1]
    assert both.spec.dim == expected.shape[2] == D
    assert both.spec.output == "projected"


def test_a_resamplers_heads_are_in_its_file(tmp_path: Path) -> None:
    trained = make_projector("resampler", 5, E, D, num_heads=8)
    features, grid = torch.randn(1, 6, E), Grid(rows=2, cols=3)
    save_projector(trained, tmp_path / "p.safetensors")
    held = read_projector(tmp_path / "p.safetensors", "resampler", 5)
    assert torch.equal(held.projector(features, grid), trained(features, grid))
    save_file(trained.state_dict(), tmp_path / "q.safetensors")  # says nothing: the usual number
    other = read_projector(tmp_path / "q.safetensors", "resampler", 5)
    assert not torch.allclose(other.projector(features, grid), trained(features, grid))
    for said, problem in (("5", "5 heads do not divide"), ("many", "'many' heads cannot be")):
        save_file(trained.state_dict(), tmp_path / "r.safetensors", {"num_heads": said})
        with pytest.raises(WeightsError, match=problem):
            read_projector(tmp_path / "r.safetensors", "resampler", 5)


def test_a_linear_projector_without_bias_has_none(tmp_path: Path) -> None:
    weight = torch.randn(D, E)
    save_file({"weight": weight}, tmp_path / "p.safetensors")
    held = read_projector(tmp_path / "p.safetensors", "linear", 0)
    features = torch.randn(1, 4, E)
    torch.testing.assert_close(held.projector(features, Grid(rows=2, cols=2)), features @ weight.T)


def test_a_draw_is_of_its_seed_and_disturbs_no_other() -> None:
    state = torch.random.get_rng_state()
    first, again, other = (
        project(PatchEncoder(), ProjectorRequest(kind="mlp", dim=D, seed=seed))
        for seed in (3, 3, 4)
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.spec == again.spec != other.spec
    pixels = torch.randn(1, 3, 8, 8)
    assert torch.equal(first.features(pixels), again.features(pixels))
    assert not torch.allclose(first.features(pixels), other.features(pixels))
    facts = first.spec.projector
    assert facts is not None
    assert facts.seed == 3


def test_squares_ask_for_aligned_views() -> None:
    request = ProjectorRequest(kind="pixel-shuffle", number=3, dim=D)
    assert project(PatchEncoder(), request).spec.alignment_px == 3 * P
    fixed = PatchEncoder(size_policy="fixed", fixed_size=Size(height=16, width=16))
    with pytest.raises(UsageError, match="4x4 patches, which squares of 3 do not divide"):
        project(fixed, request)


def shorter(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**state, "mlp.0.weight": state["mlp.0.weight"][:, 1:].contiguous()}


def not_finite(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**state, "mlp.2.bias": torch.full((D,), torch.nan)}


def other(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"strange.{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (shorter, "takes vectors of 15, and patches gives 16"),
        (not_finite, "not finite: mlp.2.bias"),
        (other, "no mlp projector is in it; there are: strange.mlp.0.bias"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    tmp_path: Path, spoil: Callable[[dict[str, Tensor]], dict[str, Tensor]], problem: str
) -> None:
    path = tmp_path / "p.safetensors"
    save_file(spoil(make_projector("mlp", 0, E, D).state_dict()), path)
    with pytest.raises(WeightsError, match=problem):
        project(PatchEncoder(), ProjectorRequest(kind="mlp", weights=path))


def test_requests_that_cannot_be_met_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    save_file(make_projector("resampler", 5, E, D).state_dict(), path)
    with pytest.raises(WeightsError, match="resampler:5"):
        project(PatchEncoder(), ProjectorRequest(kind="resampler", number=6, weights=path))
    with pytest.raises(UsageError, match="leave --projector-dim out"):
        project(PatchEncoder(), ProjectorRequest(kind="resampler", number=5, weights=path, dim=7))
    with pytest.raises(UsageError, match="takes patches, and patches gives pooled"):
        project(PatchEncoder(output="pooled", num_tokens=1), ProjectorRequest(kind="mlp"))
    with pytest.raises(WeightsError, match="No such file"):
        project(PatchEncoder(), ProjectorRequest(kind="mlp", weights=tmp_path / "none"))
    (tmp_path / "text.safetensors").write_text("not weights")
    with pytest.raises(WeightsError, match="damaged"):
        project(PatchEncoder(), ProjectorRequest(kind="mlp", weights=tmp_path / "text.safetensors"))
