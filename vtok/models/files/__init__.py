"""Model files, read safely: nothing in them is run, every tensor is accounted for.

`fetching` brings them from a `hub`, `folder` says which of a folder are the model. `weights` reads
whole models, `checkpoint` finds the model in what was read, `pickles` unpickles with inert
`standins`, `converted` writes any model as one safe folder. `torchscript` alone runs a file, where
the user allows it.

Of large models some tensors are read: `sources` opens files here or on a hub, `partial` reads what
is asked for (`safe_file`, of safetensors), as `tensors` promises.
"""
