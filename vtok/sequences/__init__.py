"""Indices ↔ token ids of a language model: an order, an offset, separators; exact inverses."""
