"""Vision towers and the projectors of whole vision-language models, as transformers computes them.

`published` has their names, `internvit` puts one family's tensors into the terms of the others;
`towers` and `wholes` say what each architecture is, `preprocessing` what its image processor does,
`described` all of that of one model; `skeleton` builds a network around the tensors that were read,
`loading` an `encoder` of it, `packing` takes pictures of many sizes together, `sequence` makes the
vectors that a language model is given; `timm_models` are those of another library. transformers is
imported when such a model is loaded, not before.
"""
