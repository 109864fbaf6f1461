"""What a run leaves behind and says of itself.

`folder` is the place, `remote` the same behind a URL; `roll_ups` names the files beside the shards,
`failure_list` and `reference_list` write two of them. `metadata` and `pictures` are what samples
hold. `progress` is told while a run goes on, `outcome` when it ends.
"""
