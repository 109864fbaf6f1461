"""Coordinates for continuous tokens in which two views of one image lie close together.

In: a trained model and images. Effect: the map behind its last features is set. Knows nothing of
files, steps or losses.

Features that were learnt to reconstruct differ most in what a crop or another exposure changes.
The map divides that out: it whitens the variation within an image, as seen over random views of
it. Source: within-class covariance normalization (Hatch et al., Interspeech 2006), known as
learned whitening where images are retrieved (Radenović et al., arXiv 1711.02512).

Dimension letters: N images, V views of each, C width of the model.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vtok.models.vtok_base import VtokBaseTokenizer
from vtok.training.crops import recoloured
from vtok.training.photographs import Photographs

Pixels = npt.NDArray[np.uint8]

_MOST_IMAGES = 500
_VIEWS = 4
_VIEW_SHARE = 0.7
_COLOUR_JITTER = 0.2
_SHRINKAGE = 0.03
"""Of the covariance towards a multiple of the identity: 4 views of 200 images leave noise in it."""


@torch.inference_mode()
def fit_whitening(
    model: VtokBaseTokenizer, images: Photographs, *, device: torch.device, seed: int = 0
) -> None:
    """Set the map behind the model's last features from random views of (at most 500) images.

    A view is a crop of 70 % of each side with saturation, contrast and brightness changed by up to
    20 %; its mean feature is what is whitened. Vectors of patches come out with mean 0 and a
    variance of 1 on average over their channels.

    Args:
        model: On the device; its features are what they will be.
        images: To learn from; an even selection where there are many.
        device: Where the features are computed.
        seed: Of the views.
    """
    chosen = np.linspace(0, len(images) - 1, min(len(images), _MOST_IMAGES)).round().astype(int)
    within = torch.zeros(model.config.width, model.config.width, dtype=torch.float64)
    vectors = _Moments(model.config.width)
    for number in chosen.tolist():
        draw = np.random.default_rng((seed, number))
        means = []
        for _ in range(_VIEWS):
            view = _view(images[number], draw, align=model.config.patch_px)
            pixels = torch.from_numpy(view).to(device).permute(2, 0, 1)[None] / 127.5 - 1
            features = model.analysis.features(pixels)[0].flatten(1).T.double().cpu()  # (hw, C)
            vectors.add(features)
            means.append(features.mean(0))
        views = torch.stack(means)  # (V, C)
        views -= views.mean(0)
        within += views.T @ views / (_VIEWS - 1) / len(chosen)
    _set(model, within, vectors)


class _Moments:
    """Mean and covariance of vectors that come in parts."""

    def __init__(self, width: int) -> None:
        self._count = 0
        self._sum = torch.zeros(width, dtype=torch.float64)
        self._squares = torch.zeros(width, width, dtype=torch.float64)

    def add(self, vectors: Tensor) -> None:
        """Take vectors (M, C)."""
        self._count += len(vectors)
        self._sum += vectors.sum(0)
        self._squares += vectors.T @ vectors

    def mean(self) -> Tensor:
        """Return the mean, (C,)."""
        return self._sum / self._count

    def covariance(self) -> Tensor:
        """Return the covariance, (C, C)."""
        return self._squares / self._count - torch.outer(self.mean(), self.mean())


def _view(pixels: Pixels, draw: np.random.Generator, *, align: int) -> Pixels:
    """Return a crop at a random place, its sides multiples of align, its colours changed."""
    height, width = pixels.shape[:2]
    rows, cols = (max(1, int(side * _VIEW_SHARE / align)) * align for side in (height, width))
    if rows > height or cols > width:  # an image smaller than one patch
        below, right = max(0, rows - height), max(0, cols - width)
        pixels = np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge")
    top = int(draw.integers(pixels.shape[0] - rows + 1))
    left = int(draw.integers(pixels.shape[1] - cols + 1))
    return recoloured(pixels[top : top + rows, left : left + cols], draw, _COLOUR_JITTER)


def _set(model: VtokBaseTokenizer, within: Tensor, vectors: _Moments) -> None:
    """Set the map from the covariance within images (C, C) and the moments of all vectors."""
    level = within.trace() / len(within)
    if not level > 0:
        return  # views that do not differ at all: there is nothing to divide out
    shrunk = within + _SHRINKAGE * level * torch.eye(len(within), dtype=within.dtype)
    variances, axes = torch.linalg.eigh(shrunk)
    whitening = axes @ torch.diag(variances.rsqrt()) @ axes.T  # symmetric: nearest to no change
    spread = (whitening @ vectors.covariance() @ whitening).trace() / len(within)
    whitening = whitening / spread.sqrt()
    layer = model.analysis.whitening
    assert layer.bias is not None
    layer.weight.copy_(whitening[:, :, None, None])
    layer.bias.copy_(-(whitening @ vectors.mean()))
