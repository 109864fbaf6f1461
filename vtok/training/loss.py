"""What training minimises: the logarithm of each crop's error, and the latents' commitment.

In: crops, their reconstructions, latents and codes. Out: scalars. Knows nothing of models.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Loss(NamedTuple):
    """The parts of the loss.

    Attributes:
        total: What is minimised; it alone carries the gradient.
        psnr_db: Mean over crops.
        commitment: The second term, without its weight.
        errors: (B,) each crop's mean squared error, with the floor.
    """

    total: Tensor
    psnr_db: Tensor
    commitment: Tensor
    errors: Tensor


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
        latents: (B, D, h, w): what each code is the nearest one to.
        codes: (B, D, h, w); no gradient goes to them.
        commitment: Weight of the second term.
        log_floor: Keeps an almost perfect crop from outweighing all others.

    Returns:
        Its parts; PSNR in dB, 255 against 255.
    """
    errors = (reconstructed - pixels).square().flatten(1).mean(1)  # (B,)
    distance = functional.mse_loss(latents, codes.detach())
    floored = errors + log_floor
    total = torch.log(floored).mean() + commitment * distance
    psnr = -10 * torch.log10(errors.detach() / 4 + 1e-10).mean()  # the range is 2, squared 4
    return Loss(total, psnr, distance.detach(), floored.detach())
