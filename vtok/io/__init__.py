"""Files, images and where they come from: the border between vtok and the machine.

`files` and `remote` write and hash, `tar` reads archives without trusting them, `images` and
`headers` decode safely, `sources` lists what a command was pointed at. Nothing here knows of
tokens, models, shards' fields or plans.
"""
