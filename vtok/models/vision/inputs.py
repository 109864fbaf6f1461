"""Pixels as the vision towers of transformers want them, and their tokens in reading order again.

In: pixels (B, 3, H, W), all of one size. Out: flattened patches, grids, masks. The layouts are
those of the towers' own image processors. Knows no network.

Dimension letters: B batch, H W pixels, P patch side, h w patches, M patches merged along one side,
T frames, N tokens, D channels, R C rows and columns of tiles.
"""

import torch
from torch import Tensor


def naflex_patches(pixels: Tensor, patch_px: int) -> Tensor:
    """Return patches (B, hw, PP3), row-major, each row by row with colours last (SigLIP 2)."""
    batch, channels, height, width = pixels.shape
    rows, cols = height // patch_px, width // patch_px
    cells = pixels.reshape(batch, channels, rows, patch_px, cols, patch_px)
    return cells.permute(0, 2, 4, 3, 5, 1).reshape(batch, rows * cols, -1)  # (B, hw, PP3)


def merged_patches(pixels: Tensor, patch_px: int, merge: int, num_frames: int) -> Tensor:
    """Return patches (B hw, 3TPP), the patches of a merged cell together (Qwen2-VL).

    Args:
        pixels: (B, 3, H, W), the sides multiples of patch_px * merge.
        patch_px: Side of a patch (P).
        merge: Patches along one side of a cell (M).
        num_frames: Frames that a patch spans (T); a picture is repeated.
    """
    batch, channels, height, width = pixels.shape
    rows, cols = height // patch_px // merge, width // patch_px // merge
    frames = pixels.unsqueeze(2).expand(batch, channels, num_frames, height, width)
    cells = frames.reshape(
        batch, channels, num_frames, rows, merge, patch_px, cols, merge, patch_px
    )
    # to (B, h/M, w/M, M, M, 3, T, P, P)
    ordered = cells.permute(0, 3, 6, 4, 7, 1, 2, 5, 8)
    return ordered.reshape(batch * rows * cols * merge**2, -1)  # (B hw, 3TPP)


def reading_order(tokens: Tensor, rows: int, cols: int, merge: int) -> Tensor:
    """Return tokens (B, hw, D) row-major that lie cell by cell: the order of `merged_patches`."""
    batch, _, dim = tokens.shape
    cells = tokens.reshape(batch, rows // merge, cols // merge, merge, merge, dim)
    return cells.transpose(2, 3).reshape(batch, rows * cols, dim)  # (B, hw, D)


def windows_undone(tokens: Tensor, rows: int, cols: int, merge: int, side: int) -> Tensor:
    """Return tokens (B, hw, D) cell by cell that lie window by window (Qwen2.5-VL).

    Args:
        tokens: (B, hw, D), the cells of a window row by row, the windows row by row.
        rows: Of patches (h).
        cols: Of patches (w).
        merge: Patches along one side of a cell (M).
        side: Cells along one side of a window; those at the right and bottom may be smaller.
    """
    batch, _, dim = tokens.shape
    row = torch.arange(rows // merge, device=tokens.device).view(-1, 1)
    col = torch.arange(cols // merge, device=tokens.device)
    window = row // side * (cols // merge) + col // side  # (h/M, w/M)
    order = window.flatten().argsort(stable=True)
    cells = tokens.reshape(batch, len(order), merge**2, dim)
    return cells[:, order.argsort()].reshape(batch, rows * cols, dim)  # (B, hw, D)


def grids_thw(batch: int, rows: int, cols: int, device: torch.device) -> Tensor:
    """Return (B, 3): one frame, rows and columns of patches, for every picture."""
    return torch.tensor([[1, rows, cols]], device=device).repeat(batch, 1)


def tiles_of(canvas: Tensor, tile_px: int) -> Tensor:
    """Return tiles (B, RC, 3, S, S), row-major, of a canvas (B, 3, R S, C S)."""
    batch, channels, height, width = canvas.shape
    rows, cols = height // tile_px, width // tile_px
    grid = canvas.reshape(batch, channels, rows, tile_px, cols, tile_px)
    return grid.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # (B, RC, 3, S, S)
