"""The quantizer's inverse pair, its gradient, and its moving averages, against plain numpy."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vtok.errors import NonFiniteError, ShardError
from vtok.nn.quantizer import EmaVectorQuantizer, Metric, VectorQuantizer, code_usage

METRICS: list[Metric] = ["l2", "cosine"]


@settings(max_examples=30, deadline=None)
@given(
    num_codes=st.integers(1, 600),
    dim=st.integers(2, 20),
    metric=st.sampled_from(METRICS),
    seed=st.integers(0, 2**31),
)
def test_quantize_inverts_lookup(num_codes: int, dim: int, metric: Metric, seed: int) -> None:
    torch.manual_seed(seed)
    quantizer = VectorQuantizer(num_codes, dim, metric)
    indices = torch.randint(0, num_codes, (2, 3, 5))
    codes = quantizer.lookup(indices)
    assert codes.shape == (2, 3, 5, dim)
    assert torch.equal(quantizer.quantize(codes), indices)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int16, torch.int32])
def test_lookup_takes_what_shards_store(dtype: torch.dtype) -> None:
    quantizer = VectorQuantizer(100, 4)
    indices = torch.arange(100)
    assert torch.equal(quantizer.lookup(indices.to(dtype)), quantizer.codebook)


@pytest.mark.parametrize("bad", [-1, 100, 2**40])
def test_lookup_refuses_what_is_not_an_index(bad: int) -> None:
    quantizer = VectorQuantizer(100, 4)
    with pytest.raises(ShardError, match=f"index {bad} is outside a codebook of 100"):
        quantizer.lookup(torch.tensor([[5, bad]]))
    with pytest.raises(TypeError, match="integers"):
        quantizer.lookup(torch.tensor([0.0]))


def test_the_gradient_goes_straight_through() -> None:
    quantizer = VectorQuantizer(50, 6)
    latents = (100 * torch.randn(2, 7, 6)).requires_grad_()
    codes, indices = quantizer(latents)
    assert torch.equal(codes, quantizer.lookup(indices)), "forward: the codes, unrounded"
    weights = torch.randn(2, 7, 6)
    (codes * weights).sum().backward()
    assert torch.equal(latents.grad, weights)


def test_a_changed_codebook_is_noticed() -> None:
    """Through `.data`, load_state_dict and training alike; nothing stale is searched."""
    quantizer = VectorQuantizer(300, 5)
    latents = torch.randn(40, 5)
    quantizer.quantize(latents)
    quantizer.codebook.data.copy_(quantizer.codebook.flip(0))
    assert torch.equal(quantizer.quantize(quantizer.codebook), torch.arange(300))
    quantizer.load_state_dict({"codebook": torch.randn(300, 5)})
    assert torch.equal(quantizer.quantize(quantizer.codebook), torch.arange(300))
    twin = copy.deepcopy(quantizer)
    twin.codebook.neg_()
    assert torch.equal(twin.quantize(twin.codebook), torch.arange(300))
    assert torch.equal(quantizer.quantize(quantizer.codebook), torch.arange(300))


def test_works_in_inference_mode() -> None:
    with torch.inference_mode():
        quantizer = VectorQuantizer(30, 5)
        assert torch.equal(quantizer.quantize(quantizer.codebook), torch.arange(30))


def test_nan_latents_are_refused() -> None:
    with pytest.raises(NonFiniteError):
        VectorQuantizer(8, 4).quantize(torch.full((1, 4), math.nan))


@pytest.mark.parametrize("metric", METRICS)
def test_averages_equal_a_loop(metric: Metric) -> None:
    """Van den Oord's recurrences, in fp64, code by code."""
    decay, num_codes, dim = 0.9, 12, 3
    quantizer = EmaVectorQuantizer(num_codes, dim, metric, decay=decay, revive_after=0)
    codes = quantizer.codebook.double().numpy().copy()
    counts, sums = np.ones(num_codes), codes.copy()
    for _ in range(20):
        latents = torch.randn(30, dim)
        points = latents.double().numpy()
        if metric == "cosine":
            points = points / np.linalg.norm(points, axis=1, keepdims=True)
        nearest = ((points[:, None] - codes[None]) ** 2).sum(2).argmin(1)
        indices = quantizer.quantize(latents)
        assert indices.tolist() == nearest.tolist()
        quantizer.update(latents, indices)
        for k in range(num_codes):
            mine = points[nearest == k]
            counts[k] = decay * counts[k] + (1 - decay) * len(mine)
            sums[k] = decay * sums[k] + (1 - decay) * mine.sum(0)
            if len(mine):
                codes[k] = sums[k] / counts[k]
                if metric == "cosine":
                    codes[k] /= np.linalg.norm(codes[k])
    np.testing.assert_allclose(quantizer.codebook.numpy(), codes, atol=2e-6)
    np.testing.assert_allclose(quantizer.counts.numpy(), counts, rtol=1e-5)


def test_revival_finds_the_clusters_that_averages_alone_do_not() -> None:
    centres = 5 * torch.randn(16, 4)
    found = {}
    for revive_after in (0, 3):
        quantizer = EmaVectorQuantizer(16, 4, decay=0.8, revive_after=revive_after, seed=1)
        quantizer.codebook.mul_(0.01)  # all in one place: most never win
        for _ in range(100):
            latents = centres.repeat(8, 1) + 0.05 * torch.randn(128, 4)
            quantizer.update(latents, quantizer.quantize(latents))
        distances = torch.cdist(centres, quantizer.codebook).amin(1)
        found[revive_after] = int((distances < 0.2).sum())
    # Two codes may share a cluster and be used, hence not all sixteen.
    assert found[3] >= 11
    assert found[0] <= 8


@pytest.mark.parametrize("metric", METRICS)
def test_dead_codes_come_back_on_the_batch(metric: Metric) -> None:
    quantizer = EmaVectorQuantizer(8, 4, metric, revive_after=2)
    latents = torch.randn(5, 4)
    zeros = torch.zeros(5, dtype=torch.int64)
    before = quantizer.codebook.clone()
    assert quantizer.update(latents, zeros) == 0
    assert torch.equal(quantizer.codebook[1:], before[1:]), "an unused code stays where it is"
    assert quantizer.update(latents, zeros) == 5, "seven are dead, five latents are there"
    points = torch.nn.functional.normalize(latents, dim=1) if metric == "cosine" else latents
    revived = quantizer.codebook[1:6]
    assert sorted(map(tuple, revived.tolist())) == sorted(map(tuple, points.tolist()))
    assert quantizer.update(latents, zeros) == 2
    assert quantizer.num_updates == 3


def test_resuming_changes_nothing() -> None:
    """State dict and training state together carry everything, the draws included."""
    batches = [torch.randn(40, 4) for _ in range(12)]

    def train(quantizer: EmaVectorQuantizer, some: list[torch.Tensor]) -> None:
        for latents in some:
            quantizer.update(latents, quantizer.quantize(latents))

    whole = EmaVectorQuantizer(64, 4, revive_after=3, seed=5)
    first = copy.deepcopy(whole)
    train(whole, batches)
    train(first, batches[:7])
    second = EmaVectorQuantizer(64, 4, revive_after=3, seed=5)
    second.load_state_dict(first.state_dict())
    second.load_training_state(first.training_state())
    torch.manual_seed(999)  # the default generator must play no part
    train(second, batches[7:])
    assert torch.equal(second.codebook, whole.codebook)
    with pytest.raises(ValueError, match="training state holds"):
        second.load_training_state({"counts": torch.ones(64)})


def test_trained_weights_are_the_codes_alone() -> None:
    trained = EmaVectorQuantizer(64, 4)
    shipped = VectorQuantizer(64, 4)
    assert list(trained.state_dict()) == ["codebook"]
    shipped.load_state_dict(trained.state_dict())
    assert torch.equal(shipped.codebook, trained.codebook)


def test_starting_from_latents_places_codes_on_them() -> None:
    quantizer = EmaVectorQuantizer(10, 3)
    latents = torch.randn(4, 8, 3)
    quantizer.start_from(latents)
    points = {tuple(point) for point in latents.reshape(-1, 3).tolist()}
    chosen = [tuple(code) for code in quantizer.codebook.tolist()]
    assert set(chosen) <= points
    assert len(set(chosen)) == 10
    few = EmaVectorQuantizer(10, 3)
    few.start_from(latents[0, :3])
    assert {tuple(code) for code in few.codebook.tolist()} == {
        tuple(p) for p in latents[0, :3].tolist()
    }


def test_usage_figures() -> None:
    even = code_usage(torch.tensor([5, 5, 0, 5, 5]))
    assert (even.codebook_size, even.distinct) == (5, 4)
    assert even.entropy_bits == pytest.approx(2)
    assert even.perplexity == pytest.approx(4)
    counts = torch.tensor([1, 2, 3, 10])
    shares = np.array([1, 2, 3, 10]) / 16
    assert code_usage(counts).entropy_bits == pytest.approx(-(shares * np.log2(shares)).sum())
    assert code_usage(torch.tensor([0, 7])).perplexity == 1
    nothing = code_usage(torch.zeros(3))
    assert (nothing.distinct, nothing.entropy_bits, nothing.perplexity) == (0, 0.0, 0.0)
