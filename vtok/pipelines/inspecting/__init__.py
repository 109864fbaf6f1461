"""What `vtok inspect` tells of images and of shards: facts, then texts, files and pictures of them.

`images` and `shards` find out (of shards: `shard_facts`, made of `shard_fields` and
`identical_samples`); what begins with their names shows it. `pictures` draws, `stability` compares
ways to compute.
"""
