"""What a network is said to see is what it sees: a change out of reach changes nothing.

Asked of the networks themselves: gradients of single latents and pixels, and changed inputs.
"""

import pytest
import torch
from torch import Tensor

from vtok.models.base import Tokenizer
from vtok.models.families.dalle import DalleShape, DalleTokenizer
from vtok.models.families.paella import PaellaShape, PaellaTokenizer
from vtok.models.registry import load_tokenizer
from vtok.models.vtok_base import VtokBaseTokenizer
from vtok.models.vtok_base_networks import VtokBaseConfig


def _random(tokenizer: Tokenizer) -> Tokenizer:
    """Return the tokenizer with every weight at random: the branches that start at zero too."""
    with torch.no_grad():
        for parameter in tokenizer.parameters():
            parameter.copy_(torch.randn(parameter.shape).mul(0.3))
    return tokenizer.eval()


def vtok_base(encoder: str, decoder: str, *, diffusion_sweeps: int = 0) -> Tokenizer:
    config = VtokBaseConfig(
        width=8,
        hidden=8,
        encoder_layers=encoder,
        decoder_layers=decoder,
        num_heads=1,
        window=4,
        codebook_size=16,
        code_dim=4,
        diffusion_sweeps=diffusion_sweeps,
    )
    return _random(VtokBaseTokenizer(config))


def dalle() -> Tokenizer:
    return _random(
        DalleTokenizer(DalleShape(width=8, num_blocks=1, codebook_size=16, code_dim=8), name="d")
    )


def paella(levels: int) -> Tokenizer:
    shape = PaellaShape(
        fold_px=2, width=16, num_levels=levels, num_bottleneck=2, codebook_size=16, code_dim=4
    )
    return _random(PaellaTokenizer(shape, name="p"))


def _reached(result: Tensor, place: Tensor) -> tuple[int, int]:
    """Return how far before and behind the centre a gradient is not zero, along the width."""
    (gradient,) = torch.autograd.grad(result, place)
    columns = gradient.abs().amax(dim=(0, 1, 2)).nonzero().flatten()
    return int(columns.min()), int(columns.max())


@pytest.mark.parametrize(
    ("tokenizer", "encoder_cells", "decoder_cells"),
    [
        (vtok_base("cc", "ccc"), 4, 7),
        (vtok_base("c", "c"), 2, 3),
        (dalle(), 6, 6),
        (paella(1), 1, 2),
        (paella(2), 2, 3),
        (paella(3), 3, 4),
    ],
    ids=["vtok-base", "vtok-base-small", "dalle", "paella-f2", "paella-f4", "paella-f8"],
)
def test_the_reach_is_what_gradients_find(
    tokenizer: Tokenizer, encoder_cells: int, decoder_cells: int
) -> None:
    torch.manual_seed(0)
    reach = tokenizer.reach
    assert reach is not None
    assert (reach.encoder_cells, reach.decoder_cells) == (encoder_cells, decoder_cells)
    side = tokenizer.spec.downsample
    cells = 2 * max(encoder_cells, decoder_cells) + 5
    middle = cells // 2
    pixels = torch.rand(1, 3, side, cells * side).requires_grad_()
    first, last = _reached(tokenizer.encode(pixels)[0, :, :, middle].abs().sum(), pixels)
    found = max(middle - first // side, last // side - middle)
    assert encoder_cells - 1 <= found <= encoder_cells
    codes = torch.randn(1, tokenizer.spec.code_dim, 1, cells).requires_grad_()
    shown = tokenizer.decode(codes)[0, :, :, middle * side : (middle + 1) * side]
    first, last = _reached(shown.abs().sum(), codes)
    assert max(middle - first, last - middle) == decoder_cells


def test_windows_count_whole_and_set_the_period() -> None:
    reach = vtok_base("ac", "aac").reach
    assert reach is not None
    assert (reach.encoder_cells, reach.decoder_cells, reach.period_cells) == (5, 9, 4)


def test_codes_chosen_together_see_farther_and_have_turns() -> None:
    reach = vtok_base("ac", "aac", diffusion_sweeps=2).reach
    assert reach is not None
    assert (reach.encoder_cells, reach.decoder_cells, reach.period_cells) == (5 + 7, 9, 4)
    reach = vtok_base("c", "c", diffusion_sweeps=1).reach
    assert reach is not None
    assert (reach.encoder_cells, reach.decoder_cells, reach.period_cells) == (2 + 3, 3, 2)


def test_the_shipped_model_has_one() -> None:
    tokenizer = load_tokenizer("vtok-base")
    assert tokenizer.reach is not None
    assert 0 < tokenizer.reach.encoder_cells < 64
    assert 0 < tokenizer.reach.decoder_cells < 64
