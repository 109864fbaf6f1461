"""What training minimises: the logarithm of each crop's error, and the latents' commitment.

In: crops, their reconstructions, latents and codes. Out: scalars. Knows nothing of models.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Loss(NamedTuple):
    """The parts of the loss; `total` carries the gradient."""

    total: Tensor
    psnr_db: Tensor
    commitment: Tensor


def reconstruction_loss(
    pixels: Tensor,
    reconstructed: Tensor,
    latents: Tensor,
    codes: Tensor,
    *,
    commitment: float,
    log_floor: float,
) -> Loss:
    """Return mean log(MSE + floor) over crops + commitment x mean squared latent-to-code distance.

    The quality that is reported is the mean PSNR over images, which is a mean of logarithms: the
    logarithm in the loss gives a smooth crop the weight that it has there.

    Args:
        pixels: (B, 3, H, W) in [-1, 1].
        reconstructed: Likewise, unclamped.
        latents: (B, D, h, w).
        codes: (B, D, h, w); no gradient goes to them.
        commitment: Weight of the second term.
        log_floor: Keeps an almost perfect crop from outweighing all others.

    Returns:
        Total, the mean PSNR in dB (255 against 255) and the unweighted commitment.
    """
    errors = (reconstructed - pixels).square().flatten(1).mean(1)  # (B,)
    distance = functional.mse_loss(latents, codes.detach())
    total = torch.log(errors + log_floor).mean() + commitment * distance
    psnr = -10 * torch.log10(errors.detach() / 4 + 1e-10).mean()  # the range is 2, squared 4
    return Loss(total, psnr, distance.detach())
