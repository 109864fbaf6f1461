"""A codebook that follows its latents by moving averages, and revives codes that died.

In: latents (..., D) and the indices (...) that `quantize` gave them. Effect: the codebook moves.
Nothing here needs a gradient. Knows nothing of losses, steps or data.

Source: van den Oord et al., arXiv 1711.00937, appendix A.1 (averages); Williams et al.,
Hierarchical Quantized Autoencoders, arXiv 2002.08111 (reseeding of dead codes from the batch).

Dimension letters: K codebook size, D code channels, M latents of one update.
"""

import torch
from torch import Tensor
from torch.nn import functional

from vtok.nn.quantizer.exact import Metric
from vtok.nn.quantizer.protocol import checked_indices
from vtok.nn.quantizer.usage import CodeUsage, code_usage
from vtok.nn.quantizer.vector import VectorQuantizer


class EmaVectorQuantizer(VectorQuantizer):
    """A `VectorQuantizer` in training; its state dict is the same, so weights move between them.

    Args:
        codebook_size: Number of codes (K).
        code_dim: Length of one code (D).
        metric: `l2`, `cosine` or `dot`; the averages are of directions for cosine.
        decay: Weight of the past in the averages, in [0, 1).
        revive_after: Updates without a single use after which a code is drawn anew from the batch;
            0 never revives.
        seed: Of the draws; they depend on it and on the number of updates, on nothing else.

    Attributes:
        counts: (K,) fp32 average uses of an update.
        sums: (K, D) fp32 average sum of an update's latents.
        idle: (K,) int64 updates since the last use.
        num_updates: () int64.
    """

    counts: Tensor
    sums: Tensor
    idle: Tensor
    num_updates: Tensor

    def __init__(
        self,
        codebook_size: int,
        code_dim: int,
        metric: Metric = "l2",
        *,
        decay: float = 0.99,
        revive_after: int = 100,
        seed: int = 0,
    ) -> None:
        super().__init__(codebook_size, code_dim, metric)
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in [0, 1), not {decay}")
        self.decay = decay
        self.revive_after = revive_after
        self.seed = seed
        zeros = torch.zeros(codebook_size)
        # Not in the state dict: a trained model needs its codes only (see `training_state`).
        self.register_buffer("counts", torch.ones(codebook_size), persistent=False)
        self.register_buffer("sums", self.codebook.clone(), persistent=False)
        self.register_buffer("idle", zeros.long(), persistent=False)
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.int64), persistent=False)

    @torch.no_grad()
    def start_from(self, latents: Tensor) -> None:
        """Draw every code from latents (..., D), distinct ones as far as there are enough.

        The averages start over. A codebook born inside the cloud of latents has no dead codes.
        """
        points = self._points(latents)
        draws = torch.randperm(len(points), generator=self._generator())
        repeats = -(-self.codebook_size // len(points))
        chosen = draws.repeat(repeats)[: self.codebook_size].to(points.device)
        self._place(torch.arange(self.codebook_size, device=points.device), points[chosen])

    @torch.no_grad()
    def adopt(self, codebook: Tensor) -> None:
        """Take the codes (K, D) of a trained model, to go on from them; the averages start over."""
        self._place(torch.arange(self.codebook_size, device=self.codebook.device), codebook)

    @torch.no_grad()
    def update(self, latents: Tensor, indices: Tensor) -> int:
        """Move the codes towards the latents that they stand for, then revive dead ones.

        Args:
            latents: (..., D) float, as given to `quantize`.
            indices: (...) int64, as it returned.

        Returns:
            How many codes were revived.
        """
        points = self._points(latents)  # (M, D)
        chosen = checked_indices(indices, self.codebook_size).flatten()  # (M,)
        if len(chosen) != len(points):
            raise ValueError(f"{len(chosen)} indices for {len(points)} latents")
        uses = torch.bincount(chosen, minlength=self.codebook_size).float()
        totals = torch.zeros_like(self.sums).index_add_(0, chosen, points)
        self.counts.lerp_(uses, 1 - self.decay)
        self.sums.lerp_(totals, 1 - self.decay)
        self.num_updates += 1
        self.idle += 1
        self.idle[uses > 0] = 0
        # A code that this batch did not use stays put: both averages shrink alike, until their
        # quotient would be noise.
        moved = uses > 0
        means = self.sums[moved] / self.counts[moved].unsqueeze(1)
        self.codebook[moved] = self._on_manifold(means)
        return self._revive(points)

    def usage(self) -> CodeUsage:
        """Return the codebook's use over the recent updates, each weighed by its average count.

        Codes count as distinct while they have been used within `revive_after` updates (or within
        100 where nothing revives).
        """
        window = self.revive_after or 100
        return code_usage(torch.where(self.idle < window, self.counts, 0.0))

    def averages(self) -> tuple[Tensor, ...]:
        """Return the tensors that an update moves, themselves: codes, counts, sums, idleness."""
        return self.codebook, self.counts, self.sums, self.idle

    def training_state(self) -> dict[str, Tensor]:
        """Return what resuming needs beside the state dict: averages, idleness, updates."""
        return {name: getattr(self, name).clone() for name in _TRAINING_STATE}

    def load_training_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `training_state` returned."""
        if set(state) != set(_TRAINING_STATE):
            raise ValueError(f"training state holds {sorted(state)}, not {sorted(_TRAINING_STATE)}")
        for name, tensor in state.items():
            getattr(self, name).copy_(tensor)

    def _points(self, latents: Tensor) -> Tensor:
        """Return latents as (M, D) fp32 points of the space in which the averages live."""
        points = latents.detach().reshape(-1, self.code_dim).float()
        if len(points) == 0:
            raise ValueError("an update needs at least one latent")
        return self._on_manifold(points)

    def _on_manifold(self, vectors: Tensor) -> Tensor:
        """Return vectors of length 1 where the metric is cosine, else as they are."""
        return functional.normalize(vectors, dim=1) if self.metric == "cosine" else vectors

    def _revive(self, points: Tensor) -> int:
        """Put dead codes on latents of this batch; return how many."""
        if not self.revive_after:
            return 0
        dead = (self.idle >= self.revive_after).nonzero().squeeze(1)[: len(points)]
        if len(dead):
            draws = torch.randperm(len(points), generator=self._generator())[: len(dead)]
            self._place(dead, points[draws.to(points.device)])
        return len(dead)

    def _place(self, codes: Tensor, points: Tensor) -> None:
        """Set codes (indices) to points, with averages as if each had just been used once."""
        self.codebook[codes] = points
        self.counts[codes] = 1.0
        self.sums[codes] = points
        self.idle[codes] = 0

    def _generator(self) -> torch.Generator:
        """Return a generator that depends on the seed and the number of updates only."""
        mixed = (self.seed * 1_000_003 + int(self.num_updates)) % 2**63
        return torch.Generator().manual_seed(mixed)


_TRAINING_STATE = ("counts", "sums", "idle", "num_updates")
