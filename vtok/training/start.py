"""Where training starts: principal components for the straight paths, clusters for the codebook.

In: a new model and crops. Effect: the model is a transform coder (KLT of the patches, then a
vector quantizer fitted to it) before its first step. Knows nothing of files or steps.

Dimension letters: M patches, E = 3PP patch dimension, D code channels.
"""

import torch
from torch import Tensor
from torch.nn import functional

from vtok.models.vtok_base import VtokBaseTokenizer
from vtok.nn.quantizer import EmaVectorQuantizer

_BATCH = 32


@torch.no_grad()
def start_from_components(model: VtokBaseTokenizer, pixels: Tensor) -> None:
    """Set the straight paths to the patches' D principal components and back.

    The latents are scaled so that the components after the first have unit variance on average:
    distances between latents stay proportional to distances between pixels.

    Args:
        model: New, so that its networks add nothing yet.
        pixels: (B, 3, S, S) in [-1, 1].
    """
    patches = functional.pixel_unshuffle(pixels, model.config.patch_px)  # (B, E, h, w)
    points = patches.movedim(1, -1).flatten(0, 2).double()  # (M, E)
    mean = points.mean(dim=0)
    centred = points - mean
    variances, vectors = torch.linalg.eigh(centred.T @ centred / len(points))  # ascending
    components = vectors.flip(1)[:, : model.config.code_dim].T  # (D, E)
    spread = variances.flip(0)[1 : model.config.code_dim].mean().sqrt()
    down, up = components / spread, components.T * spread
    analysis, synthesis = model.analysis.straight, model.synthesis.straight
    assert analysis.bias is not None
    assert synthesis.bias is not None
    analysis.weight.copy_(down[:, :, None, None])
    analysis.bias.copy_(-(down @ mean))
    synthesis.weight.copy_(up[:, :, None, None])
    synthesis.bias.copy_(mean)


@torch.no_grad()
def start_codebook(
    model: VtokBaseTokenizer, quantizer: EmaVectorQuantizer, pixels: Tensor, *, num_rounds: int = 4
) -> None:
    """Fit the codebook to the latents of the pixels: k-means by moving averages.

    Args:
        model: Whose latents these are.
        quantizer: Its quantizer in training.
        pixels: (B, 3, S, S) in [-1, 1].
        num_rounds: Passes over the pixels.
    """
    parts = torch.split(pixels, _BATCH)
    batches = [model.encode(part).movedim(1, -1).flatten(0, 2) for part in parts]
    quantizer.start_from(torch.cat(batches))
    for _ in range(num_rounds):
        for latents in batches:
            quantizer.update(latents, quantizer.quantize(latents))
