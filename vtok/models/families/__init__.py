"""The families of published tokenizers: their networks, and what their authors' files look like.

`convolutional` lists those that share the networks in `convnet` (`cosmos` and `rqvae` among them;
`keymaps` says what each calls its tensors). Those with networks of their own have a file each, and
one more where their shape is read from the tensors (`titok_shape`, `vitvqgan_shape`); `wrapped` are
those whose networks a library has (`emu3`).
"""
