"""Indices ↔ token ids of a language model: an order, an offset, separators; exact inverses."""

from vtok.sequences.order import Order, flatten, unflatten
from vtok.sequences.planes import Nesting
from vtok.sequences.tokens import TokenLayout, grid_of_ids, ids_to_indices, indices_to_ids

__all__ = [
    "Nesting",
    "Order",
    "TokenLayout",
    "flatten",
    "grid_of_ids",
    "ids_to_indices",
    "indices_to_ids",
    "unflatten",
]
