"""The nearest code of every latent, exactly: the same index at any batch size, on any device.

In: latents (N, D) and a codebook (K, D). Out: indices (N,). Scores come from one fp32 matrix
product into a reused tile, with the codes' norms folded in as one more channel. Rounding makes
such a score uncertain by a bound that is known beforehand; wherever a second code comes within
twice that bound of the best, the candidates are compared again with errors some 2^-104 of the
scores, so that ties and near-ties do not depend on how the product was summed. Knows nothing of
grids, training or files.

Dimension letters: N latents, K codes, D channels, R rows of a tile, P candidate pairs.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from vtok.errors import NonFiniteError, WeightsError
from vtok.nn.quantizer.exact import SHORTEST, Metric, exact_scores
from vtok.nn.quantizer.fused import best_two, can_fuse

_TILE_ELEMENTS = 2**20  # 4 MiB of scores: stays in a core's cache between product and minimum
_MIN_TILE_ROWS = 64  # fewer rows waste the matrix product ...
_MAX_TILE_ELEMENTS = 2**23  # ... but 32 MiB is the limit whatever K
_BLOCK = 256  # codes whose minimum is taken at once, in one pass over the tile ...
_SMALL_BLOCK = 64  # ... of a codebook of up to _SMALL_CODEBOOK, whose blocks are few
_SMALL_CODEBOOK = 4096
_MAX_PAIRS = 2**19  # scores looked through, or channels of pairs compared in fp64, at once
_ROUNDOFF = 2.0**-24
_UNDERFLOW = 2.0**-126  # what flushing to zero may take from one term


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
        padding = -self.num_codes % self._block
        self._folded = torch.cat(  # (D + 1, K rounded up to whole blocks)
            (
                functional.pad(weight, (0, padding)),
                functional.pad(bias, (0, padding), value=torch.inf).unsqueeze(0),
            )
        )

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
        if not latents.isfinite().all():
            raise NonFiniteError("a latent is NaN or infinite: the model failed on this image")
        with _true_fp32(latents.device):
            indices, certain = self._first_pass(latents)
            doubtful = (~certain).nonzero().squeeze(1)
            rows = max(1, _MAX_PAIRS // self._folded.shape[1])
            for part in torch.split(doubtful, rows):
                indices[part] = self._second_pass(latents[part])
        return indices

    def _first_pass(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Return for every latent the best-scored code, and whether rounding cannot change it."""
        if can_fuse(latents):
            found = best_two(latents, self._folded)
            # NaN and infinity are never certain.
            return found.indices, found.second > found.best + self._slack(latents)
        num_latents, width = latents.shape[0], self._folded.shape[1]
        rows = min(
            max(_TILE_ELEMENTS // width, _MIN_TILE_ROWS), max(1, _MAX_TILE_ELEMENTS // width)
        )
        tile = latents.new_empty((min(rows, num_latents), width))
        indices = torch.empty(num_latents, dtype=torch.int64, device=latents.device)
        certain = torch.empty(num_latents, dtype=torch.bool, device=latents.device)
        slack = self._slack(latents)
        for start in range(0, num_latents, rows):
            part = slice(start, start + rows)
            scores = self._scores(latents[part], tile)
            blocks = scores.reshape(len(scores), -1, self._block)  # (R, K/block, block)
            minima = blocks.amin(dim=2)
            best, best_block = minima.min(dim=1)
            # Any code above its row's limit is farther than the best one for certain; NaN is not.
            limit = (best + slack[part]).unsqueeze(1)  # (R, 1)
            in_block = blocks[torch.arange(len(best), device=best.device), best_block]  # (R, block)
            near_blocks = (~(minima > limit)).sum(dim=1)
            near_codes = (~(in_block > limit)).sum(dim=1)
            indices[part] = best_block * self._block + in_block.argmin(dim=1)
            certain[part] = (near_blocks == 1) & (near_codes == 1)
        return indices, certain

    def _second_pass(self, latents: Tensor) -> Tensor:
        """Return the nearest codes (R,) of a few latents (R, D), without rounding."""
        scores = self._scores(latents, latents.new_empty((len(latents), self._folded.shape[1])))
        limit = (scores.amin(dim=1) + self._slack(latents)).unsqueeze(1)
        rows, codes = (~(scores > limit))[:, : self.num_codes].nonzero().unbind(1)  # (P,) each
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

    def _scores(self, latents: Tensor, tile: Tensor) -> Tensor:
        """Return scores (R, K rounded up), smallest for the nearest, in the tile's memory."""
        one = latents.new_ones((len(latents), 1))
        return torch.mm(torch.cat((latents, one), dim=1), self._folded, out=tile[: len(latents)])

    def _slack(self, latents: Tensor) -> Tensor:
        """Return (N,) fp32: how far above a row's minimum the score of its nearest code may lie.

        A sum of n products in any order is off by at most n u / (1 - n u) times the sum of their
        magnitudes (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1), which
        Cauchy and Schwarz bound by norms; the folded codes are themselves rounded once. Two scores
        are compared, hence twice that.
        """
        terms = self.code_dim + 4
        growth = terms * _ROUNDOFF / (1 - terms * _ROUNDOFF)
        norms: Tensor = latents.double().norm(dim=1)
        error: Tensor = growth * (norms * self._max_weight + self._max_bias)
        error = error + _UNDERFLOW * terms * (2 + norms + self._max_weight)
        return (2 * error * (1 + 4 * _ROUNDOFF)).float()  # rounding to fp32 must not shrink it


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
