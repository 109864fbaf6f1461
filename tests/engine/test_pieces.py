"""Large views in pieces: exact where the reach is finite, blended without seams where it is not."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from fake_models import BlockTokenizer
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vtok.engine.coding import DecodeForward, TokenizeForward
from vtok.engine.pieces import Cut, Pieces, blended_cuts, exact_cuts
from vtok.engine.piecewise import assembled_latents, assembled_pixels
from vtok.errors import DeviceError, UsageError
from vtok.models.base import PixelRange, Tokenizer
from vtok.models.families.convnet.networks import TAMING
from vtok.models.families.convnet.shape import ConvShape, Level, Stack
from vtok.models.families.convnet.tokenizer import ConvTokenizer
from vtok.models.families.dalle import DalleShape, DalleTokenizer
from vtok.models.reach import Reach
from vtok.models.vtok_base import VtokBaseTokenizer
from vtok.models.vtok_base_networks import VtokBaseConfig
from vtok.records import Grid, Size

CPU = torch.device("cpu")


def randomised(tokenizer: Tokenizer, scale: float) -> Tokenizer:
    """Return the tokenizer with every parameter drawn, those that start at zero too."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in tokenizer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
        for name, buffer in tokenizer.named_buffers():
            if name == "diffusion.error_filter":
                buffer.copy_(torch.randn(buffer.shape, generator=generator) * scale)
    return tokenizer.eval()


def convolutions(layers: str = "cc", *, diffusion_sweeps: int = 0) -> Tokenizer:
    shape = VtokBaseConfig(
        width=8,
        hidden=8,
        encoder_layers=layers,
        decoder_layers=layers,
        num_heads=1,
        window=4,
        codebook_size=64,
        code_dim=4,
        diffusion_sweeps=diffusion_sweeps,
    )
    return randomised(VtokBaseTokenizer(shape), 0.2)


def dalle() -> Tokenizer:
    shape = DalleShape(width=8, num_blocks=1, codebook_size=32, code_dim=8)
    return randomised(DalleTokenizer(shape, name="dalle"), 0.2)


def taming() -> Tokenizer:
    """A small VQGAN: group norms and attention see the whole image."""
    levels = (
        Level(channels=32, num_blocks=1, attention=False),
        Level(channels=32, num_blocks=1, attention=True),
        Level(channels=32, num_blocks=1, attention=False),
    )
    torch.manual_seed(0)
    stack = Stack(stem=32, levels=levels, mid=("block", "attention", "block"))
    shape = ConvShape(
        encoder=stack,
        decoder=stack,
        latent_channels=8,
        code_dim=8,
        codebook_size=64,
        quant_conv=False,
    )
    return ConvTokenizer(
        shape, TAMING, "l2", name="taming", family="taming", pixels=PixelRange()
    ).eval()


def grid_of(indices: Tensor) -> Grid:
    return Grid(rows=indices.shape[1], cols=indices.shape[2])


def photograph(height: int, width: int, *, batch: int = 1) -> Tensor:
    """Return smooth pictures with some grain, (B, H, W, 3) uint8."""
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand((batch, 3, 5, 7), generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    grain = torch.randn(smooth.shape, generator=generator) * 0.02
    return ((smooth + grain).clamp(0, 1) * 255).byte().permute(0, 2, 3, 1).contiguous()


# How views are cut.


@given(st.integers(1, 200), st.integers(0, 9), st.sampled_from((1, 2, 4)), st.integers(1, 30))
def test_exact_pieces_partition_and_cover_the_margin(
    length: int, margin: int, unit: int, extra: int
) -> None:
    side = -(-margin // unit) * unit + margin + unit + extra
    cuts = exact_cuts(length, side, margin, unit)
    assert [cell for cut in cuts for cell in range(cut.first, cut.last)] == list(range(length))
    for cut in cuts:
        assert cut.stop - cut.start <= side
        assert cut.start % unit == 0
        assert cut.start <= max(0, cut.first - margin)
        assert cut.stop >= min(length, cut.last + margin)


@given(st.integers(1, 300), st.sampled_from((16, 20, 32, 48)), st.sampled_from((1, 2, 4)))
def test_blended_pieces_add_up_to_one_far_from_borders(length: int, side: int, unit: int) -> None:
    length = -(-length // unit) * unit
    cuts = blended_cuts(length, side, unit)
    total = [0.0] * length
    for cut in cuts:
        assert cut.stop - cut.start <= side
        assert cut.start % unit == 0
        assert 0 <= cut.start <= cut.first < cut.last <= cut.stop <= length
        for cell, weight in enumerate(weights(cut), cut.first):
            total[cell] += weight
    assert total == pytest.approx([1.0] * length)
    for before, after in itertools.pairwise(cuts):
        guard = side // 4 // 4 - 1
        assert before.stop - before.last >= guard
        assert after.first - after.start >= guard


def weights(cut: Cut) -> Sequence[float]:
    rising = [(n + 0.5) / cut.ramp_before for n in range(cut.ramp_before)]
    falling = [1 - (n + 0.5) / cut.ramp_after for n in range(cut.ramp_after)]
    num_full = cut.last - cut.first - len(rising) - len(falling)
    assert num_full >= 0
    return [*rising, *[1.0] * num_full, *falling]


# Exact pieces.


@pytest.mark.parametrize(
    ("tokenizer", "side_px"),
    [
        (convolutions(), 88),
        (convolutions("ca"), 192),
        (convolutions(diffusion_sweeps=2), 208),
        (dalle(), 120),
    ],
    ids=["convolutions", "windows", "chosen-together", "dalle"],
)
def test_pieces_give_the_indices_and_the_pixels_of_the_whole(
    tokenizer: Tokenizer, side_px: int
) -> None:
    images = photograph(232, 304, batch=2)
    whole, cut = (TokenizeForward(tokenizer, device=CPU, piece_size=size) for size in (0, side_px))
    with torch.inference_mode():
        indices, finite = whole.compute(images)
        pieces, finite_too = cut.compute(images)
        assert bool(finite.all())
        assert bool(finite_too.all())
        assert len(indices.unique()) > 3
        assert torch.equal(indices, pieces)
        layout = Pieces.of(tokenizer, side_px).decoding(Grid(rows=29, cols=38))
        assert layout is not None
        assert len(list(layout.pieces())) > 6
        expected = tokenizer.decode_indices(indices)
        floats = in_pieces(tokenizer, indices, side_px)
        assert float((floats - expected).abs().max()) < 1e-5
        bytes_whole, bytes_cut = (
            DecodeForward(tokenizer, device=CPU, piece_size=size).compute(indices)[0].int()
            for size in (0, side_px)
        )
    assert int((bytes_whole - bytes_cut).abs().max()) <= 1
    assert float((bytes_whole != bytes_cut).float().mean()) < 1e-3


def in_pieces(tokenizer: Tokenizer, indices: Tensor, side_px: int) -> Tensor:
    """Return the float pixels (B, 3, H, W) of pieces, put together by their cuts alone."""
    layout = Pieces.of(tokenizer, side_px).decoding(grid_of(indices))
    assert layout is not None
    whole = torch.full((len(indices), 3, indices.shape[1] * 8, indices.shape[2] * 8), torch.nan)
    for row, col in layout.pieces():
        part = tokenizer.decode_indices(indices[:, row.start : row.stop, col.start : col.stop])
        rows = slice((row.first - row.start) * 8, (row.last - row.start) * 8)
        cols = slice((col.first - col.start) * 8, (col.last - col.start) * 8)
        target = whole[:, :, row.first * 8 : row.last * 8, col.first * 8 : col.last * 8]
        target.copy_(part[:, :, rows, cols])
    return whole


def scaled_encode(tokenizer: Tokenizer) -> Callable[[Tensor], Tensor]:
    return lambda images: tokenizer.encode(images.permute(0, 3, 1, 2) / 127.5 - 1)


def test_a_margin_that_is_one_cell_short_shows() -> None:
    tokenizer = convolutions()
    assert tokenizer.reach == Reach(encoder_cells=4, decoder_cells=5)
    short = Reach(encoder_cells=3, decoder_cells=4)
    images = photograph(232, 304)
    with torch.inference_mode():
        expected = scaled_encode(tokenizer)(images)
        for reach, is_same in ((tokenizer.reach, True), (short, False)):
            layout = Pieces(tokenizer.spec, reach, 88).encoding(Grid(rows=29, cols=38))
            assert layout is not None
            found = assembled_latents(images, layout, 8, scaled_encode(tokenizer))
            assert (float((found - expected).abs().max()) < 1e-5) is is_same


def test_large_views_of_exact_models_are_cut_unasked_and_others_are_not() -> None:
    large, small = Grid(rows=300, cols=10), Grid(rows=256, cols=256)
    exact = Pieces.of(convolutions(), None)
    assert exact.encoding(large) is not None
    assert exact.encoding(small) is None
    assert exact.record([small]) is None
    assert exact.record([small, large]) == {"side_px": 2048, "overlap_px": 64, "exact": True}
    assert Pieces.of(convolutions(), 0).encoding(large) is None
    assert Pieces.of(taming(), None).encoding(large) is None
    record = Pieces.of(taming(), 130).record([large])
    assert record == {"side_px": 128, "overlap_px": 32, "exact": False}


def test_pieces_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 88 px"):
        Pieces.of(convolutions(), 87)
    with pytest.raises(UsageError, match="at least 128 px"):
        Pieces.of(taming(), 127)
    tokenizer = taming()
    size = Size(height=64, width=64)
    tokenizer.spec = replace(tokenizer.spec, size_policy="fixed", fixed_size=size)
    with pytest.raises(UsageError, match="takes views of 64x64 alone"):
        Pieces.of(tokenizer, 128)


@pytest.mark.gpu
def test_pieces_are_the_whole_on_a_gpu_but_for_near_ties() -> None:
    device = torch.device("cuda")
    tokenizer = convolutions()
    images = photograph(232, 304, batch=2)
    with torch.inference_mode():
        whole, cut = (
            TokenizeForward(tokenizer, device=device, piece_size=size).compute(images)[0]
            for size in (0, 88)
        )
        assert float((whole == cut).float().mean()) > 0.999
        pixels, parts = (
            DecodeForward(tokenizer, device=device, piece_size=size).compute(whole)[0].int()
            for size in (0, 88)
        )
    assert int((pixels - parts).abs().max()) <= 1


# Memory that is too short.


def test_exact_pieces_get_smaller_where_the_memory_is_short() -> None:
    images = photograph(96, 96).numpy()
    roomy = BlockTokenizer()
    roomy.reach = Reach(encoder_cells=0, decoder_cells=0)
    expected = TokenizeForward(roomy, device=CPU).launch(images)
    tight = BlockTokenizer(most_pixels=24 * 24)
    tight.reach = roomy.reach
    forward = TokenizeForward(tight, device=CPU)
    (first,), (second,) = forward.finish(expected), forward.finish(forward.launch(images))
    assert (first == second).all()
    assert tight.batch_shapes[:2] == [(1, 3, 96, 96), (1, 3, 48, 48)]
    assert tight.batch_shapes[-1] == (1, 3, 24, 24)
    assert forward.launch(images)  # the next view is not tried whole again
    assert tight.batch_shapes[-16:] == [(1, 3, 24, 24)] * 16


def test_approximate_pieces_are_not_taken_unasked_but_named() -> None:
    tight = BlockTokenizer(most_pixels=24 * 24)
    with pytest.raises(DeviceError, match="--piece-size PX"):
        TokenizeForward(tight, device=CPU).launch(photograph(96, 96).numpy())


# Blended pieces.


def seam(pixels: Tensor, column: int) -> float:
    """Return how much steeper pixels are across one column's edge than around it."""
    steps = (pixels[:, :, :, 1:] - pixels[:, :, :, :-1]).abs().mean(dim=(0, 1, 2))
    around = torch.cat((steps[column - 13 : column - 1], steps[column : column + 12]))
    return float(steps[column - 1] / around.mean())


def test_blended_pieces_have_no_seams_and_hard_ones_have() -> None:
    tokenizer = taming()
    images = photograph(160, 256)
    with torch.inference_mode():
        indices, _ = TokenizeForward(tokenizer, device=CPU, piece_size=0).compute(images)
        pieces = Pieces.of(tokenizer, 128)
        layout = pieces.decoding(grid_of(indices))
        assert layout is not None

        def decode(rows: slice, cols: slice) -> Tensor:
            return tokenizer.decode_indices(indices[:, rows, cols])

        whole = tokenizer.decode_indices(indices)
        scale = 100.0

        def to_bytes(pixels: Tensor) -> Tensor:
            return (pixels * scale + 128).round().clamp(0, 255).permute(0, 2, 3, 1).byte()

        blended = assembled_pixels(layout, 4, decode, to_bytes)[0].permute(0, 3, 1, 2).float()
        hard = layout._replace(rows=hardened(layout.rows), cols=hardened(layout.cols))
        cut = assembled_pixels(hard, 4, decode, to_bytes)[0].permute(0, 3, 1, 2).float()
    middles = [each.first * 4 for each in hard.cols[1:]]
    edges = [each.first * 4 for each in layout.cols[1:]]
    ends = [each.last * 4 for each in layout.cols[:-1]]
    reference = to_bytes(whole).permute(0, 3, 1, 2).float()
    assert max(seam(blended - reference, column) for column in (*edges, *middles, *ends)) < 1.3
    assert max(seam(cut - reference, column) for column in middles) > 2


def hardened(cuts: Sequence[Cut]) -> list[Cut]:
    """Return the same pieces, one beginning where the other ends, in the middle of the ramp."""
    return [
        cut._replace(
            first=cut.first + cut.ramp_before // 2,
            last=cut.last - (cut.ramp_after - cut.ramp_after // 2),
            ramp_before=0,
            ramp_after=0,
        )
        for cut in cuts
    ]


def test_blended_indices_are_most_of_the_whole_images() -> None:
    tokenizer = taming()
    images = photograph(160, 256)
    with torch.inference_mode():
        whole, _ = TokenizeForward(tokenizer, device=CPU).compute(images)
        pieces, _ = TokenizeForward(tokenizer, device=CPU, piece_size=128).compute(images)
    assert whole.shape == pieces.shape
    assert 0.5 < float((whole == pieces).float().mean()) < 1
