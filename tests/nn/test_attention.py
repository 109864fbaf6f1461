"""Attention, against `torch.nn.MultiheadAttention` with the same weights."""

import pytest
import torch
from torch import Tensor, nn

from vtok.nn.attention import CrossAttention, GatedCrossAttention, SelfAttention
from vtok.nn.packing import Packing
from vtok.nn.position import RotaryPosition2d
from vtok.records import Grid

B, N, L, D, E, HEADS = 2, 11, 5, 24, 16, 3


def twin_of_self(attention: SelfAttention) -> nn.MultiheadAttention:
    twin = nn.MultiheadAttention(D, HEADS, batch_first=True)
    with torch.no_grad():
        for ours in attention.parameters():
            ours.copy_(torch.randn_like(ours) / 4)
        twin.in_proj_weight.copy_(attention.qkv.weight)
        twin.in_proj_bias.copy_(attention.qkv.bias)
        twin.out_proj.load_state_dict(attention.proj.state_dict())
    return twin


def twin_of_cross(attention: CrossAttention) -> nn.MultiheadAttention:
    twin = nn.MultiheadAttention(D, HEADS, batch_first=True, kdim=E, vdim=E)
    with torch.no_grad():
        for ours in attention.parameters():
            ours.copy_(torch.randn_like(ours) / 4)
        twin.q_proj_weight.copy_(attention.q_proj.weight)
        twin.k_proj_weight.copy_(attention.k_proj.weight)
        twin.v_proj_weight.copy_(attention.v_proj.weight)
        biases = [attention.q_proj.bias, attention.k_proj.bias, attention.v_proj.bias]
        twin.in_proj_bias.copy_(torch.cat(biases))
        twin.out_proj.load_state_dict(attention.out_proj.state_dict())
    return twin


@pytest.mark.parametrize("masked", ["no", "bool", "additive"])
def test_self_attention_equals_torch(masked: str) -> None:
    attention = SelfAttention(D, HEADS)
    twin = twin_of_self(attention)
    x = torch.randn(B, N, D)
    allowed = torch.rand(N, N) > 0.4
    allowed.fill_diagonal_(True)
    ours: Tensor | None = None
    theirs: Tensor | None = None
    if masked == "bool":
        ours, theirs = allowed, ~allowed
    elif masked == "additive":
        ours = theirs = torch.randn(N, N)
    expected, _ = twin(x, x, x, attn_mask=theirs, need_weights=False)
    torch.testing.assert_close(attention(x, mask=ours), expected, rtol=0, atol=2e-6)


def test_cross_attention_equals_torch() -> None:
    attention = CrossAttention(D, HEADS, context_dim=E)
    twin = twin_of_cross(attention)
    text, vision = torch.randn(B, L, D), torch.randn(B, N, E)
    padding = torch.zeros(B, N, dtype=torch.bool)
    padding[1, 7:] = True
    expected, _ = twin(text, vision, vision, key_padding_mask=padding, need_weights=False)
    ours = attention(text, vision, mask=~padding[:, None, None])
    torch.testing.assert_close(ours, expected, rtol=0, atol=2e-6)


def test_a_text_without_an_image_receives_the_bias_alone_and_trains() -> None:
    attention = CrossAttention(D, HEADS, context_dim=E)
    text, vision = torch.randn(B, L, D), torch.randn(B, N, E)
    mask = torch.ones(B, 1, L, N, dtype=torch.bool)
    mask[0, :, 2] = False
    out = attention(text, vision, mask=mask)
    torch.testing.assert_close(out[0, 2], attention.out_proj.bias)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in attention.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gate_starts_shut_bit_for_bit(dtype: torch.dtype) -> None:
    attention = GatedCrossAttention(D, HEADS, context_dim=E).to(dtype)
    text, vision = torch.randn(B, L, D, dtype=dtype), 100 * torch.randn(B, N, E, dtype=dtype)
    out = attention(text, vision)
    bits = torch.int32 if dtype == torch.float32 else torch.int16
    assert torch.equal(out.view(bits), text.view(bits))


def test_the_gate_leaves_text_alone_under_autocast() -> None:
    attention = GatedCrossAttention(D, HEADS, context_dim=E)
    text, vision = torch.randn(B, L, D), torch.randn(B, N, E)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = attention(text, vision)
    assert out.dtype == torch.float32
    assert torch.equal(out.view(torch.int32), text.view(torch.int32))


def test_the_gate_learns_and_lets_vision_in() -> None:
    attention = GatedCrossAttention(D, HEADS, context_dim=E)
    text, vision = torch.randn(B, L, D), torch.randn(B, N, E)
    (attention(text, vision) * torch.randn(B, L, D)).sum().backward()
    assert attention.gate.grad is not None
    assert attention.gate.grad.abs() > 0
    with torch.no_grad():
        attention.gate.fill_(0.7)
    expected = text + torch.tanh(torch.tensor(0.7)) * attention.attention(text, vision)
    torch.testing.assert_close(attention(text, vision), expected)


def test_packed_self_attention_equals_each_sequence_alone() -> None:
    attention = SelfAttention(D, HEADS)
    lengths = [3, 1, 7]
    parts = [torch.randn(1, n, D) for n in lengths]
    packing = Packing.of_lengths(lengths)
    packed = attention(torch.cat(parts, dim=1), packing=packing)
    for part, out in zip(parts, packed.split(lengths, dim=1), strict=True):
        torch.testing.assert_close(out, attention(part), rtol=0, atol=1e-6)
    masked = attention(torch.cat(parts, dim=1), mask=packing.mask())
    torch.testing.assert_close(packed, masked, rtol=0, atol=1e-6)


def test_no_packed_sequence_sees_its_neighbour() -> None:
    attention = SelfAttention(D, HEADS)
    rotation = RotaryPosition2d(D // HEADS).grid_angles(Grid(rows=1, cols=N))
    packing = Packing.of_lengths([4, N - 4])
    x = torch.randn(1, N, D)
    before = attention(x, rotation=rotation, packing=packing)
    x[:, 4:] = 1e4 * torch.randn(1, N - 4, D)
    after = attention(x, rotation=rotation, packing=packing)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.isclose(before[:, 4:], after[:, 4:]).all()


def test_packed_text_sees_its_own_image_only() -> None:
    attention = CrossAttention(D, HEADS, context_dim=E)
    text, vision = torch.randn(1, 7, D), torch.randn(1, 10, E)
    texts, images = Packing.of_lengths([2, 5]), Packing.of_lengths([6, 4])
    out = attention(text, vision, text_packing=texts, vision_packing=images)
    torch.testing.assert_close(out[:, :2], attention(text[:, :2], vision[:, :6]))
    torch.testing.assert_close(out[:, 2:], attention(text[:, 2:], vision[:, 6:]))


@pytest.mark.parametrize("offsets", [(0,), (1, 3), (0, 3, 3), (0, 4, 2), ()])
def test_packings_must_increase(offsets: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="increase"):
        Packing(offsets=offsets)


def test_misfits_are_refused() -> None:
    attention = SelfAttention(D, HEADS)
    x, packing = torch.randn(1, N, D), Packing.of_lengths([4, 4])
    with pytest.raises(ValueError, match="packing of 8 tokens over 11"):
        attention(x, packing=packing)
    with pytest.raises(ValueError, match="no mask"):
        attention(x, packing=Packing.of_lengths([N]), mask=torch.ones(N, N, dtype=torch.bool))
    with pytest.raises(ValueError, match="do not divide"):
        SelfAttention(10, 3)
