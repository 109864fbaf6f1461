"""The convolutional networks that most published tokenizers share.

`shape` says how large, `reading` finds that in a configuration or in tensors; `networks` are built
of `norms` and `resizing`, and `tokenizer` puts them around any quantizer.
"""
