"""open-muse's VQGAN and MoVQ: what would be subtly wrong is seen; Kandinsky's own file of MoVQ."""

from pathlib import Path

import pytest
import torch
from checkpoints import hub
from parity import MAX_DECODE_ERROR, MAX_LATENT_ERROR, errors, pixels_of, references
from torch import Tensor, nn

from vtok.models.base import PixelRange, Tokenizer
from vtok.models.families.convnet.networks import LevelBlocks
from vtok.models.families.convnet.norms import SpatialNorm
from vtok.models.registry import load_tokenizer


def made(family: str, tmp_path: Path) -> Path:
    folder = tmp_path / family
    folder.mkdir()
    return hub(folder)


def loaded(family: str, tmp_path: Path) -> Tokenizer:
    return load_tokenizer(str(made(family, tmp_path)))


@pytest.mark.parametrize("family", ["movq", "muse-vqgan"])
def test_another_pixel_range_is_seen(family: str, tmp_path: Path) -> None:
    tokenizer = loaded(family, tmp_path)
    object.__setattr__(tokenizer.spec, "pixels", PixelRange())
    latents, wrong, _, _ = errors(tokenizer, references(family), "sq")
    assert latents > 0.1
    assert wrong > 0


@pytest.mark.parametrize("family", ["movq", "muse-vqgan"])
def test_the_usual_eps_is_seen(family: str, tmp_path: Path) -> None:
    tokenizer = loaded(family, tmp_path)
    for module in tokenizer.modules():
        if isinstance(module, nn.GroupNorm):
            module.eps = 1e-5
    latents, _, _, decoded = errors(tokenizer, references(family), "ns")
    assert decoded is not None
    assert latents > MAX_LATENT_ERROR
    assert decoded.max() > MAX_DECODE_ERROR


def test_norms_that_read_no_codes_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def plain(self: SpatialNorm, x: Tensor, codes: Tensor) -> Tensor:
        normed: Tensor = self.norm(x)
        return normed

    tokenizer = loaded("movq", tmp_path)
    monkeypatch.setattr(SpatialNorm, "forward", plain)
    latents, wrong, _, decoded = errors(tokenizer, references("movq"), "ns")
    assert latents <= MAX_LATENT_ERROR
    assert wrong == 0
    assert decoded is not None
    assert decoded.max() > 0.1


def test_attention_that_its_authors_pass_over_is_seen(tmp_path: Path) -> None:
    """One block a level has one attention, which their code has weights for and does not run."""
    tokenizer = loaded("muse-vqgan", tmp_path)
    passed_over = [
        each
        for each in tokenizer.modules()
        if isinstance(each, LevelBlocks) and len(each.attn) and not each.attends
    ]
    assert len(passed_over) == 1
    passed_over[0].attends = True
    latents, wrong, _, _ = errors(tokenizer, references("muse-vqgan"), "sq")
    assert latents > MAX_LATENT_ERROR
    assert wrong > 0


def test_kandinsky_has_convolutions_and_another_range(tmp_path: Path) -> None:
    """Its own file says nothing of itself: no class, no configuration."""
    held = torch.load(made("movq", tmp_path) / "pytorch_model.bin")
    attention = (".q.weight", ".k.weight", ".v.weight", ".proj_out.weight")
    state = {n: t[:, :, None, None] if n.endswith(attention) else t for n, t in held.items()}
    (tmp_path / "own").mkdir()
    file = tmp_path / "own" / "movq_final.ckpt"
    torch.save(state, file)
    tokenizer = load_tokenizer(str(file))
    assert tokenizer.spec.family == "kandinsky-movq"
    assert tokenizer.spec.pixels == PixelRange()
    assert tokenizer.spec.downsample == 4
    stored = references("movq")
    muse = load_tokenizer(str(file), family="movq")  # the same networks, fed [0, 1]
    with torch.no_grad():
        latents = tokenizer.encode(pixels_of(muse, stored["img_ns"]))
    assert (latents - torch.from_numpy(stored["z_ns"])).abs().max() <= MAX_LATENT_ERROR
