"""Every quantizer against what the published implementations gave on the same latents."""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vtok.errors import NonFiniteError, ShardError
from vtok.nn.quantizer import (
    BinaryQuantizer,
    FiniteScalarQuantizer,
    LogitQuantizer,
    ProductQuantizer,
    Quantizer,
    ResidualQuantizer,
    VectorQuantizer,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "quantizers"


@functools.cache
def references() -> Mapping[str, np.ndarray]:
    return dict(np.load(GOLDEN / "refs.npz"))


def reference(case: str, field: str) -> Tensor:
    return torch.from_numpy(references()[f"{case}.{field}"])


def with_codes(codebook: Tensor, metric: Any) -> VectorQuantizer:
    quantizer = VectorQuantizer(*codebook.shape, metric)
    quantizer.load_state_dict({"codebook": codebook})
    return quantizer


def product() -> ProductQuantizer:
    return ProductQuantizer(
        [with_codes(part, "cosine") for part in reference("unitok_mcq_8x256x8", "codebooks")]
    )


def residual() -> ResidualQuantizer:
    shared = with_codes(reference("rqvae_4x512x32", "codebook")[:-1], "l2")  # the last is padding
    return ResidualQuantizer([shared] * 4)


CASES: dict[str, Any] = {
    "vqp_fsq_8x5x5x5": lambda: FiniteScalarQuantizer((8, 5, 5, 5)),
    "vqp_fsq_8x8x8x5x5x5": lambda: FiniteScalarQuantizer((8, 8, 8, 5, 5, 5)),
    "vqp_fsq_7x5x5x5x5": lambda: FiniteScalarQuantizer((7, 5, 5, 5, 5)),
    "vqp_fsq_4x4x4x4x4x4": lambda: FiniteScalarQuantizer((4,) * 6),
    "vqp_fsq_sym_4x4x4": lambda: FiniteScalarQuantizer((4, 4, 4), symmetric=True),
    "vqp_lfq_12": lambda: BinaryQuantizer(12, bit_order="big"),
    "vqp_bsq_12": lambda: BinaryQuantizer(12, bit_order="big", scale=12**-0.5),
    "showo_lfq_13": lambda: BinaryQuantizer(13, bit_order="big"),
    "maskbit_lfq_12": lambda: BinaryQuantizer(12, bit_order="little"),
    "unitok_mcq_8x256x8": product,
    "vitvqgan_cos_1024x32": lambda: with_codes(
        reference("vitvqgan_cos_1024x32", "codebook"), "cosine"
    ),
    "rqvae_4x512x32": residual,
}
CHANNELS_LAST = {"unitok_mcq_8x256x8", "vitvqgan_cos_1024x32", "rqvae_4x512x32"}


def test_every_reference_has_its_case() -> None:
    assert set(CASES) == set(json.loads((GOLDEN / "meta.json").read_text()))


@pytest.mark.parametrize("case", CASES)
def test_equals_the_published_implementation(case: str) -> None:
    """Every index, near-ties too; the codes to the last bits of fp32."""
    quantizer: Quantizer = CASES[case]()
    latents, indices, codes = (reference(case, field) for field in ("z", "idx", "zq"))
    if case not in CHANNELS_LAST:
        latents, codes = latents.movedim(1, -1), codes.movedim(1, -1)
    if case == "unitok_mcq_8x256x8":
        indices = indices.movedim(1, -1)  # (B, codebooks, L)
    assert torch.equal(quantizer.quantize(latents), indices)
    torch.testing.assert_close(quantizer.lookup(indices), codes, rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", ["vqp_lfq_12", "maskbit_lfq_12", "showo_lfq_13"])
def test_the_other_bit_order_would_be_noticed(case: str) -> None:
    quantizer = CASES[case]()
    other = "little" if quantizer.bit_order == "big" else "big"
    latents = reference(case, "z").movedim(1, -1)
    wrong = BinaryQuantizer(quantizer.code_dim, bit_order=other).quantize(latents)
    assert (wrong == reference(case, "idx")).float().mean() < 0.1


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (2, 3), (16,), (4, 4, 4)])
@pytest.mark.parametrize("symmetric", [False, True])
def test_scalar_codes_are_all_reached(levels: tuple[int, ...], symmetric: bool) -> None:
    """Lookup gives as many different codes as there are indices, each found again from outside."""
    quantizer = FiniteScalarQuantizer(levels, symmetric=symmetric)
    indices = torch.arange(quantizer.codebook_size)
    codes = quantizer.lookup(indices)
    assert len(torch.unique(codes, dim=0)) == quantizer.codebook_size
    counts = torch.tensor(levels, dtype=torch.float64)
    if symmetric:  # the centre of the interval that is floored to this level
        share = (codes.double() + 1) / 2
        latents = (2 * share - 1).clamp(-0.999, 0.999).atanh()
    else:
        half = (counts - 1) * 1.001 / 2
        offset = torch.where(counts % 2 == 0, 0.5, 0.0)
        scaled = (codes.double() * (counts // 2) + offset) / half
        latents = scaled.atanh() - (offset / half).atanh()
    assert torch.equal(quantizer.quantize(latents), indices)


@settings(max_examples=60, deadline=None)
@given(bits=st.integers(1, 62), seed=st.integers(0, 2**31), big=st.booleans())
def test_bits_survive_the_round_trip(bits: int, seed: int, big: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    quantizer = BinaryQuantizer(bits, bit_order="big" if big else "little")
    indices = torch.randint(0, 2**bits, (50,), generator=generator)
    indices = torch.cat((indices, torch.tensor([0, 2**bits - 1])))
    codes = quantizer.lookup(indices)
    assert torch.equal(quantizer.quantize(codes), indices)
    first = codes[0] if big else codes[0].flip(0)
    assert "".join("1" if x > 0 else "0" for x in first) == f"{int(indices[0]):0{bits}b}"


@pytest.mark.parametrize("code_dim", [None, 6])
def test_logits_ties_and_codes(code_dim: int | None) -> None:
    quantizer = LogitQuantizer(40, code_dim)
    logits = torch.randint(0, 4, (3, 5, 40)).float()
    indices = quantizer.quantize(logits)
    assert indices.tolist() == logits.numpy().argmax(-1).tolist(), "numpy's argmax is the first"
    table = torch.eye(40) if code_dim is None else quantizer.codebook
    assert torch.equal(quantizer.lookup(indices), table[indices])
    assert quantizer.lookup(indices).shape[-1] == quantizer.code_dim


def test_a_residual_step_sees_what_is_left() -> None:
    """Deeper sums come closer, and the first index is that of the first step alone."""
    quantizer = residual()
    latents = reference("rqvae_4x512x32", "z")
    indices = quantizer.quantize(latents)
    assert torch.equal(indices[..., 0], quantizer.steps[0].quantize(latents))
    errors = [
        float(
            (latents - ResidualQuantizer([quantizer.steps[0]] * n).lookup(indices[..., :n])).norm()
        )
        for n in (1, 2, 3, 4)
    ]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("case", [*CASES, "logits"])
def test_borders_are_checked(case: str) -> None:
    quantizer: Quantizer = LogitQuantizer(16) if case == "logits" else CASES[case]()
    latents = torch.zeros(2, quantizer.code_dim)
    indices = quantizer.quantize(latents)
    assert int(indices.max()) < quantizer.codebook_size
    indices[-1] = quantizer.codebook_size
    with pytest.raises(ShardError, match="outside"):
        quantizer.lookup(indices)
    latents[0, -1] = torch.nan
    with pytest.raises(NonFiniteError):
        quantizer.quantize(latents)
    with pytest.raises(ValueError, match="latents are"):
        quantizer.quantize(torch.zeros(2, quantizer.code_dim + 1))


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match="2 levels"):
        FiniteScalarQuantizer((8, 1))
    with pytest.raises(ValueError, match="bit_order"):
        BinaryQuantizer(3, bit_order="msb")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="code_dim"):
        BinaryQuantizer(63, bit_order="big")
    with pytest.raises(ValueError, match="one codebook size"):
        ProductQuantizer([VectorQuantizer(4, 2), VectorQuantizer(5, 2)])
    with pytest.raises(ValueError, match="one length"):
        ResidualQuantizer([VectorQuantizer(4, 2), VectorQuantizer(4, 3)])
