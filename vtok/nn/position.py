"""Where a token lies: every position encoding of the house, by one import.

`rotary` turns queries and keys and needs no table.
"""

from vtok.nn.rotary import RotaryPosition2d, Rotation, grid_positions, rotate

__all__ = ["RotaryPosition2d", "Rotation", "grid_positions", "rotate"]
