"""Indices back to pictures, and pictures held against their originals.

`survey` reads what there is (shards, or an `index_file`), `work` is what there is to do, `samples`
does it and `restore` undoes the cutting. `files` and `shards` are the two ways to write, `names`
what a file is called; `compare` measures.
"""
