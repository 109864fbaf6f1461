"""Weights into modules: every tensor accounted for, averages preferred, claims not believed."""

import os
from pathlib import Path

import pytest
import torch
from checkpoints import chameleon, chameleon_hf, llamagen, open_magvit2, rewrite_json
from safetensors.torch import load_file, save_file

from vtok.errors import UnknownNameError, WeightsError
from vtok.models.files.checkpoint import model_state
from vtok.models.files.pickles import read_pickle
from vtok.models.files.weights import open_folder
from vtok.models.registry import load_encoder, load_tokenizer


def test_missing_extra_and_misshapen_tensors_are_named(tmp_path: Path) -> None:
    path = chameleon_hf(tmp_path) / "model.safetensors"
    state = load_file(path)
    del state["encoder.down.1.block.0.conv1.weight"]
    state["encoder.another.weight"] = torch.zeros(1)
    state["quant_conv.bias"] = torch.zeros(5)
    state["encoder.norm_out.bias"][0] = torch.inf
    save_file(state, path)
    with pytest.raises(WeightsError) as caught:
        load_tokenizer(str(tmp_path))
    message = str(caught.value)
    assert "missing: encoder.down.1.block.0.conv1.weight" in message
    assert "not of this architecture: encoder.another.weight" in message
    assert "of another shape: quant_conv.bias (5, not 32)" in message
    assert "not finite: encoder.norm_out.bias" in message


def test_a_level_that_the_configuration_has_is_missed(tmp_path: Path) -> None:
    path = chameleon_hf(tmp_path) / "model.safetensors"
    state = {n: t for n, t in load_file(path).items() if not n.startswith("encoder.down.3.")}
    save_file(state, path)
    with pytest.raises(WeightsError, match=r"missing: encoder\.down\.3\.block"):
        load_tokenizer(str(tmp_path))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("num_embeddings", 1 << 23, "of another shape: quantizer.codebook"),
        ("num_embeddings", 1 << 40, "num_embeddings cannot be"),
        ("base_channels", 1 << 13, "of another shape"),
        ("base_channels", 48, "not a multiple of 32"),
        ("num_res_blocks", 1 << 30, "num_res_blocks cannot be"),
        ("channel_multiplier", [1] * 1000, "channel_multiplier cannot be"),
        ("channel_multiplier", "1111", "channel_multiplier cannot be"),
        ("embed_dim", None, "embed_dim cannot be None"),
        ("double_latent", True, "doubled latents"),
    ],
)
def test_a_configuration_cannot_claim_anything(
    field: str, value: object, message: str, tmp_path: Path
) -> None:
    """8 M codes of 32 channels would be 1 GB: they are refused before that is allocated."""
    chameleon_hf(tmp_path)
    rewrite_json(tmp_path / "config.json", **{field: value})
    with pytest.raises(WeightsError, match=message):
        load_tokenizer(str(tmp_path))


def test_a_file_of_a_tebibyte_is_not_hashed_to_find_that_it_is_damaged(tmp_path: Path) -> None:
    path = chameleon_hf(tmp_path) / "model.safetensors"
    os.truncate(path, 1 << 40)  # of holes: hashing them would take half an hour
    with pytest.raises(WeightsError, match=r"model\.safetensors: damaged \(.*get the file again"):
        load_tokenizer(str(tmp_path))


def test_averages_win_and_losses_go(tmp_path: Path) -> None:
    state = model_state(read_pickle(open_magvit2(tmp_path) / "model.ckpt"))
    assert not [name for name in state if name.startswith(("loss", "model_ema"))]
    held = read_pickle(tmp_path / "model.ckpt")
    assert isinstance(held, dict)
    averaged = held["state_dict"]["model_ema.encoderconv_inweight"]
    assert torch.equal(state["encoder.conv_in.weight"], averaged)


def test_averages_that_belong_to_nothing_are_an_error() -> None:
    tensor = torch.zeros(1)
    with pytest.raises(WeightsError, match="average of no tensor"):
        model_state({"a.b": tensor, "model_ema.ac": tensor})
    with pytest.raises(WeightsError, match=r"a\.b.*or of.*ab|ab.*or of.*a\.b"):
        model_state({"a.b": tensor, "ab": tensor, "model_ema.ab": tensor})


def test_containers_by_preference() -> None:
    one, two, three = ({"w": torch.full((1,), float(n))} for n in range(3))
    assert model_state({"model": one, "ema": two, "state_dict": three})["w"] == 1
    assert model_state({"model": one, "state_dict": three})["w"] == 0
    assert model_state({"state_dict": three, "ema": {}})["w"] == 2
    assert model_state({"module.w": torch.ones(1)})["w"] == 1
    assert model_state({"gen_vision_model.w": torch.ones(1), "llm.w": torch.zeros(1)})["w"] == 1
    with pytest.raises(WeightsError, match="no tensors"):
        model_state({"epoch": 3})


def test_the_family_comes_from_the_content(tmp_path: Path) -> None:
    for write, family in ((chameleon, "taming"), (llamagen, "llamagen")):
        folder = tmp_path / family
        folder.mkdir()
        assert load_tokenizer(str(write(folder))).spec.family == family


def test_the_family_can_be_said(tmp_path: Path) -> None:
    """IBQ's files look like taming's: the search alone differs."""
    folder = chameleon(tmp_path)
    tokenizer = load_tokenizer(str(folder), family="ibq")
    assert tokenizer.spec.family == "ibq"
    latents = torch.randn(1, 32, 4, 4, generator=torch.Generator().manual_seed(0))
    taming = load_tokenizer(str(folder))
    assert not torch.equal(tokenizer.quantize(latents), taming.quantize(latents))
    with pytest.raises(UnknownNameError, match="did you mean llamagen"):
        load_tokenizer(str(folder), family="lamagen")
    with pytest.raises(WeightsError, match="not of this architecture: quantize"):
        load_tokenizer(str(folder), family="show-o")


def test_a_weights_file_is_a_name_too(tmp_path: Path) -> None:
    folder = chameleon(tmp_path)
    one, other = load_tokenizer(str(folder)), load_tokenizer(str(folder / "vqgan.ckpt"))
    assert one.weights_sha256 == other.weights_sha256 != ""
    assert other.spec.name == str(folder / "vqgan.ckpt")


def test_without_its_configuration_the_tensors_say_the_same(tmp_path: Path) -> None:
    for write in (chameleon, open_magvit2):
        folder = tmp_path / write.__name__
        folder.mkdir()
        told = load_tokenizer(str(write(folder)))
        next(folder.glob("*.yaml")).unlink()
        inferred = load_tokenizer(str(folder), family=told.spec.family)
        assert inferred.state_dict().keys() == told.state_dict().keys()
        assert (inferred.spec.downsample, inferred.spec.codebook_size) == (
            told.spec.downsample,
            told.spec.codebook_size,
        )


def test_unclear_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no weights"):
        open_folder(tmp_path)
    for name in ("a.ckpt", "b.ckpt"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(WeightsError, match=r"which weights: a\.ckpt, b\.ckpt"):
        open_folder(tmp_path)
    (tmp_path / "b.ckpt").unlink()
    (tmp_path / "c.yaml").write_text("a: !!python/object/apply:os.system ['true']")
    with pytest.raises(WeightsError, match="not plain YAML"):
        open_folder(tmp_path)


def test_a_file_of_nothing_known(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="of no known family"):
        load_tokenizer(str(tmp_path))
    with pytest.raises(WeightsError, match="no continuous features"):
        load_encoder(str(tmp_path))


def test_a_model_without_a_decoder_says_so(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(chameleon_hf(tmp_path)))
    with pytest.raises(WeightsError, match="cannot decode: its weights have no decoder"):
        tokenizer.decode_indices(torch.zeros(1, 2, 2, dtype=torch.long))
