"""The Inception network that the Fréchet inception distance (FID) is defined by.

In: images (B, 3, H, W) in [0, 255]. Out: features (B, 2048). It is the network of December 2015, of
which every published FID speaks, with what its graph does differently from later editions: average
pools that do not count padding, a maximum pool in the last block, and a bilinear resize whose
first sample lies on the first pixel. The weights are not part of this package: they are the file
that pytorch-fid and torch-fidelity fetch. Knows nothing of statistics.
Sources: Szegedy et al., arXiv 1512.00567; Heusel et al., arXiv 1706.08500.

Dimension letters: B batch, C channels, H W pixels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtok.errors import WeightsError
from vtok.models.files.weights import load_model, open_folder, read_state

FEATURE_DIM = 2048
INPUT_PX = 299
FILE_NAMES = (
    "weights-inception-2015-12-05-6726825d.pth",  # torch-fidelity's name
    "pt_inception-2015-12-05-6726825d.pth",  # pytorch-fid's
)
_NUM_CLASSES = 1008
_COUNTERS = "num_batches_tracked"

Kernel = int | tuple[int, int]
Pool = Literal["average", "maximum"]


class Conv(nn.Module):
    """relu(norm(convolution(x))), without a bias.

    Args:
        channels_in: Of the input.
        channels_out: Of the output.
        kernel: Height and width.
        stride: 2 halves the sides; nothing is padded then, nor where `padded` is false.
        padded: Whether the sides stay.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: Kernel,
        *,
        stride: int = 1,
        padded: bool = True,
    ) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        keeps = padded and stride == 1
        padding = (sides[0] // 2, sides[1] // 2) if keeps else (0, 0)
        self.conv = nn.Conv2d(
            channels_in, channels_out, sides, stride=stride, padding=padding, bias=False
        )
        self.bn = nn.BatchNorm2d(channels_out, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C', h', w') of x (B, C, h, w)."""
        return functional.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches of convolutions side by side, and a pool; what they give is joined.

    Args:
        channels: Of the input.
        branches: For each, the names of its convolutions with their widths and kernels; a group of
            several in one place reads the same and is joined.
        pool: Of the last branch.
        pool_channels: Of the 1x1 convolution behind it; None where the pool halves the sides, as
            the last convolution of every branch then does.
    """

    def __init__(
        self,
        channels: int,
        branches: Sequence[Sequence[Sequence[tuple[str, int, Kernel]]]],
        pool: Pool,
        pool_channels: int | None,
    ) -> None:
        super().__init__()
        self.pool: Pool = pool
        self.plan = [[[name for name, _, _ in group] for group in branch] for branch in branches]
        halves = pool_channels is None
        for branch in branches:
            width = channels
            for place, group in enumerate(branch):
                stride = 2 if halves and place == len(branch) - 1 else 1
                for name, channels_out, kernel in group:
                    self.add_module(name, Conv(width, channels_out, kernel, stride=stride))
                width = sum(channels_out for _, channels_out, _ in group)
        self.branch_pool: Conv | None = None
        if pool_channels is not None:
            self.branch_pool = Conv(channels, pool_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C', h', w') of x (B, C, h, w)."""
        results: list[Tensor] = []
        for branch in self.plan:
            value = x
            for group in branch:
                value = torch.cat([self.get_submodule(name)(value) for name in group], 1)
            results.append(value)
        if self.branch_pool is None:
            results.append(functional.max_pool2d(x, 3, stride=2))
        elif self.pool == "maximum":
            results.append(self.branch_pool(functional.max_pool2d(x, 3, stride=1, padding=1)))
        else:
            pooled = functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
            results.append(self.branch_pool(pooled))
        return torch.cat(results, 1)


class Inception(nn.Module):
    """Images to the 2,048 features before the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Conv(32, 32, 3, padded=False)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3)
        self.Conv2d_3b_1x1 = Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = Conv(80, 192, 3, padded=False)
        self.Mixed_5b = _at_35(192, 32)
        self.Mixed_5c = _at_35(256, 64)
        self.Mixed_5d = _at_35(288, 64)
        self.Mixed_6a = _to_17(288)
        self.Mixed_6b = _at_17(128)
        self.Mixed_6c = _at_17(160)
        self.Mixed_6d = _at_17(160)
        self.Mixed_6e = _at_17(192)
        self.Mixed_7a = _to_8(768)
        self.Mixed_7b = _at_8(1280, "average")
        self.Mixed_7c = _at_8(2048, "maximum")
        self.fc = nn.Linear(FEATURE_DIM, _NUM_CLASSES)  # in the file; no distance needs it

    def forward(self, images: Tensor) -> Tensor:
        """Return features (B, 2048) of images (B, 3, H, W) in [0, 255], resized here."""
        x = (resized(images.float()) - 128) / 128
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = functional.max_pool2d(x, 3, stride=2)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))
        x = functional.max_pool2d(x, 3, stride=2)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        features: Tensor = x.mean((2, 3))
        return features


def resized(images: Tensor, side: int = INPUT_PX) -> Tensor:
    """Return images (B, 3, side, side), bilinear between the two nearest pixels of each axis.

    Output pixel i lies at i * H / side: neither centres nor corners are aligned, nothing is
    smoothed before. So TensorFlow 1 resized, and so the distances that are compared were made.

    Args:
        images: (B, 3, H, W) float.
        side: Height and width of the result.
    """
    for axis in (3, 2):
        length = images.shape[axis]
        places = torch.arange(side, dtype=torch.float32, device=images.device) * (length / side)
        before = places.long()
        share = places - before
        shape = [side if each == axis else 1 for each in range(4)]
        first = images.index_select(axis, before)
        second = images.index_select(axis, (before + 1).clamp_max(length - 1))
        images = first + (second - first) * share.view(shape)
    return images


def load_inception(path: Path) -> Inception:
    """Return the network with the weights of a file, in evaluation mode.

    Raises:
        WeightsError: it is missing, damaged, or of another network; nothing in it is run.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file of Inception's weights")
    folder = open_folder(path)
    held = read_state(folder)
    state = {name: tensor for name, tensor in held.items() if not name.endswith(_COUNTERS)}
    return load_model(Inception, _with_counters(state), folder).eval()


def find_weights() -> Path | None:
    """Return the file where torch-fidelity or pytorch-fid has put it, None where neither has."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    found = (folder / name for name in FILE_NAMES)
    return next((path for path in found if path.is_file()), None)


def _with_counters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors, and with each norm's the number of batches, which older files lack."""
    norms = [name.removesuffix("running_mean") for name in state if name.endswith("running_mean")]
    return {**state, **{f"{norm}{_COUNTERS}": torch.tensor(0) for norm in norms}}


def _at_35(channels: int, pool_channels: int) -> Mixed:
    branches = [
        [[("branch1x1", 64, 1)]],
        [[("branch5x5_1", 48, 1)], [("branch5x5_2", 64, 5)]],
        [[("branch3x3dbl_1", 64, 1)], [("branch3x3dbl_2", 96, 3)], [("branch3x3dbl_3", 96, 3)]],
    ]
    return Mixed(channels, branches, "average", pool_channels)


def _to_17(channels: int) -> Mixed:
    branches = [
        [[("branch3x3", 384, 3)]],
        [[("branch3x3dbl_1", 64, 1)], [("branch3x3dbl_2", 96, 3)], [("branch3x3dbl_3", 96, 3)]],
    ]
    return Mixed(channels, branches, "maximum", None)


def _at_17(width: int) -> Mixed:
    tall, wide = (7, 1), (1, 7)
    branches: list[list[list[tuple[str, int, Kernel]]]] = [
        [[("branch1x1", 192, 1)]],
        [
            [("branch7x7_1", width, 1)],
            [("branch7x7_2", width, wide)],
            [("branch7x7_3", 192, tall)],
        ],
        [
            [("branch7x7dbl_1", width, 1)],
            [("branch7x7dbl_2", width, tall)],
            [("branch7x7dbl_3", width, wide)],
            [("branch7x7dbl_4", width, tall)],
            [("branch7x7dbl_5", 192, wide)],
        ],
    ]
    return Mixed(768, branches, "average", 192)


def _to_8(channels: int) -> Mixed:
    branches: list[list[list[tuple[str, int, Kernel]]]] = [
        [[("branch3x3_1", 192, 1)], [("branch3x3_2", 320, 3)]],
        [
            [("branch7x7x3_1", 192, 1)],
            [("branch7x7x3_2", 192, (1, 7))],
            [("branch7x7x3_3", 192, (7, 1))],
            [("branch7x7x3_4", 192, 3)],
        ],
    ]
    return Mixed(channels, branches, "maximum", None)


def _at_8(channels: int, pool: Pool) -> Mixed:
    tall, wide = (3, 1), (1, 3)
    branches: list[list[list[tuple[str, int, Kernel]]]] = [
        [[("branch1x1", 320, 1)]],
        [
            [("branch3x3_1", 384, 1)],
            [("branch3x3_2a", 384, wide), ("branch3x3_2b", 384, tall)],
        ],
        [
            [("branch3x3dbl_1", 448, 1)],
            [("branch3x3dbl_2", 384, 3)],
            [("branch3x3dbl_3a", 384, wide), ("branch3x3dbl_3b", 384, tall)],
        ],
    ]
    return Mixed(channels, branches, pool, 192)
