"""NVIDIA's discrete image tokenizers: what shows up a mistake, and what their files may be."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import cosmos, cosmos_plain, cosmos_state
from parity import MAX_DECODE_ERROR, MAX_LATENT_ERROR, errors, references
from programs import levels_of, save_program
from torch import Tensor, nn
from torch.nn import functional

from vtok.errors import WeightsError
from vtok.models.base import Tokenizer
from vtok.models.families.convnet.networks import Downsample
from vtok.models.files import fetching
from vtok.models.registry import load_tokenizer
from vtok.nn import patching
from vtok.nn.patching import Patching
from vtok.nn.quantizer import FiniteScalarQuantizer

State = dict[str, Tensor]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "cosmos-di16"
    folder.mkdir()
    return folder


@pytest.fixture
def tokenizer(source: Path) -> Tokenizer:
    return load_tokenizer(str(cosmos_plain(source)))


def test_what_is_stored_holds_every_index(tokenizer: Tokenizer, source: Path) -> None:
    spec = tokenizer.spec
    assert (spec.codebook_size, spec.index_dtype) == (64000, np.dtype(np.uint16))
    assert (spec.downsample, spec.alignment_px, spec.code_dim) == (16, 16, 6)
    last = torch.tensor([[[63999]]])
    assert torch.equal(tokenizer.lookup(last).flatten(), torch.tensor([3, 3, 3, 4, 4, 4]) / 4)


def test_eight_pixels_a_cell_are_padded_to_sixteen(tmp_path: Path) -> None:
    folder = tmp_path / "cosmos-di8"
    folder.mkdir()
    spec = load_tokenizer(str(cosmos_plain(folder))).spec
    assert (spec.downsample, spec.alignment_px) == (8, 16)


@pytest.mark.parametrize("name", ["", "autoencoder.jit", "encoder.jit"])
def test_each_published_file_is_the_same_model(name: str, source: Path) -> None:
    tokenizer = load_tokenizer(str(cosmos(source) / name))
    latents, wrong, _, decoded = errors(tokenizer, references("cosmos-di16"), "ns")
    assert latents <= MAX_LATENT_ERROR
    assert wrong == 0
    assert (decoded is None) == (name == "encoder.jit")
    if decoded is None:
        with pytest.raises(WeightsError, match="cannot decode"):
            tokenizer.decode_indices(torch.zeros(1, 2, 2, dtype=torch.int64))
    else:
        assert decoded.max() <= MAX_DECODE_ERROR


def test_the_usual_eps_is_seen(tokenizer: Tokenizer) -> None:
    for module in tokenizer.modules():
        if isinstance(module, nn.GroupNorm):
            module.eps = 1e-5
    _seen(tokenizer, latents=MAX_LATENT_ERROR)


def test_symmetric_padding_is_seen(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    def symmetric(self: Downsample, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight, self.bias, stride=2, padding=1)

    monkeypatch.setattr(Downsample, "forward", symmetric)
    _seen(tokenizer, latents=0.05)


def test_an_orthonormal_wavelet_is_seen(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of a sum of four instead of a quarter: what a wavelet library would give."""
    quarter = patching._haar
    monkeypatch.setattr(patching, "_haar", lambda image: 2 * quarter(image))
    _seen(tokenizer, latents=0.05)


def test_another_order_of_the_wavelets_parts_is_seen(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = patching._haar

    def across_first(image: Tensor) -> Tensor:
        mean, down, across, both = ours(image).chunk(4, dim=1)
        return torch.cat((mean, across, down, both), dim=1)

    monkeypatch.setattr(patching, "_haar", across_first)
    _seen(tokenizer, latents=0.05)


def test_plain_patches_are_seen(tokenizer: Tokenizer) -> None:
    tokenizer.patching = Patching(4, "rearrange")
    _seen(tokenizer, latents=0.05, decoded=0.05)


@pytest.mark.parametrize("levels", [(5, 5, 5, 8, 8, 8), (8, 8, 5, 8, 5, 5)])
def test_another_order_of_levels_is_seen(levels: tuple[int, ...], tokenizer: Tokenizer) -> None:
    tokenizer.quantizer = FiniteScalarQuantizer(levels)
    _seen(tokenizer, decoded=0.01)


def test_the_first_channel_as_the_largest_digit_is_seen(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def from_the_end(self: FiniteScalarQuantizer, device: torch.device) -> Tensor:
        return torch.tensor([*reversed((5, 25, 125, 1000, 8000)), 1], device=device)

    monkeypatch.setattr(FiniteScalarQuantizer, "_weights", from_the_end)
    _seen(tokenizer, decoded=0.01)


def test_levels_and_wavelets_in_a_program_are_believed(source: Path) -> None:
    tensors = _encoder(cosmos_state("cosmos-di16"))
    levels = (5, 5, 5, 5, 5, 5)
    tensors |= levels_of(levels, "quantizer")
    tensors["encoder.patcher.wavelets"] = torch.ones(2)
    tokenizer = load_tokenizer(str(save_program(tensors, source / "encoder.jit")))
    assert tokenizer.spec.codebook_size == 5**6
    assert tokenizer.patching == Patching(4, "rearrange")


def test_programs_saved_in_half_precision_are_read(source: Path) -> None:
    tensors = {n: t.bfloat16() for n, t in _encoder(cosmos_state("cosmos-di16")).items()}
    tensors["encoder.patcher.wavelets"] = torch.full((2,), 0.5**0.5).bfloat16()
    tokenizer = load_tokenizer(str(save_program(tensors, source / "encoder.jit")))
    assert tokenizer.patching == Patching(4, "haar")
    latents, _, _, _ = errors(tokenizer, references("cosmos-di16"), "ns")
    assert MAX_LATENT_ERROR < latents < 0.05


def _video(state: State) -> State:
    return {"encoder.conv_in.0.conv3d.weight": torch.zeros(4, 3, 1, 3, 3), **state}


def _continuous(state: State) -> State:
    return {**state, "quant_conv.weight": torch.zeros(16, 16, 1, 1)}


def _other_levels(state: State) -> State:
    return state | levels_of((8, 8, 8), "quantizer")


def _two_models(state: State) -> State:
    return (
        state
        | levels_of((8, 8, 8, 5, 5, 5), "quantizer")
        | levels_of((5, 5, 5, 5, 5, 5), "inv_quant.quantizer")
    )


def _big_endian(state: State) -> State:
    tables = levels_of((8, 8, 8, 5, 5, 5), "quantizer")
    tables["quantizer._basis"] = tables["quantizer._basis"].flip(0)
    return state | tables


def _no_wavelet(state: State) -> State:
    return {**state, "encoder.patcher.wavelets": torch.full((2,), 0.48)}


def _odd_patches(state: State) -> State:
    return {**state, "encoder.conv_in.weight": torch.zeros(32, 27, 3, 3)}


def _unlike_depths(state: State) -> State:
    return {n: t for n, t in state.items() if ".up.2.upsample." not in n}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_video, r"video tokenizers \(CV, DV\).*take a DI one"),
        (_continuous, r"continuous tokenizers \(CI\), which have no indices"),
        (_other_levels, "do not fit levels"),
        (_two_models, "have different levels"),
        (_big_endian, "not the order of digits"),
        (_no_wavelet, "neither Haar's nor plain"),
        (_odd_patches, "27 channels are no patches"),
        (_unlike_depths, "are not of one model"),
    ],
)
def test_what_cannot_be_is_said(
    change: Callable[[State], State], message: str, source: Path
) -> None:
    torch.save(change(cosmos_state("cosmos-di16")), source / "model.pt")
    with pytest.raises(WeightsError, match=message):
        load_tokenizer(str(source), family="cosmos")


def test_levels_may_be_in_a_configuration(source: Path) -> None:
    cosmos_plain(source)
    (source / "config.json").write_text(json.dumps({"levels": [4, 4, 4, 4, 4, 4]}))
    assert load_tokenizer(str(source)).spec.codebook_size == 4096
    (source / "config.json").write_text(json.dumps({"quantizer": "RESFSQ"}))
    with pytest.raises(WeightsError, match="quantizer 'RESFSQ' is none that was published"):
        load_tokenizer(str(source))
    (source / "config.json").write_text(json.dumps({"levels": [1 << 20] * 6}))
    with pytest.raises(WeightsError, match="levels cannot be"):
        load_tokenizer(str(source))


def test_the_preset_takes_both_programs(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch(hub_id: str, file: str) -> str:
        asked.append((hub_id, file))
        return str(source / file)

    cosmos(source)
    monkeypatch.setattr(fetching, "hf_hub_download", fetch)
    tokenizer = load_tokenizer("cosmos-di16x16")
    assert (tokenizer.spec.name, tokenizer.spec.can_decode) == ("cosmos-di16x16", True)
    hub_id = "nvidia/Cosmos-0.1-Tokenizer-DI16x16"
    assert asked == [(hub_id, "encoder.jit"), (hub_id, "decoder.jit")]
    with pytest.raises(WeightsError, match="should have 64000 codes at 1/8"):
        load_tokenizer("cosmos-di8x8")


def test_older_hub_ids_are_fetched_without_pickles(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def fetch(hub_id: str, allow_patterns: list[str]) -> str:
        assert hub_id == "nvidia/Cosmos-Tokenizer-DI16x16"
        asked.append(allow_patterns)
        if "encoder.jit" in allow_patterns:
            cosmos(source)
        return str(source)

    monkeypatch.setattr(fetching, "snapshot_download", fetch)
    assert load_tokenizer("nvidia/Cosmos-Tokenizer-DI16x16").spec.can_decode
    assert len(asked) == 2
    assert not any("*.pt" in patterns for patterns in asked)


def _encoder(state: State) -> State:
    return {n: t for n, t in state.items() if n.startswith(("encoder.", "quant_conv."))}


def _seen(tokenizer: Tokenizer, latents: float | None = None, decoded: float | None = None) -> None:
    """The parity check fails: on latents where a limit is given, on indices where none is."""
    found, wrong, _, images = errors(tokenizer, references("cosmos-di16"), "sq")
    if latents is None:
        assert wrong > 0
    else:
        assert found > latents
    if decoded is not None:
        assert images is not None
        assert images.max() > decoded
