"""Norms of convolutional tokenizers: by groups of channels, plain or scaled by the codes.

In: features (B, C, H, W), and for two of them the codes that a decoder was given. Out: as many
features. Sources: Zheng et al. (MoVQ), arXiv 2209.09002; Luo et al., arXiv 2409.04410.

Dimension letters: B batch, C channels, H W features, h w cells, D channels of a code.
"""

from torch import Tensor, nn
from torch.nn import functional

from vtok.errors import WeightsError

_NUM_GROUPS = 32
_EPS = 1e-6  # not torch's 1e-5, which moves latents by 2e-4


class AdaptiveNorm(nn.Module):
    """Group norm, scaled and shifted by linear maps of the code map's deviation and mean.

    Args:
        channels: Of input and output.
        code_channels: Of the code map (D).
    """

    def __init__(self, channels: int, code_channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(_NUM_GROUPS, channels, eps=_EPS, affine=False)
        self.gamma = nn.Linear(code_channels, channels)
        self.beta = nn.Linear(code_channels, channels)

    def forward(self, x: Tensor, codes: Tensor) -> Tensor:
        """Return (B, C, h', w') of x (B, C, h', w') and codes (B, D, h, w)."""
        cells = codes.flatten(2)  # (B, D, hw)
        scale: Tensor = self.gamma((cells.var(dim=2) + _EPS).sqrt())[:, :, None, None]
        shift: Tensor = self.beta(cells.mean(dim=2))[:, :, None, None]  # (B, C, 1, 1)
        normed: Tensor = self.norm(x)
        return scale * normed + shift


class SpatialNorm(nn.Module):
    """Group norm, scaled and shifted by linear maps of the code over each feature.

    Args:
        channels: Of input and output.
        code_channels: Of the code map (D).
    """

    def __init__(self, channels: int, code_channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.scale = nn.Conv2d(code_channels, channels, 1)
        self.shift = nn.Conv2d(code_channels, channels, 1)

    def forward(self, x: Tensor, codes: Tensor) -> Tensor:
        """Return (B, C, H, W) of x (B, C, H, W) and codes (B, D, h, w)."""
        under = functional.interpolate(codes, size=x.shape[2:], mode="nearest")  # (B, D, H, W)
        scale: Tensor = self.scale(under)
        shift: Tensor = self.shift(under)
        normed: Tensor = self.norm(x)
        return normed * scale + shift


def group_norm(channels: int) -> nn.GroupNorm:
    """Return the norm of 32 groups of channels.

    Raises:
        WeightsError: the channels do not make such groups.
    """
    if channels % _NUM_GROUPS:
        raise WeightsError(f"{channels} channels are not a multiple of {_NUM_GROUPS} groups")
    return nn.GroupNorm(_NUM_GROUPS, channels, eps=_EPS)
