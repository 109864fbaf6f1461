"""The kernel that compares distances as it computes them, held to the plain search and to fp64."""

import pytest
import torch

from vtok.nn.quantizer import fused
from vtok.nn.quantizer.nearest import CodeSearch

SIZES = [(37, 300, 8), (130, 1000, 20), (64, 64, 256), (5, 7, 3), (1, 1, 1)]


def test_the_cpu_does_without_it() -> None:
    assert not fused.can_fuse(torch.zeros(3, 4))


@pytest.mark.gpu
@pytest.mark.parametrize(("num_latents", "num_codes", "code_dim"), SIZES)
def test_the_two_best_scores_are_those_of_fp64(
    num_latents: int, num_codes: int, code_dim: int
) -> None:
    pytest.importorskip("triton")
    generator = torch.Generator().manual_seed(num_codes)
    latents = torch.randn(num_latents, code_dim, generator=generator)
    folded = torch.randn(code_dim + 1, num_codes, generator=generator)
    found = fused.best_two(latents.cuda(), folded.cuda())
    scores = latents.double() @ folded[:-1].double() + folded[-1].double()
    assert (found.best.cpu() - scores.amin(1)).abs().max() < 1e-4
    if num_codes > 1:
        second = scores.topk(2, dim=1, largest=False).values[:, 1]
        assert (found.second.cpu() - second).abs().max() < 1e-4


@pytest.mark.gpu
@pytest.mark.parametrize("metric", ["l2", "cosine", "dot"])
def test_indices_are_those_of_the_cpu_ties_included(metric: str) -> None:
    pytest.importorskip("triton")
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(5000, 32, generator=generator)
    codebook = torch.randn(4099, 32, generator=generator)
    codebook[7] = codebook[4000]
    latents[:50] = codebook[4000]
    expected = CodeSearch(codebook, metric).search(latents)  # type: ignore[arg-type]
    found = CodeSearch(codebook.cuda(), metric).search(latents.cuda())  # type: ignore[arg-type]
    assert torch.equal(found.cpu(), expected)


@pytest.mark.gpu
def test_no_more_than_64_megabytes_are_taken() -> None:
    pytest.importorskip("triton")
    search = CodeSearch(torch.randn(65536, 8, device="cuda"))
    latents = torch.randn(65536, 8, device="cuda")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    search.search(latents)
    assert torch.cuda.max_memory_allocated() - before < 64 << 20
