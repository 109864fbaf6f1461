"""RQ-VAE: how its codebooks are stored, and what shows up a mistake in reading them."""

from pathlib import Path

import pytest
import torch
from checkpoints import rqvae
from parity import errors, references
from torch import Tensor

from vtok.codeshape import CodeShape
from vtok.errors import WeightsError
from vtok.models.registry import load_tokenizer
from vtok.nn.quantizer import ResidualQuantizer, VectorQuantizer
from vtok.records import Size

STATE = "state_dict"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "rq-vae"
    folder.mkdir()
    return rqvae(folder)


def _changed(source: Path, **tensors: Tensor | None) -> str:
    """The model with tensors changed, or left out; `book_1` is the codebook of depth 1."""
    held = torch.load(source / "model.pt", weights_only=True)
    for name, tensor in tensors.items():
        key = f"quantizer.codebooks.{name.removeprefix('book_')}.weight"
        if tensor is None:
            del held[STATE][key]
        else:
            held[STATE][key] = tensor
    torch.save(held, source / "model.pt")
    return str(source)


def test_indices_are_as_deep_as_there_are_codebooks(source: Path) -> None:
    spec = load_tokenizer(str(source)).spec
    assert (spec.family, spec.codebook_size, spec.downsample) == ("rq-vae", 128, 4)
    assert spec.codes == CodeShape(kind="deep-grid", depth=4)
    assert spec.index_dtype.name == "uint8"
    assert spec.index_shape(Size(height=32, width=64)) == (8, 16, 4)
    assert spec.image_size((8, 16, 4)) == Size(height=32, width=64)


def test_one_codebook_is_kept_once(source: Path) -> None:
    quantizer = load_tokenizer(str(source)).quantizer
    assert isinstance(quantizer, ResidualQuantizer)
    assert len({id(step) for step in quantizer.steps}) == 1
    pointers = {step.codebook.data_ptr() for step in quantizer.steps}  # type: ignore[union-attr]
    assert len(pointers) == 1


def test_depths_with_codebooks_of_their_own(source: Path) -> None:
    own = torch.randn(129, 32, generator=torch.Generator().manual_seed(1))
    tokenizer = load_tokenizer(_changed(source, book_2=own))
    quantizer = tokenizer.quantizer
    assert isinstance(quantizer, ResidualQuantizer)
    assert len({id(step) for step in quantizer.steps}) == 4
    indices = torch.tensor([[[[0, 0, 5, 0]]]])
    expected = own[5] + 3 * quantizer.steps[0].lookup(torch.tensor(0))  # type: ignore[operator]
    torch.testing.assert_close(tokenizer.lookup(indices).flatten(), expected)


def test_a_row_of_no_code_is_seen(source: Path) -> None:
    """Were it kept, one more code could be the nearest: zeros here, as its authors store it."""
    plain = load_tokenizer(str(source))
    book = torch.load(source / "model.pt", weights_only=True)[STATE]["quantizer.codebooks.0.weight"]
    with_padding = VectorQuantizer(129, 32)
    with_padding.codebook = torch.cat((book[:-1], torch.zeros(1, 32)))
    plain.quantizer = ResidualQuantizer([with_padding] * 4)
    _, wrong, _, _ = errors(plain, references("rq-vae"), "sq")
    assert wrong > 0


def test_the_order_of_depths_is_seen(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = load_tokenizer(str(source))
    quantize = ResidualQuantizer.quantize
    monkeypatch.setattr(
        ResidualQuantizer, "quantize", lambda self, latents: quantize(self, latents).flip(-1)
    )
    _, wrong, total, _ = errors(tokenizer, references("rq-vae"), "ns")
    assert wrong > total / 2


def test_averages_of_training_are_not_the_codes(source: Path) -> None:
    """`embed_ema` is a sum that its counts divide: the weight alone is what is looked up."""
    tokenizer = load_tokenizer(str(source))
    book = torch.load(source / "model.pt", weights_only=True)[STATE]["quantizer.codebooks.0.weight"]
    zero = torch.zeros(1, 1, 1, 4, dtype=torch.int64)
    torch.testing.assert_close(tokenizer.lookup(zero).flatten(), 4 * book[0])


def test_what_cannot_be_is_said(source: Path) -> None:
    with pytest.raises(WeightsError, match="different sizes"):
        load_tokenizer(_changed(source, book_1=torch.zeros(65, 32)))
    with pytest.raises(WeightsError, match="missing: one of the codebooks"):
        load_tokenizer(_changed(source, book_1=None))


def test_several_cells_to_a_code_are_refused(source: Path) -> None:
    wide = {f"book_{depth}": torch.zeros(129, 128) for depth in range(4)}
    with pytest.raises(WeightsError, match="several cells share a code"):
        load_tokenizer(_changed(source, **wide))
