"""Names to tokenizers and encoders: what every model promises, and what gives one by its name.

`base` is the promise (`reach`: how far a network sees; `quantized`: by one quantizer); `registry`
keeps it for every name (`presets`, `catalogue`; `finding` where files are, `building` what they
make). `vtok_base` and `vit` are our own models, `inception` is what FID is measured by. The rooms:
`families` of published tokenizers, `vision` towers, `adapting` an encoder, reading model `files`.
"""
