"""A codebook with its inverse pair, quantize and lookup, and the straight-through gradient.

In: latents (..., D), channels last. Out: indices (...), int64 in [0, K), and codes (..., D). Knows
nothing of how the codebook was made (see `ema`), of pixels or of files.

Dimension letters: K codebook size, D code channels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtok.nn.quantizer.exact import Metric
from vtok.nn.quantizer.nearest import CodeSearch
from vtok.nn.quantizer.protocol import checked_indices


def straight_through(latents: Tensor, codes: Tensor) -> Tensor:
    """Return the codes, exactly, with the gradient going to the latents unchanged.

    Source: van den Oord et al., Neural Discrete Representation Learning, arXiv 1711.00937. The
    latents' own value cancels to zero before it meets the codes, so no rounding is added.
    """
    return codes.detach() + (latents - latents.detach())


class VectorQuantizer(nn.Module):
    """The nearest code of a codebook.

    Args:
        codebook_size: Number of codes (K).
        code_dim: Length of one code (D).
        metric: `l2`; `cosine`, whose codes have length 1; or `dot`.

    Attributes:
        codebook: (K, D) fp32 buffer, the only entry of the state dict; normal at first (of length
            1 for cosine), drawn from torch's default generator.
    """

    codebook: Tensor

    def __init__(self, codebook_size: int, code_dim: int, metric: Metric = "l2") -> None:
        super().__init__()
        self.metric: Metric = metric
        codes = torch.randn(codebook_size, code_dim)
        if metric == "cosine":
            codes = functional.normalize(codes, dim=1)
        self.register_buffer("codebook", codes)
        self._search: CodeSearch | None = None

    @property
    def codebook_size(self) -> int:
        """Number of codes (K)."""
        return self.codebook.shape[0]

    @property
    def code_dim(self) -> int:
        """Length of one code (D)."""
        return self.codebook.shape[1]

    def quantize(self, latents: Tensor) -> Tensor:
        """Return the index of the nearest code of every latent.

        Args:
            latents: (..., D) float, unnormalised whatever the metric; compared as fp32.

        Returns:
            (...) int64 in [0, K); ties go to the smaller index, whatever else is in the batch.

        Raises:
            NonFiniteError: A latent is NaN or infinite.
            WeightsError: The codebook is.
        """
        if latents.ndim < 1 or latents.shape[-1] != self.code_dim:
            raise ValueError(f"latents are (..., {self.code_dim}), not {tuple(latents.shape)}")
        indices = self._prepared().search(latents.reshape(-1, self.code_dim))
        return indices.reshape(latents.shape[:-1])

    def lookup(self, indices: Tensor) -> Tensor:
        """Return the codes (..., D) fp32, of length 1 for cosine, at indices (...) of integers.

        Raises:
            ShardError: An index is outside [0, K).
        """
        indices = checked_indices(indices, self.codebook_size)
        codes = functional.embedding(indices, self.codebook.float())
        # A loaded cosine codebook need not be of unit length, though its decoder expects that.
        return functional.normalize(codes, dim=-1) if self.metric == "cosine" else codes

    def straight_through(self, latents: Tensor, indices: Tensor) -> Tensor:
        """Return the codes at indices (...), as (..., D), whose gradient goes to the latents."""
        return straight_through(latents, self.lookup(indices))

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Return the straight-through codes (..., D) and the indices (...) of latents (..., D)."""
        indices = self.quantize(latents)
        return self.straight_through(latents, indices), indices

    def _prepared(self) -> CodeSearch:
        """Return the folded codebook, folded again only where the codebook has changed.

        The values are compared: a version counter would miss what is written through `.data`.
        """
        if self._search is None or not self._search.holds(self.codebook):
            self._search = CodeSearch(self.codebook, self.metric)
        return self._search
