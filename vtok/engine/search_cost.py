"""What finding the nearest code costs beside `torch.cdist().argmin()`, in one run.

In: how many rounds. Out: CPU seconds of both for three lengths of code. Knows nothing of models.

Dimension letters: N latents, K codes, D channels.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch

from vtok.nn.quantizer.nearest import CodeSearch

NUM_LATENTS = 8192
FOLDED_ROWS = 256
CDIST_ROWS = 2048  # unchunked, cdist would hold N x K floats
NUM_CODES = 16384
CODE_DIMS = (8, 64, 256)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchCost:
    """CPU seconds for `NUM_LATENTS` latents and `NUM_CODES` codes, on one thread.

    Attributes:
        code_dim: Length of a code.
        cdist_s: Of `torch.cdist().argmin()`, in parts.
        folded_s: Of a matrix product with the norms folded in and `numpy.argmin`, which is not
            exact: the search without any doubts.
        search_s: Of the exact search.
    """

    code_dim: int
    cdist_s: float
    folded_s: float
    search_s: float

    def seconds_of(self, num_latents: int) -> float:
        """Return the CPU seconds of the search for so many latents."""
        return self.search_s * num_latents / NUM_LATENTS

    def to_json(self) -> dict[str, Any]:
        """Return the figures for machines."""
        return {
            **asdict(self),
            "ratio": round(self.search_s / self.cdist_s, 3),
            "of_folded": round(self.search_s / self.folded_s, 3),
        }


@torch.inference_mode()
def search_costs(rounds: int) -> Iterator[SearchCost]:
    """Yield the medians of rounds in which all take turns."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for code_dim in CODE_DIMS:
            yield _cost(code_dim, rounds)
    finally:
        torch.set_num_threads(num_threads)


def _cost(code_dim: int, rounds: int) -> SearchCost:
    generator = torch.Generator().manual_seed(code_dim)
    latents = torch.randn(NUM_LATENTS, code_dim, generator=generator)
    codebook = torch.randn(NUM_CODES, code_dim, generator=generator)
    search = CodeSearch(codebook)

    def by_cdist() -> None:
        for part in torch.split(latents, CDIST_ROWS):
            torch.cdist(part, codebook).argmin(1)

    with_one = torch.cat((latents, torch.ones(NUM_LATENTS, 1)), 1)  # (N, D + 1)
    folded = torch.cat((-2 * codebook.T, codebook.square().sum(1)[None]))  # (D + 1, K)
    tile = torch.empty(FOLDED_ROWS, NUM_CODES)

    def by_product() -> None:
        for part in torch.split(with_one, FOLDED_ROWS):
            torch.mm(part, folded, out=tile[: len(part)]).numpy().argmin(1)

    ways: list[Callable[[], object]] = [by_cdist, by_product, lambda: search.search(latents)]
    for way in ways:
        way()  # what is made at the first call is not the search's
    seconds: list[list[float]] = [[], [], []]
    for _ in range(rounds):
        for way, found in zip(ways, seconds, strict=True):
            began = time.process_time()
            way()
            found.append(time.process_time() - began)
    cdist_s, folded_s, search_s = map(statistics.median, seconds)
    return SearchCost(code_dim=code_dim, cdist_s=cdist_s, folded_s=folded_s, search_s=search_s)
