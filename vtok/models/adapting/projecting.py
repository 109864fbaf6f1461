"""A projector behind an encoder: read from a file, or freshly drawn; the two as one encoder.

In: what was asked for, and the encoder. Out: an encoder whose features lie in the space of a
language model, and which records what projects them. Knows nothing of images or files' names.

Dimension letters: B batch, M tokens out, D language channels.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from vtok.errors import UsageError, WeightsError
from vtok.models.adapting.projector_file import (
    ProjectorKind,
    make_projector,
    projector_digest,
    read_projector,
)
from vtok.models.base import Encoder, EncoderSpec, ProjectorFacts
from vtok.nn.projector import Projector
from vtok.records import Grid, Size

DEFAULT_DIM = 4096
"""Channels of a fresh projector's tokens: those of the language models of 7 to 8 billion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectorRequest:
    """A projector that was asked for.

    Attributes:
        kind: Which of `vtok.nn`'s.
        number: Side of a square of `pixel-shuffle`, tokens of `resampler`; 0 for the others.
        weights: Its safetensors file; None to draw it.
        dim: Channels of its tokens (D); None for the file's, or `DEFAULT_DIM`.
        seed: Of the draw.
    """

    kind: ProjectorKind
    number: int = 0
    weights: Path | None = None
    dim: int | None = None
    seed: int = 0


class ProjectedEncoder(Encoder):
    """An encoder and a projector.

    Args:
        encoder: Gives patches.
        projector: Takes vectors of the encoder's length.
        facts: What is recorded of the projector.
        factor: Patches along one side that it makes one token of.
    """

    def __init__(
        self, encoder: Encoder, projector: Projector, facts: ProjectorFacts, factor: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = projector
        self.weights_sha256 = encoder.weights_sha256
        self.spec = _projected_spec(encoder.spec, projector, facts, factor)

    def features(self, pixels: Tensor) -> Tensor:
        """Return tokens (B, M, D) of pixels (B, 3, H, W)."""
        return self._project(self.encoder.features(pixels), pixels)

    def features_packed(self, images: Sequence[Tensor]) -> list[Tensor]:
        """Return tokens (M, D) of each of some images (3, H, W)."""
        features = self.encoder.features_packed(images)
        return [
            self._project(each.unsqueeze(0), image)[0]
            for each, image in zip(features, images, strict=True)
        ]

    def _project(self, features: Tensor, pixels: Tensor) -> Tensor:
        size = Size(height=pixels.shape[-2], width=pixels.shape[-1])
        grid = self.encoder.spec.token_grid(size)
        assert grid is not None, "only patches are projected"
        tokens: Tensor = self.projector(features, grid)
        return tokens


def project(encoder: Encoder, request: ProjectorRequest) -> ProjectedEncoder:
    """Return the encoder with the projector that was asked for behind it.

    Raises:
        UsageError: the encoder's output is not of patches, or the projector does not suit it.
        WeightsError: the file is missing or damaged, or holds another projector.
    """
    spec = encoder.spec
    grid_needed = spec.output == "patches" and not spec.reads_tiles_together
    if not grid_needed or spec.num_tokens is not None:
        raise UsageError(
            f"--projector takes patches, and {spec.name} gives {spec.output}: leave out one of "
            "--projector and --output"
        )
    if request.weights is None:
        dim = request.dim or DEFAULT_DIM
        projector = _drawn(request, spec.dim, dim)
        digest = _digest(projector)
    else:
        projector, dim = _held(request, request.weights, spec)
        digest = projector_digest(request.weights)
    facts = ProjectorFacts(
        kind=request.kind,
        number=request.number,
        in_dim=spec.dim,
        out_dim=dim,
        weights_sha256=digest,
        seed=request.seed if request.weights is None else None,
    )
    factor = request.number if request.kind == "pixel-shuffle" else 1
    return ProjectedEncoder(encoder, projector, facts, factor).eval()


def _projected_spec(
    spec: EncoderSpec, projector: Projector, facts: ProjectorFacts, factor: int
) -> EncoderSpec:
    """Return the facts of an encoder behind which a projector stands.

    Raises:
        UsageError: squares of patches do not divide the one size that the encoder takes.
    """
    merge = spec.merge * factor
    alignment_px = math.lcm(spec.alignment_px, spec.patch_px * merge)
    grid = None if spec.fixed_size is None else spec.token_grid(spec.fixed_size)
    if grid is not None and (grid.rows % factor or grid.cols % factor):
        raise UsageError(
            f"{spec.name} gives a grid of {grid} patches, which squares of "
            f"{factor} do not divide: give another --projector"
        )
    is_resampler = facts.kind == "resampler"
    return replace(
        spec,
        dim=facts.out_dim,
        merge=merge,
        alignment_px=alignment_px,
        num_tokens=projector.num_tokens(Grid(rows=1, cols=1)) if is_resampler else None,
        output="projected",
        projector=facts,
    )


def _held(request: ProjectorRequest, weights: Path, spec: EncoderSpec) -> tuple[Projector, int]:
    """Return the projector in a file, and the length of its vectors; it must fit the encoder."""
    held = read_projector(weights, request.kind, request.number)
    if held.in_dim != spec.dim:
        raise WeightsError(
            f"{weights}: its {request.kind} projector takes vectors of {held.in_dim}, and "
            f"{spec.name} gives {spec.dim}: it is of another encoder"
        )
    if request.dim not in (None, held.out_dim):
        raise UsageError(
            f"--projector-dim {request.dim}, but the projector in {weights} gives vectors of "
            f"{held.out_dim}: leave --projector-dim out"
        )
    return held.projector, held.out_dim


def _drawn(request: ProjectorRequest, in_dim: int, out_dim: int) -> Projector:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(request.seed)
        return make_projector(request.kind, request.number, in_dim, out_dim)


def _digest(projector: Projector) -> str:
    """Return a digest of every weight, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(projector.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
