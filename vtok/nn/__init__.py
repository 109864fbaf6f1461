"""The building blocks: positions, attention, quantizers, projectors, a vision transformer.

Each file holds one idea, works on plain tensors, and knows nothing of images, files, devices or
published models. What is shared by all: sequences are (B, N, D); grids are `Grid(rows, cols)` and
flatten row-major; boolean masks are True where attention is allowed.
"""
