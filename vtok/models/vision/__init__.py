"""Vision towers and the projectors of whole vision-language models, as transformers computes them.

`sources` and `safefile` find and read files, `table` says what each architecture is, `skeleton`
builds a network around the tensors that were read, `preprocessing` reads what its image processor
does, `encoder` makes an `Encoder` of all that, `sequence` the vectors that a language model is
given. transformers is imported when such a model is loaded, not before.
"""
