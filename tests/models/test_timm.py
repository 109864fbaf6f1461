"""Models of timm as encoders: a stand-in with timm's public interface, and timm itself where it is.

The stand-in is put in `sys.modules`; what vtok makes of its files is compared with calling it.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vtok.errors import UsageError, WeightsError
from vtok.models.registry import load_encoder, load_sequence
from vtok.records import Grid, Size

SIDE, PATCH, DIM, NUM_CLASSES = 32, 8, 12, 5
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]
PRETRAINED = {
    "input_size": [3, SIDE, SIDE], "mean": MEAN, "std": STD, "interpolation": "bilinear",
    "crop_pct": 0.9, "crop_mode": "center", "classifier": "head", "fixed_input_size": True,
}  # fmt: skip


class TinyViT(nn.Module):
    """Tokens: a class token, a register, the patches."""

    num_prefix_tokens = 2
    num_features = head_hidden_size = DIM

    def __init__(self, num_classes: int, pretrained_cfg: dict[str, Any]) -> None:
        super().__init__()
        self.pretrained_cfg = pretrained_cfg
        self.feature_info = [{"num_chs": DIM, "reduction": PATCH, "module": "blocks.0"}]
        self.patch_embed = nn.Conv2d(3, DIM, PATCH, PATCH)
        self.prefix = nn.Parameter(torch.randn(1, 2, DIM))
        self.pos_embed = nn.Parameter(torch.randn(1, (SIDE // PATCH) ** 2, DIM))
        self.block = nn.TransformerEncoderLayer(DIM, 3, 16, batch_first=True, norm_first=True)
        self.head = nn.Linear(DIM, num_classes) if num_classes else nn.Identity()

    def forward_features(self, x: Tensor) -> Tensor:
        patches = self.patch_embed(x).flatten(2).transpose(1, 2) + self.pos_embed
        tokens: Tensor = self.block(torch.cat([self.prefix.expand(len(x), -1, -1), patches], 1))
        return tokens

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        pooled = x[:, 2:].mean(1)
        return pooled if pre_logits else self.head(pooled)


class TinyMaps(nn.Module):
    """A map (B, D, h, w); its head has more channels than the map."""

    num_features, head_hidden_size = DIM, 2 * DIM

    def __init__(self, num_classes: int, pretrained_cfg: dict[str, Any]) -> None:
        super().__init__()
        self.pretrained_cfg = pretrained_cfg
        self.feature_info = [{"num_chs": DIM, "reduction": PATCH, "module": "stem"}]
        self.stem = nn.Conv2d(3, DIM, PATCH, PATCH)
        self.norm = nn.BatchNorm2d(DIM)
        self.neck = nn.Linear(DIM, 2 * DIM)
        self.head = nn.Linear(2 * DIM, num_classes) if num_classes else nn.Identity()

    def forward_features(self, x: Tensor) -> Tensor:
        found: Tensor = self.norm(self.stem(x))
        return found

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        pooled: Tensor = self.neck(x.mean((2, 3)))
        return pooled if pre_logits else self.head(pooled)


class TinyMapsLast(TinyMaps):
    """A map (B, h, w, D)."""

    output_fmt = "NHWC"

    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x).permute(0, 2, 3, 1)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        return super().forward_head(x.permute(0, 3, 1, 2), pre_logits)


NETWORKS = {"tiny_vit": TinyViT, "tiny_maps": TinyMaps, "tiny_maps_last": TinyMapsLast}
Saved = Callable[..., tuple[Any, Path]]


def create_model(
    name: str, pretrained: bool, num_classes: int, pretrained_cfg: dict[str, Any]
) -> nn.Module:
    assert not pretrained
    if name not in NETWORKS:
        raise RuntimeError(f"Unknown model ({name})")
    return NETWORKS[name](num_classes, pretrained_cfg)


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Saved:
    """Save a random network as timm does; return it and its folder."""
    module = ModuleType("timm")
    module.create_model = create_model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", module)

    def save(
        name: str,
        *,
        prefix: str = "",
        change: Callable[[dict[str, Tensor]], Any] = len,
        **config: Any,
    ) -> tuple[Any, Path]:
        torch.manual_seed(3)
        network = create_model(name, False, NUM_CLASSES, PRETRAINED).eval()
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.1, 0.9)
        state = {prefix + key: tensor.clone() for key, tensor in network.state_dict().items()}
        change(state)
        save_file(state, tmp_path / "model.safetensors")
        facts = {
            "architecture": name, "num_classes": NUM_CLASSES, "num_features": DIM,
            "pretrained_cfg": PRETRAINED, **config,
        }  # fmt: skip
        (tmp_path / "config.json").write_text(json.dumps(facts))
        return network, tmp_path

    return save


def pixels() -> Tensor:
    return torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_patches_and_pooled_are_those_of_the_network(saved: Saved, name: str) -> None:
    network, folder = saved(name)
    states = network.forward_features(pixels())
    cells = [(row, col) for row in range(4) for col in range(4)]
    rows = {
        "tiny_vit": lambda: states[:, 2:],
        "tiny_maps": lambda: torch.stack([states[:, :, i, j] for i, j in cells], 1),
        "tiny_maps_last": lambda: torch.stack([states[:, i, j] for i, j in cells], 1),
    }[name]()
    encoder = load_encoder(str(folder))
    assert torch.equal(encoder.features(pixels()), rows)
    pooled = load_encoder(str(folder), output="pooled")
    expected = network.forward_head(states, pre_logits=True)
    assert torch.equal(pooled.features(pixels()), expected[:, None])
    assert pooled.spec.dim == expected.shape[1]
    assert len(encoder.weights_sha256) == 64
    assert not any("head" in key for key in encoder.state_dict())


@torch.inference_mode()
def test_the_class_token_and_who_has_none(saved: Saved) -> None:
    network, folder = saved("tiny_vit")
    encoder = load_encoder(str(folder), output="cls")
    assert torch.equal(encoder.features(pixels()), network.forward_features(pixels())[:, :1])
    _, folder = saved("tiny_maps")
    with pytest.raises(UsageError, match="has no cls output"):
        load_encoder(str(folder), output="cls")


def test_size_range_and_crop_are_those_of_its_configuration(saved: Saved) -> None:
    spec = load_encoder(str(saved("tiny_vit")[1])).spec
    assert spec.fixed_size == Size(height=SIDE, width=SIDE)
    assert spec.token_grid(Size(height=SIDE, width=SIDE)) == Grid(rows=4, cols=4)
    assert (spec.pixels.mean, spec.pixels.std) == (tuple(MEAN), tuple(STD))
    assert spec.scheme == "centre-crop"
    assert spec.scheme_options == {
        "tile_size_px": 32, "short_side_px": 35, "patch_px": 8, "resample": "bilinear",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "scheme"),
    [({}, "centre-crop"), ({"crop_mode": "border"}, None), ({"input_size": [3, 32, 64]}, None)],
)
def test_a_crop_that_no_scheme_follows_is_said(
    saved: Saved, change: dict[str, Any], scheme: str | None
) -> None:
    encoder = load_encoder(str(saved("tiny_maps", pretrained_cfg={**PRETRAINED, **change})[1]))
    assert encoder.spec.scheme == scheme
    assert ("as its pretrained_cfg has timm do" in encoder.note) == (scheme is None)


@torch.inference_mode()
def test_patches_may_leave_pixels_over(saved: Saved) -> None:
    """SigLIP's 384 px are 27 patches of 14, and a rest that the convolution drops."""
    uneven = {**PRETRAINED, "input_size": [3, 36, 36]}
    network, folder = saved("tiny_vit", pretrained_cfg=uneven)
    encoder = load_encoder(str(folder))
    assert encoder.spec.token_grid(Size(height=36, width=36)) == Grid(rows=4, cols=4)
    views = torch.randn(1, 3, 36, 36)
    assert torch.equal(encoder.features(views), network.forward_features(views)[:, 2:])


@torch.inference_mode()
def test_the_wrapper_of_transformers_and_the_flat_form_are_taken_too(saved: Saved) -> None:
    network, folder = saved("tiny_vit", model_type="timm_wrapper", prefix="timm_model.")
    expected = network.forward_features(pixels())[:, 2:]
    assert torch.equal(load_encoder(str(folder)).features(pixels()), expected)
    _, folder = saved("tiny_vit", model_args={"num_classes": NUM_CLASSES})  # as timm writes it
    assert torch.equal(load_encoder(str(folder)).features(pixels()), expected)
    (folder / "config.json").write_text(json.dumps({"architecture": "tiny_vit", **PRETRAINED}))
    assert torch.equal(load_encoder(str(folder)).features(pixels()), expected)


@torch.inference_mode()
def test_old_names_are_renamed_as_timm_renames_them(
    saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, folder = saved(
        "tiny_vit", change=lambda state: state.update(registers=state.pop("prefix"))
    )

    def rename(state: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
        return {{"registers": "prefix"}.get(key, key): tensor for key, tensor in state.items()}

    with pytest.raises(WeightsError, match=r"missing: prefix$"):
        load_encoder(str(folder))
    monkeypatch.setattr(sys.modules[__name__], "checkpoint_filter_fn", rename, raising=False)
    found = load_encoder(str(folder)).features(pixels())
    assert torch.equal(found, network.forward_features(pixels())[:, 2:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("pos_embed"), r"missing: pos_embed$"),
        (lambda state: state.update(other=torch.ones(2)), r"not of this architecture: other$"),
        (lambda state: state.update(prefix=torch.ones(1, 3, DIM)), r"another shape .*: prefix$"),
        (lambda state: state["prefix"].fill_(float("nan")), r"prefix is not finite$"),
    ],
    ids=["missing", "extra", "shape", "nan"],
)
def test_wrong_tensors_are_named(
    saved: Saved, change: Callable[[dict[str, Tensor]], Any], message: str
) -> None:
    _, folder = saved("tiny_vit", change=change)
    with pytest.raises(WeightsError, match=message):
        load_encoder(str(folder))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"architecture": "no_such_model"}, r"Unknown model \(no_such_model\)"),
        ({"architecture": "hf-hub:other/model"}, "is not a name of timm's"),
        ({"model_args": {"checkpoint_path": "evil.pth"}}, "model_args has checkpoint_path"),
        ({"pretrained_cfg": {**PRETRAINED, "input_size": [1, 32, 32]}}, "pictures in RGB"),
        (
            {
                "architecture": "tiny_maps",
                "pretrained_cfg": {**PRETRAINED, "input_size": [3, 36, 36]},
            },
            r"8 px a side, .* divide",
        ),
    ],
    ids=["unknown", "hub", "pickle", "grey", "uneven"],
)
def test_a_configuration_that_is_not_followed_is_one_line(
    saved: Saved, config: dict[str, Any], message: str
) -> None:
    _, folder = saved("tiny_vit", **config)
    with pytest.raises(WeightsError, match=message) as caught:
        load_encoder(str(folder))
    assert "\n" not in str(caught.value)


def test_what_it_does_not_have_is_said(saved: Saved) -> None:
    name = str(saved("tiny_vit")[1])
    with pytest.raises(UsageError, match="no projected output"):
        load_encoder(name, output="projected")
    with pytest.raises(UsageError, match="no choice of --layer"):
        load_encoder(name, layers=(-1,))
    with pytest.raises(UsageError, match=r"--packed: .* has no language model"):
        load_sequence(name)


def test_without_timm_one_line_says_how_to_get_it(
    saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = saved("tiny_vit")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(WeightsError, match=r"needs timm \(.*timm.*\): pip install timm$") as caught:
        load_encoder(str(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224", "resnet18", "swin_tiny_patch4_window7_224"]
)
@torch.inference_mode()
def test_timm_itself(name: str, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm", exc_type=ImportError, reason="timm is not installed")
    torch.manual_seed(3)
    network = timm.create_model(name, pretrained=False).eval()
    timm.models.save_for_hf(network, tmp_path, safe_serialization=True)
    side = network.pretrained_cfg["input_size"][1]
    views = torch.randn(2, 3, side, side)
    states = network.forward_features(views)
    encoder = load_encoder(str(tmp_path))
    if states.ndim == 3:
        expected = states[:, 1:]
    else:
        expected = states.flatten(1, 2) if name.startswith("swin") else states.flatten(2).mT
    torch.testing.assert_close(encoder.features(views), expected)
    pooled = load_encoder(str(tmp_path), output="pooled").features(views)[:, 0]
    torch.testing.assert_close(pooled, network.forward_head(states, pre_logits=True))
