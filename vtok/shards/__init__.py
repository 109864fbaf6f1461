"""Shards: what a run leaves behind, written and read without trust.

`samples` and `keys` name things, `npy` and `fields` turn them into bytes, `ustar` and `layouts`
put the bytes in order, `writer` makes one tar of them and `reader` gives the samples back. `header`
is what a tar says of itself; `plan`, `commit`, `manifest` and `resume` are the records of a run.
"""
