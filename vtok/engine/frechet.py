"""The Fréchet distance between two sets of images, by the features of a network (FID).

In: images, pair by pair or in any order. Out: one number: the distance of the two normal
distributions that have the mean and covariance of the features. Computed in float64 on the host.
Source: Heusel et al., arXiv 1706.08500, equation 6.

Dimension letters: N images, D features, B batch, H W pixels.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vtok.errors import NonFiniteError
from vtok.models.inception import Inception, load_inception, resized

Pixels = npt.NDArray[np.uint8]
_Matrix = npt.NDArray[np.float64]

BATCH_SIZE = 16


class Distribution:
    """Mean and covariance of features that come a few at a time.

    As long as there are no more samples than features, these themselves are kept: what follows then
    costs what they are, and not what a covariance of so many features is.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.num_samples = 0
        self._origin = np.zeros(dim)
        self._total = np.zeros(dim)
        self._rows: list[_Matrix] = []
        self._products: _Matrix | None = None

    def add(self, features: npt.NDArray[np.floating]) -> None:
        """Take features (B, D), finite."""
        values = features.astype(np.float64)
        if self.num_samples == 0:  # sums of squares about a point near the mean lose no digits
            self._origin = values.mean(0)
        values = values - self._origin
        self.num_samples += len(values)
        self._total += values.sum(0)
        if self._products is not None:
            self._products += values.T @ values
            return
        self._rows.append(values)
        if self.num_samples > self.dim:
            rows = np.concatenate(self._rows)
            self._products = rows.T @ rows
            self._rows.clear()

    @property
    def mean(self) -> _Matrix:
        """(D,)."""
        mean: _Matrix = self._origin + self._total / self.num_samples
        return mean

    @property
    def trace(self) -> float:
        """Of the covariance, which is that of a sample: divided by one less than there are."""
        if self._products is None:
            return float(np.square(self._centred()).sum())
        return float(np.trace(self._covariance()))

    def factor(self) -> _Matrix:
        """Return F (r, D), r as small as it can be; the covariance is F.T @ F."""
        if self._products is None:
            return self._centred()
        values, vectors = np.linalg.eigh(self._covariance())
        factor: _Matrix = (vectors * np.sqrt(values.clip(min=0))).T
        return factor

    def form(self, factor: _Matrix) -> _Matrix:
        """Return factor @ covariance @ factor.T, (r, r), of a factor (r, D)."""
        form: _Matrix
        if self._products is None:
            mixed = factor @ self._centred().T
            form = mixed @ mixed.T
        else:
            form = factor @ self._covariance() @ factor.T
        return form

    def _centred(self) -> _Matrix:
        """Return the samples about their mean, (N, D), divided by the root of N - 1."""
        rows = np.concatenate(self._rows) - self._total / self.num_samples
        centred: _Matrix = rows / np.sqrt(self.num_samples - 1)
        return centred

    def _covariance(self) -> _Matrix:
        assert self._products is not None
        outer = np.outer(self._total, self._total) / self.num_samples
        covariance: _Matrix = (self._products - outer) / (self.num_samples - 1)
        return covariance


def frechet_distance(first: Distribution, second: Distribution) -> float:
    """Return |m1 - m2|^2 + trace(S1 + S2 - 2 (S1 S2)^(1/2)), never below 0.

    With S1 = F'F, the trace of the root is the sum of the roots of the eigenvalues of F S2 F',
    which is symmetric: no complex root of a matrix is taken, and singular covariances, as those of
    fewer images than features are, need no care.

    Raises:
        ValueError: one of them has fewer than two samples.
    """
    few, many = sorted((first, second), key=lambda each: each.num_samples)
    if few.num_samples < 2:
        raise ValueError("a covariance needs at least two samples")
    eigenvalues = np.linalg.eigvalsh(many.form(few.factor()))
    difference = first.mean - second.mean
    distance = float(
        difference @ difference
        + first.trace
        + second.trace
        - 2 * np.sqrt(eigenvalues.clip(min=0)).sum()
    )
    return max(0.0, distance)


class FidMeter:
    """Gathers originals and decoded images; knows their distance at the end.

    Args:
        weights: The network's file.
        device: Where it runs.

    Raises:
        WeightsError: the file is missing, damaged, or of another network.
    """

    def __init__(self, weights: Path, device: torch.device) -> None:
        self._network: Inception = load_inception(weights).to(device)
        self._device = device
        dim = self._network.fc.in_features
        self._sets = (Distribution(dim), Distribution(dim))
        self._waiting: tuple[list[Tensor], list[Tensor]] = ([], [])

    @property
    def num_pairs(self) -> int:
        """Pairs that were added."""
        return self._sets[0].num_samples + len(self._waiting[0])

    def add(self, original: Pixels, decoded: Pixels) -> None:
        """Take one pair of images, (H, W, 3) each.

        Raises:
            NonFiniteError: the network's features are not finite.
        """
        for images, pixels in zip(self._waiting, (original, decoded), strict=True):
            planes = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)
            images.append(resized(planes.unsqueeze(0).float()))  # (1, 3, 299, 299)
        if len(self._waiting[0]) == BATCH_SIZE:
            self._empty()

    def distance(self) -> float | None:
        """Return the distance of decoded images to originals; None of fewer than two pairs."""
        self._empty()
        return frechet_distance(*self._sets) if self.num_pairs > 1 else None

    @torch.inference_mode()
    def _empty(self) -> None:
        for images, seen in zip(self._waiting, self._sets, strict=True):
            if images:
                features = self._network(torch.cat(images).to(self._device)).cpu().numpy()
                if not np.isfinite(features).all():
                    raise NonFiniteError("the features for rFID are NaN or infinite")
                seen.add(features)
                images.clear()
