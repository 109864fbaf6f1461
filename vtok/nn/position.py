"""Where a token lies: every position encoding of the house, by one import.

`tables` are learned and added to the tokens, `sinusoid` is fixed and added, `rotary` turns queries
and keys instead and needs no table.
"""

from vtok.nn.rotary import RotaryPosition2d, Rotation, grid_positions, rotate
from vtok.nn.sinusoid import SineCosinePosition2d, sine_cosine_positions
from vtok.nn.tables import (
    Interpolation,
    LearnedPosition1d,
    LearnedPosition2d,
    interpolate_positions,
)

__all__ = [
    "Interpolation",
    "LearnedPosition1d",
    "LearnedPosition2d",
    "RotaryPosition2d",
    "Rotation",
    "SineCosinePosition2d",
    "grid_positions",
    "interpolate_positions",
    "rotate",
    "sine_cosine_positions",
]
