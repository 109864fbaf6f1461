"""The nearest code, against exhaustive search in exact or fp64 arithmetic by numpy."""

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vtok.errors import NonFiniteError, WeightsError
from vtok.nn.quantizer import CodeSearch, Metric, nearest_code, tiled
from vtok.nn.quantizer import nearest as implementation

METRICS: list[Metric] = ["l2", "cosine", "dot"]


def exhaustive(latents: Tensor, codebook: Tensor, metric: Metric) -> np.ndarray:
    """Return the first best index by fp64 arithmetic on every pair, a row at a time."""
    z, e = latents.double().numpy(), codebook.double().numpy()
    if metric == "cosine":
        e = e / np.maximum(np.linalg.norm(e, axis=1, keepdims=True), 1e-12)
    return np.array(
        [np.argmin(((row - e) ** 2).sum(1) if metric == "l2" else -(e @ row)) for row in z]
    )


def exact(latents: Tensor, codebook: Tensor, metric: Metric = "l2") -> list[int]:
    """Return the first best index in rational arithmetic: no rounding at all."""
    codes = [[Fraction(x) for x in code] for code in codebook.tolist()]
    norms = [sum(x * x for x in code) if metric == "l2" else Fraction(0) for code in codes]
    weight = 2 if metric == "l2" else 1
    best = []
    for z in latents.tolist():
        row = [Fraction(x) for x in z]
        dots = [sum(a * b for a, b in zip(row, code, strict=True)) for code in codes]
        scores = [norm - weight * dot for norm, dot in zip(norms, dots, strict=True)]
        best.append(scores.index(min(scores)))
    return best


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("num_latents", "num_codes", "dim"),
    [(500, 1024, 8), (64, 8192, 64), (300, 257, 3), (40, 1, 5), (33, 255, 1), (0, 10, 4)],
)
def test_equals_exhaustive_search(
    metric: Metric, num_latents: int, num_codes: int, dim: int
) -> None:
    latents, codebook = torch.randn(num_latents, dim), torch.randn(num_codes, dim)
    ours = nearest_code(latents, codebook, metric)
    assert ours.dtype == torch.int64
    assert ours.tolist() == exhaustive(latents, codebook, metric).tolist()


@pytest.mark.parametrize("metric", ["l2", "dot"])
def test_ties_go_to_the_smaller_index(metric: Metric) -> None:
    """On whole numbers fp64 is exact, and most rows have several nearest codes."""
    latents = torch.randint(-2, 3, (2000, 3)).float()
    codebook = torch.randint(-2, 3, (900, 3)).float()
    ours = nearest_code(latents, codebook, metric)
    assert ours.tolist() == exhaustive(latents, codebook, metric).tolist()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), offset=st.sampled_from([0.0, 1.0, 1000.0]))
def test_near_ties_are_decided_exactly(seed: int, offset: float) -> None:
    """Codes a few roundings apart, far from zero: fp32 scores alone get most of these wrong."""
    generator = torch.Generator().manual_seed(seed)
    centre = torch.randn(6, generator=generator) + offset
    codebook = centre + 1e-6 * torch.randn(40, 6, generator=generator)
    latents = centre + 1e-3 * torch.randn(15, 6, generator=generator)
    assert nearest_code(latents, codebook).tolist() == exact(latents, codebook)


def test_fp64_alone_would_fail_beside_a_huge_channel() -> None:
    """One shared channel of 1e8 makes scores of 1e16, whose fp64 steps swallow all the others."""
    codebook, latents = 1e-3 * torch.randn(50, 5), 1e-3 * torch.randn(20, 5)
    codebook[:, 0] = latents[:, 0] = 1e8
    assert nearest_code(latents, codebook).tolist() == exact(latents, codebook)
    wide = codebook.double()
    plain = (wide.square().sum(1) - 2 * latents.double() @ wide.T).argmin(1)
    assert plain.tolist() != exact(latents, codebook)


def test_fp32_alone_would_fail_the_near_ties() -> None:
    """The test above must be able to fail: plain fp32 search does."""
    centre = torch.randn(6) + 1000
    codebook = centre + 1e-3 * torch.randn(40, 6)
    latents = centre + 1e-2 * torch.randn(50, 6)
    plain = (codebook.square().sum(1) - 2 * latents @ codebook.T).argmin(1)
    assert plain.tolist() != exact(latents, codebook)
    assert nearest_code(latents, codebook).tolist() == exact(latents, codebook)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-20, 1e15, 1e30, 1e38])
def test_extreme_magnitudes(metric: Metric, scale: float) -> None:
    """Where fp32 products overflow or vanish, the search is slower, not wrong."""
    few, many = torch.randn(10, 4).clamp(-3, 3), torch.randn(280, 4).clamp(-3, 3)
    reference = exhaustive if metric == "cosine" else exact
    for latents, codebook in (
        (scale * few, many),
        (few, scale * many),
        (scale * few, scale * many),
    ):
        ours = nearest_code(latents, codebook, metric)
        assert ours.tolist() == list(reference(latents, codebook, metric))


@pytest.mark.parametrize("metric", METRICS)
def test_an_index_depends_on_its_own_latent_alone(metric: Metric) -> None:
    """Batch sizes, orders and duplicates of codes change nothing, near-ties included."""
    base = torch.randn(200, 16)
    codebook = torch.cat((base, base + 1e-7 * torch.randn(200, 16), base))
    latents = torch.randn(130, 16)
    search = CodeSearch(codebook, metric).search
    whole = search(latents)
    assert int(whole.max()) < 400, "the third copy of a code never wins"
    for size in (1, 3, 64, 129):
        parts = [search(part) for part in latents.split(size)]
        assert torch.equal(torch.cat(parts), whole), size
    order = torch.randperm(130)
    assert torch.equal(search(latents[order]), whole[order])


def test_cosine_knows_directions_only() -> None:
    latents, codebook = torch.randn(300, 8), torch.randn(500, 8)
    expected = nearest_code(latents, codebook, "cosine")
    scaled = nearest_code(
        latents * 1000, codebook * torch.logspace(-3, 3, 500).unsqueeze(1), "cosine"
    )
    assert torch.equal(scaled, expected)
    unit = torch.nn.functional.normalize
    by_distance = nearest_code(unit(latents, dim=1), unit(codebook, dim=1), "l2")
    assert torch.equal(by_distance, expected)


def test_a_zero_vector_has_cosine_zero_with_everything() -> None:
    codebook = torch.tensor([[-1.0, 0.0], [0.0, 0.0], [0.0, -1.0]])
    assert nearest_code(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), codebook, "cosine").tolist() == [
        0,
        1,
    ]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(metric: Metric, bad: float) -> None:
    good, other = torch.randn(5, 3), torch.randn(5, 3)
    other[3, 1] = bad
    with pytest.raises(NonFiniteError):
        nearest_code(other, good, metric)
    with pytest.raises(WeightsError):
        nearest_code(good, other, metric)


@pytest.fixture(params=["global", "backend"])
def _careless_precision(request: pytest.FixtureRequest) -> Iterator[None]:
    """Both of torch's switches, the older and the newer, allow bf16 products; both are kept."""
    if request.param == "global":
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("medium")
        yield
        assert torch.get_float32_matmul_precision() == "medium"
        torch.set_float32_matmul_precision(before)
    else:
        switch = torch.backends.mkldnn.matmul
        before = switch.fp32_precision
        switch.fp32_precision = "bf16"
        yield
        assert switch.fp32_precision == "bf16"
        switch.fp32_precision = before


@pytest.mark.usefixtures("_careless_precision")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_compares_in_fp32_whatever_surrounds_it(dtype: torch.dtype) -> None:
    latents, codebook = torch.randn(400, 32).to(dtype), torch.randn(600, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = nearest_code(latents, codebook)
    assert ours.tolist() == exhaustive(latents.float(), codebook, "l2").tolist()


@pytest.mark.usefixtures("_careless_precision")
def test_products_see_no_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every processor has fast bf16 products, so the test above may pass without trying."""
    seen = []
    plain = tiled.part_scores

    def spy(with_one: Tensor, part: tiled.Part, tile: Tensor) -> Tensor:
        seen.append((torch.backends.mkldnn.matmul.fp32_precision, torch.is_autocast_enabled("cpu")))
        return plain(with_one, part, tile)

    monkeypatch.setattr(tiled, "part_scores", spy)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        nearest_code(torch.randn(3, 4), torch.randn(5, 4))
    assert set(seen) == {("ieee", False)}


@pytest.mark.parametrize("metric", METRICS)
def test_tiles_of_any_size_agree(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    latents, codebook = torch.randn(130, 5), torch.randint(-2, 3, (1000, 5)).float()
    expected = exhaustive(latents, codebook, metric).tolist()
    for elements, part, block, pairs in (
        (1, 1, 7, 1),
        (5000, 300, 256, 2500),
        (10**6, 5000, 1000, 10**6),
    ):
        monkeypatch.setattr(implementation, "_TILE_ELEMENTS", elements)
        monkeypatch.setattr(implementation, "_PART", part)
        monkeypatch.setattr(implementation, "_SMALL_BLOCK", block)
        monkeypatch.setattr(implementation, "_MAX_PAIRS", pairs)
        monkeypatch.setattr(implementation, "_MAX_CANDIDATES", pairs)
        assert nearest_code(latents, codebook, metric).tolist() == expected


@pytest.mark.parametrize(
    ("num_latents", "num_codes", "code_dim"),
    [(512, 16384, 4), (512, 2**18, 4), (8, 16384, 4), (8, 2**18, 4), (2**16, 64, 128)],
)
@pytest.mark.filterwarnings("ignore:Warning. Profiler clears events")  # of torch 2.11
def test_working_memory_is_bounded(num_latents: int, num_codes: int, code_dim: int) -> None:
    """No allocation grows with N x K, even where every code is a candidate."""
    collapsed = num_latents == 8
    codebook = torch.randn(num_codes, code_dim) * (not collapsed)
    search, latents = CodeSearch(codebook), torch.randn(num_latents, code_dim)
    with torch.profiler.profile(profile_memory=True) as profile:
        indices = search.search(latents)
    held, most = 0, 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    assert 2**16 < most <= 64 * 2**20
    assert not collapsed or not indices.any()


def test_sums_that_overflow_on_the_way_are_made_without_rounding() -> None:
    """Summed in order, the nearest code's score is infinite in fp32 before its terms cancel."""
    latents = torch.full((1, 8), 3e19)
    codebook = torch.zeros(2, 8)
    codebook[0, 0] = 1
    codebook[1] = torch.tensor([-0.8e19] * 4 + [0.81e19] * 4)
    assert exact(latents, codebook, "dot") == [1]
    assert nearest_code(latents, codebook, "dot").tolist() == [1]


def test_misfits_are_refused() -> None:
    with pytest.raises(ValueError, match="metric"):
        nearest_code(torch.zeros(1, 2), torch.zeros(1, 2), "l1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\(N, 2\)"):
        nearest_code(torch.zeros(1, 3), torch.zeros(1, 2))
    with pytest.raises(ValueError, match=r"\(K, D\)"):
        nearest_code(torch.zeros(1, 3), torch.zeros(0, 3))


@pytest.mark.gpu
@pytest.mark.parametrize("metric", METRICS)
def test_the_device_changes_no_index(metric: Metric) -> None:
    base = torch.randn(3000, 32)
    codebook = torch.cat((base, base + 1e-7 * torch.randn(3000, 32)))
    latents = torch.randn(2000, 32)
    torch.backends.cuda.matmul.allow_tf32 = True
    there = nearest_code(latents.cuda(), codebook.cuda(), metric)
    assert torch.equal(there.cpu(), nearest_code(latents, codebook, metric))
