"""Pipelines: one file per command, wiring only; what commands share has rooms of its own.

The files here are commands (`planning` is `vtok.plan`). The rooms, each knowing only those after
it: `benchmarking` (around the commands), `inspecting` and `verifying`, `decoding` (indices to
pictures), `running` (the skeleton of every command that writes shards), `inputs`, `outputs`,
`config`.
"""
