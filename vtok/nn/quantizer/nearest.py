"""The nearest code of every latent, exactly: the same index at any batch size, on any device.

In: latents (N, D) and a codebook (K, D). Out: indices (N,). Scores come from fp32 matrix products
into a reused tile (`tiled`; `fused` on a GPU), with the codes' norms folded in as one more channel.
Rounding makes such a score uncertain by a bound that is known beforehand; wherever a second code
comes within twice that bound of the best, the candidates are compared again with errors some 2^-104
of the scores, so that ties and near-ties do not depend on how the product was summed. Knows nothing
of grids, training or files.

Dimension letters: N latents, K codes, D channels, R rows of a tile, C codes of a part, P candidate
pairs.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from vtok.errors import NonFiniteError, WeightsError
from vtok.nn.quantizer.exact import SHORTEST, Metric, exact_scores
from vtok.nn.quantizer.fused import best_two, can_fuse
from vtok.nn.quantizer.tiled import FoundCodes, Part, best_codes, part_scores

_TILE_ELEMENTS = 2**20  # 4 MiB of scores: stays in a core's cache between product and minimum ...
_GPU_TILE_ELEMENTS = 2**23  # ... which on a GPU is not worth many launches
_PART = 2048  # codes of a tile
_BLOCK = 256  # codes whose minimum is taken at once, in one pass over the tile ...
_SMALL_BLOCK = 64  # ... of a codebook of up to _SMALL_CODEBOOK, whose blocks are few
_SMALL_CODEBOOK = 4096
_MAX_PAIRS = 2**19  # channels of pairs compared in fp64 at once
_MAX_CANDIDATES = 2**19  # pairs of doubtful latents and codes looked through at once
_ROUNDOFF = 2.0**-24
_UNDERFLOW = 2.0**-126  # what flushing to zero may take from one term
_OVERFLOW = 2.0**127


class CodeSearch:
    """A codebook prepared for searching: fold it once, search it often.

    Args:
        codebook: (K, D) float, finite.
        metric: `l2`, smallest distance; `cosine`, largest cosine, where a zero vector has cosine 0
            with everything; `dot`, largest inner product.

    Raises:
        WeightsError: A code is NaN or infinite.
    """

    def __init__(self, codebook: Tensor, metric: Metric = "l2") -> None:
        if codebook.ndim != 2 or codebook.shape[0] < 1 or codebook.shape[1] < 1:
            raise ValueError(f"a codebook is (K, D), not {tuple(codebook.shape)}")
        if metric not in ("l2", "cosine", "dot"):
            raise ValueError(f"metric must be l2, cosine or dot, not {metric!r}")
        self.codebook = codebook.detach().float().clone()
        if not self.codebook.isfinite().all():
            raise WeightsError("the codebook holds NaN or infinite values; load or train it again")
        self.metric = metric
        self.num_codes, self.code_dim = codebook.shape
        block = _SMALL_BLOCK if self.num_codes <= _SMALL_CODEBOOK else _BLOCK
        self._block = min(block, self.num_codes)
        weight, bias = _linear_form(self.codebook, metric)
        self._max_weight = float(weight.double().norm(dim=0).max())
        self._max_bias = float(bias.abs().max())
        self._is_fused = can_fuse(self.codebook)
        self._parts = tuple(_parts(weight, bias, self._block, self._is_fused))

    def holds(self, codebook: Tensor) -> bool:
        """Return whether this is the search of exactly these codes, on their device."""
        return codebook.device == self.codebook.device and torch.equal(
            codebook.detach().float(), self.codebook
        )

    @torch.no_grad()
    def search(self, latents: Tensor) -> Tensor:
        """Return the index of the nearest code of every latent.

        Args:
            latents: (N, D) float, on the codebook's device; compared as fp32.

        Returns:
            (N,) int64 in [0, K); ties go to the smaller index.

        Raises:
            NonFiniteError: A latent is NaN or infinite.
        """
        if latents.ndim != 2 or latents.shape[1] != self.code_dim:
            raise ValueError(f"latents are (N, {self.code_dim}), not {tuple(latents.shape)}")
        latents = latents.detach().float()
        if not len(latents):
            return torch.empty(0, dtype=torch.int64, device=latents.device)
        with _true_fp32(latents.device):
            slack = self._slack(latents)
            found = self._first_pass(latents, slack)
            doubtful = (~found.certain).nonzero().squeeze(1)
            for part in torch.split(doubtful, max(1, _MAX_CANDIDATES // self.num_codes)):
                limit = found.best[part] + slack[part]
                found.indices[part] = self._second_pass(latents[part], limit)
        return found.indices

    def _first_pass(self, latents: Tensor, slack: Tensor) -> FoundCodes:
        """Return for every latent the best-scored code, and whether rounding cannot change it."""
        if self._is_fused:
            two = best_two(latents, self._parts[0].folded)
            # NaN is never certain.
            return FoundCodes(two.best, two.indices, two.second > two.best + slack)
        elements = _GPU_TILE_ELEMENTS if latents.is_cuda else _TILE_ELEMENTS
        width = max(part.folded.shape[1] for part in self._parts)
        num_rows = min(len(latents), max(1, elements // width))
        tile = latents.new_empty(num_rows * width)
        found = [
            best_codes(rows, around, self._parts, self._block, tile)
            for rows, around in zip(
                torch.split(latents, num_rows), torch.split(slack, num_rows), strict=True
            )
        ]
        return FoundCodes(*map(torch.cat, zip(*found, strict=True)))

    def _second_pass(self, latents: Tensor, limit: Tensor) -> Tensor:
        """Return the nearest codes (R,) of a few latents (R, D), without rounding.

        Args:
            latents: fp32.
            limit: (R,) fp32: a code with a higher score is not the nearest.
        """
        rows, codes = self._candidates(latents, limit)  # (P,) each
        pairs = max(1, _MAX_PAIRS // self.code_dim)
        parts = [
            exact_scores(latents, self.codebook, *part, self.metric)
            for part in zip(torch.split(rows, pairs), torch.split(codes, pairs), strict=True)
        ]
        high, low = (torch.cat(part) for part in zip(*parts, strict=True))
        leading = _smallest_of_row(high, rows, len(latents))
        rows, codes, low = rows[leading], codes[leading], low[leading]
        leading = _smallest_of_row(low, rows, len(latents))
        rows, codes = rows[leading], codes[leading]
        nearest = codes.new_full((len(latents),), self.num_codes)
        return nearest.scatter_reduce(0, rows, codes, "amin")

    def _candidates(self, latents: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pairs (row, code) whose score is not above the row's limit, (P,) each."""
        with_one = torch.cat((latents, latents.new_ones((len(latents), 1))), dim=1)  # (R, D + 1)
        width = max(part.folded.shape[1] for part in self._parts)
        tile = latents.new_empty(len(latents) * width)
        found = []
        for part in self._parts:
            scores = part_scores(with_one, part, tile)[:, : self.num_codes - part.first]
            rows, codes = (~(scores > limit.unsqueeze(1))).nonzero().unbind(1)
            found.append((rows, codes + part.first))
        rows, codes = (torch.cat(column) for column in zip(*found, strict=True))
        return rows, codes

    def _slack(self, latents: Tensor) -> Tensor:
        """Return (N,) fp32: how far above a row's minimum the score of its nearest code may lie.

        A sum of n products in any order is off by at most n u / (1 - n u) times the sum of their
        magnitudes (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1), which
        Cauchy and Schwarz bound by norms; the folded codes are themselves rounded once. Two scores
        are compared, hence twice that. Where a sum may overflow on the way, a score says nothing.

        Raises:
            NonFiniteError: A latent is NaN or infinite.
        """
        terms = self.code_dim + 4
        growth = terms * _ROUNDOFF / (1 - terms * _ROUNDOFF)
        norms: Tensor = torch.cat(  # in parts, for the copies in fp64 are large
            [part.double().norm(dim=1) for part in torch.split(latents, 4096)]
        )
        if not norms.isfinite().all():
            raise NonFiniteError("a latent is NaN or infinite: the model failed on this image")
        magnitude = norms * self._max_weight + self._max_bias
        error = growth * magnitude + _UNDERFLOW * terms * (2 + norms + self._max_weight)
        slack: Tensor = 2 * error * (1 + 4 * _ROUNDOFF)  # rounding to fp32 must not shrink it
        return slack.masked_fill(magnitude > _OVERFLOW, torch.inf).float()


def nearest_code(latents: Tensor, codebook: Tensor, metric: Metric = "l2") -> Tensor:
    """Return the index of the nearest code of every latent.

    Args:
        latents: (N, D) float, unnormalised whatever the metric.
        codebook: (K, D) float on the same device, unnormalised whatever the metric.
        metric: `l2`, `cosine` or `dot`.

    Returns:
        (N,) int64 in [0, K). Ties go to the smaller index. An index depends on its own latent
        alone, not on the batch; working memory is at most 64 MiB beyond copies of the arguments.

    Raises:
        NonFiniteError: A latent is NaN or infinite.
        WeightsError: A code is.
    """
    return CodeSearch(codebook, metric).search(latents)


def _linear_form(codebook: Tensor, metric: Metric) -> tuple[Tensor, Tensor]:
    """Return weight (D, K) and bias (K,) so that latent @ weight + bias is least at the nearest."""
    exact = codebook.double()
    if metric == "l2":  # |z - e|^2 = |z|^2 - 2 z.e + |e|^2, and |z|^2 is the same for all codes
        return -2 * codebook.T.contiguous(), exact.square().sum(dim=1).float()
    if metric == "cosine":
        exact = exact / exact.norm(dim=1, keepdim=True).clamp_min(SHORTEST)
    return -exact.T.float().contiguous(), codebook.new_zeros(len(codebook))


def _parts(weight: Tensor, bias: Tensor, block: int, is_whole: bool) -> Iterator[Part]:
    """Yield the folded codebook in parts, each filled up to whole blocks by codes out of reach."""
    num_codes = len(bias)
    size = num_codes if is_whole else max(block, _PART // block * block)
    for first in range(0, num_codes, size):
        columns = slice(first, min(first + size, num_codes))
        padding = -(columns.stop - first) % block
        folded = torch.cat(
            (
                functional.pad(weight[:, columns], (0, padding)),
                functional.pad(bias[columns], (0, padding), value=torch.inf).unsqueeze(0),
            )
        )
        yield Part(first, folded)


def _smallest_of_row(values: Tensor, rows: Tensor, num_rows: int) -> Tensor:
    """Return (P,) bool: which of the pairs have the smallest value of their row."""
    smallest = values.new_full((num_rows,), torch.inf).scatter_reduce(0, rows, values, "amin")
    return values == smallest[rows]


@contextlib.contextmanager
def _true_fp32(device: torch.device) -> Iterator[None]:
    """Run matrix products in IEEE fp32, whatever autocast, TF32 or bf16 switches say."""
    owner = torch.backends.cuda if device.type == "cuda" else torch.backends.mkldnn
    backend = getattr(owner, "matmul", None)
    with torch.autocast(device_type=device.type, enabled=False):
        # The switch of one backend since torch 2.9; mixing it with the older, global one is an
        # error there, so it is read and set alone.
        if backend is not None and hasattr(backend, "fp32_precision"):
            before = backend.fp32_precision
            backend.fp32_precision = "ieee"
            try:
                yield
            finally:
                backend.fp32_precision = before
        else:
            before = torch.get_float32_matmul_precision()
            torch.set_float32_matmul_precision("highest")
            try:
                yield
            finally:
                torch.set_float32_matmul_precision(before)
