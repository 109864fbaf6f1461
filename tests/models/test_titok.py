"""TiTok against its authors' own code, both releases of it, alone and through the commands."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from parity import MAX_DECODE_ERROR, MAX_LATENT_ERROR, assert_parity, errors, pixels_of, references
from PIL import Image
from titok_checkpoints import LABELS, hub, model, titok
from torch import Tensor, nn
from torch.nn import functional
from typer.testing import CliRunner

from vtok.cli.app import app
from vtok.errors import ShardError, UsageError
from vtok.models.families.titok import TitokTokenizer
from vtok.models.registry import convert_tokenizer, load_tokenizer
from vtok.records import Size
from vtok.resolution import Plan, render
from vtok.shards.shardset import open_shards

SAMPLES = Path(__file__).parents[2] / "sample_images"
PHOTOS = ("coffee.jpg", "camera.png")


@pytest.mark.parametrize("label", LABELS)
def test_equals_the_authors_code(label: str, tmp_path: Path) -> None:
    tokenizer = titok(tmp_path, label)
    assert tokenizer.spec.family == "titok"
    assert_parity(tokenizer, references(label), label, "sq")
    first, second = references(label)["idx_sq"]
    assert (first != second).mean() > 0.8, "the stored indices hardly depend on the image"


@pytest.mark.parametrize("label", LABELS)
def test_it_is_a_sequence_of_one_size(label: str, tmp_path: Path) -> None:
    spec = (tokenizer := titok(tmp_path, label)).spec
    length = references(label)["idx_sq"].shape[-1]
    assert str(spec.codes) == f"(1, {length})"
    assert spec.fixed_size == Size(height=64, width=64)
    assert spec.image_size((1, length)) == spec.fixed_size
    with pytest.raises(ShardError, match="cannot decode indices of shape"):
        spec.image_size((1, length + 1))
    with pytest.raises(UsageError, match="takes 64x64 alone, not 96x64"):
        tokenizer.encode(torch.zeros(1, 3, 64, 96))


@pytest.mark.parametrize("label", LABELS)
def test_a_bare_checkpoint_is_searched_as_the_published_ones(label: str, tmp_path: Path) -> None:
    torch.save(model(label)[1], tmp_path / "tokenizer.bin")
    tokenizer = load_tokenizer(str(tmp_path / "tokenizer.bin"))
    _, wrong, _, decoded = errors(tokenizer, references(label), "sq")
    assert wrong == 0
    assert decoded is not None
    assert decoded.max() <= MAX_DECODE_ERROR


def test_a_converted_one_keeps_its_search(tmp_path: Path) -> None:
    """Which its tensors do not tell: this one has no decoder of pixels, and no cosine either."""
    (tmp_path / "source").mkdir()
    source = hub(tmp_path / "source", "titok", use_l2_norm=False)
    convert_tokenizer(str(source), tmp_path / "converted")
    again = load_tokenizer(str(tmp_path / "converted"))
    assert isinstance(again, TitokTokenizer)
    assert again.quantizer.metric == "l2"
    assert again.spec.codes == load_tokenizer(str(source)).spec.codes


def other_search(tokenizer: TitokTokenizer) -> None:
    tokenizer.quantizer.metric = "l2" if tokenizer.quantizer.metric == "cosine" else "cosine"


def other_memory_order(tokenizer: TitokTokenizer) -> None:
    tokenizer.encoder.legacy = not tokenizer.encoder.legacy


def other_heads(tokenizer: TitokTokenizer) -> None:
    for block in tokenizer.encoder.blocks:
        block.attention.num_heads, block.attention.head_dim = 4, 32


def other_eps(tokenizer: TitokTokenizer) -> None:
    for module in tokenizer.encoder.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-4


def signed_pixels(tokenizer: TitokTokenizer) -> None:
    weight = tokenizer.encoder.patch_embed
    forward = weight.forward
    weight.forward = lambda pixels: forward(pixels * 2 - 1)  # type: ignore[method-assign]


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize(
    ("break_it", "moves_indices"),
    [
        (other_search, True),
        (other_memory_order, True),
        (other_heads, True),
        (signed_pixels, True),
        (other_eps, False),
    ],
)
def test_what_is_subtly_wrong_is_seen(
    label: str,
    break_it: Callable[[TitokTokenizer], None],
    moves_indices: bool,
    tmp_path: Path,
) -> None:
    tokenizer = titok(tmp_path, label)
    break_it(tokenizer)
    latents, wrong, _, _ = errors(tokenizer, references(label), "sq")
    assert (latents > MAX_LATENT_ERROR) == (break_it is not other_search)
    assert wrong > 0 or not moves_indices


def test_colours_before_places_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = titok(tmp_path, "titok-vq8k")
    shuffle = functional.pixel_shuffle

    def plain(cells: Tensor, side: int) -> Tensor:
        batch, channels, rows, columns = cells.shape
        back = cells.reshape(batch, 3, side**2, rows, columns).transpose(1, 2)
        return shuffle(back.reshape(batch, channels, rows, columns), side)

    monkeypatch.setattr(functional, "pixel_shuffle", plain)
    decoded = errors(tokenizer, references("titok-vq8k"), "sq")[3]
    assert decoded is not None
    assert decoded.max() > 0.1


def test_the_hardest_proxy_is_not_the_mixture(tmp_path: Path) -> None:
    tokenizer = titok(tmp_path, "titok")
    assert tokenizer.decoder is not None
    grid = tokenizer.decoder.forward
    tokenizer.decoder.forward = lambda codes: grid(codes) * 1e4  # type: ignore[method-assign]
    decoded = errors(tokenizer, references("titok"), "sq")[3]
    assert decoded is not None
    assert decoded.max() > 0.01


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(each) for each in arguments], prog_name="vtok")
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_commands_take_it_from_photographs_and_back(tmp_path: Path) -> None:
    """Crops of its size, indices (1, 32) in the smallest dtype, the words for them, and images."""
    (tmp_path / "model").mkdir()
    tokenizer = titok(tmp_path / "model", "titok")
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for name in PHOTOS:
        shutil.copy(SAMPLES / name, photos / name)
    (photos / "cut.jpg").write_bytes((SAMPLES / PHOTOS[0]).read_bytes()[:2000])
    quick = ("--workers", 0, "--max-failure-rate", 0.5, "--quiet")
    run("encode-vq", photos, out, "--model", tmp_path / "model", "--size", 64, *quick)
    samples = list(open_shards(str(out)))
    assert [sample.array.shape for sample in samples] == [(1, 32)] * len(PHOTOS)
    assert {sample.array.dtype for sample in samples} == {np.dtype(np.uint8)}
    for sample in samples:
        assert sample.meta["token_grids"] == {}
        assert sample.meta["tokens"] == sample.array.size, "not one a patch of the scheme's"
        with Image.open(photos / sample.meta["source"]) as image:
            (view,) = render(Plan.from_json(sample.meta), image.convert("RGB"))
        with torch.inference_mode():
            expected = tokenizer.tokenize(pixels_of(tokenizer, view[None]))[0].numpy()
        assert (sample.array == expected).mean() > 0.9, "all but what batches round otherwise"
    assert "indices (1, 32): 32 positions of a sequence" in run("inspect", out)
    assert "whole" in run("verify", out, "--decode", 2, "--min-psnr", 0)
    run("models", "convert", tmp_path / "model", tmp_path / "converted")
    run("decode-vq", out, tmp_path / "back", "--model", tmp_path / "converted", "--quiet")
    for path in (tmp_path / "back").glob("*.png"):
        with Image.open(path) as image:
            assert image.size == (64, 64)
    assert len(list((tmp_path / "back").glob("*.png"))) == len(PHOTOS)
    stable = run(
        "inspect", photos / PHOTOS[0], "--stability", "--model", tmp_path / "model", "--size", 64
    )
    assert "of 32" in stable
