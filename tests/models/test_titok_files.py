"""TiTok's files: what they need not say, and what is refused in a line."""

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from parity import (
    MAX_LATENT_ERROR,
    errors,
    references,
)
from safetensors.torch import save_file
from titok_checkpoints import LABELS, hub, model

from vtok.errors import WeightsError
from vtok.models.building import tokenizer_parts
from vtok.models.files import fetching
from vtok.models.files.weights import ModelFolder, load_model
from vtok.models.registry import load_tokenizer


@pytest.mark.parametrize(
    ("label", "extra", "drop", "why"),
    [
        ("titok", {}, ("pixel_",), "first of two training stages"),
        ("titok-vq8k", {"decoder.text_guidance_proj.weight": (192, 8)}, (), "reads a caption"),
        ("titok-vq8k", {}, ("decoder.",), "its weights have no decoder"),
    ],
)
def test_one_that_cannot_decode_still_encodes(
    label: str, extra: dict[str, tuple[int, ...]], drop: tuple[str, ...], why: str, tmp_path: Path
) -> None:
    config, state = model(label)
    state = {name: tensor for name, tensor in state.items() if not name.startswith(drop or "-")}
    state |= {name: torch.zeros(shape) for name, shape in extra.items()}
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    tokenizer = load_tokenizer(str(tmp_path))
    assert not tokenizer.spec.can_decode
    latents, wrong, _, decoded = errors(tokenizer, references(label), "sq")
    assert (latents <= MAX_LATENT_ERROR, wrong, decoded) == (True, 0, None)
    with pytest.raises(WeightsError, match=f"cannot decode: .*{why}"):
        tokenizer.decode_indices(torch.from_numpy(references(label)["idx_sq"].astype(np.int64)))


def test_a_continuous_one_is_refused(tmp_path: Path) -> None:
    config, state = model("titok-vq8k")
    del state["quantize.embedding.weight"]
    config["model"]["vq_model"]["quantize_mode"] = "vae"
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="a TiTok VAE: its tokens are vectors"):
        load_tokenizer(str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_l2_norm": "yes"}, "use_l2_norm cannot be 'yes'"),
        ({"is_legacy": False}, "is_legacy cannot be False with these tensors"),
        ({"num_latent_tokens": 64}, "num_latent_tokens cannot be 64: the tensors have 32"),
        ({"codebook_size": 4096}, "codebook_size cannot be 4096: the tensors have 256"),
        ({"vit_enc_model_size": "base"}, "the encoder of a base model is 768 wide, not 128"),
    ],
)
def test_a_configuration_of_another_model_is_refused(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match=message):
        load_tokenizer(str(hub(tmp_path, "titok", **changes)))


def test_without_decoder_and_configuration_nothing_tells_the_release(tmp_path: Path) -> None:
    state = {n: t for n, t in model("titok")[1].items() if not n.startswith(("decoder.", "pixel_"))}
    torch.save(state, tmp_path / "encoder.bin")
    with pytest.raises(WeightsError, match="needs its configuration beside it"):
        load_tokenizer(str(tmp_path / "encoder.bin"))


def test_positions_that_are_no_square_are_refused(tmp_path: Path) -> None:
    state = model("titok")[1]
    state["encoder.positional_embedding"] = torch.zeros(16, 128)
    torch.save(state, tmp_path / "odd.bin")
    with pytest.raises(WeightsError, match="the encoder's 15 positions are no square grid"):
        load_tokenizer(str(tmp_path / "odd.bin"))


@pytest.mark.parametrize("label", LABELS)
def test_what_is_damaged_is_refused_in_a_line(label: str) -> None:
    """Whatever field or tensor is missing, renamed or of another shape."""
    random = Random(5)
    messages = []
    for _ in range(12):
        config, state = model(label)
        if random.random() < 0.5:
            fields = random.choice([config["model"], config["model"]["vq_model"]])
            fields[random.choice(list(fields))] = random.choice([None, [], "x", -1, 1 << 40, True])
        else:
            name = random.choice(list(state))
            sides = [random.choice([0, 1, 2, 64]) for _ in range(random.choice([0, 1, 2, 4]))]
            state[name + random.choice(["", ".x"])] = torch.zeros(sides)
        try:
            parts = tokenizer_parts(config, state, name="m", family=None)
            load_model(parts.make, parts.state, ModelFolder(Path("m"), config, ""))
        except WeightsError as error:
            messages.append(str(error))
    assert len(messages) > 6
    assert not any("\n" in message for message in messages)


def test_a_file_without_its_last_layer_is_refused(tmp_path: Path) -> None:
    config, state = model("titok")
    state = {n: t for n, t in state.items() if not n.startswith("encoder.transformer.0.ln_2")}
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=r"missing: encoder\.blocks\.0\.norm2"):
        load_tokenizer(str(tmp_path))


def test_a_preset_of_another_length_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two published ones have as many codes, and differ in the length of the sequence alone."""
    config, state = model("titok")
    state["quantize.embedding.weight"] = torch.randn(4096, 12)
    config["model"]["vq_model"]["codebook_size"] = 4096
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(fetching, "hf_hub_download", lambda _, file: str(tmp_path / file))
    with pytest.raises(WeightsError, match=r"titok-b-64 should give indices \(1, 64\).*\(1, 32\)"):
        load_tokenizer("titok-b-64")
    assert load_tokenizer("titok-l-32").spec.family == "titok"
