"""Images to tokens at the speed of the device: decode workers, batches, models, and their metrics.

`preparation` makes views of one image, `decoding` runs that in supervised processes (`decode_run`
is one run of them, `crew` supervises, `handover` has the outcomes, `demand` says how many workers
and how much at once; `process` is a worker seen from outside, `worker` from inside, `children` what
ties the two together, `slots` how pixels travel between them); none of these loads torch. `device`
turns bytes into model inputs and back, `batching` groups views, `forward` puts a batch through a
model, `lanes` run several at once, `loop` keeps samples in order around them, `runner` has the
functions to call, `times` say where the time went. `quality` compares images. Nothing here knows of
commands, folders or shards.
"""
