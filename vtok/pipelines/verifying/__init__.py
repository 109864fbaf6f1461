"""An output folder held against its records, and what is damaged removed.

`audit` reads one shard, `audits` many at once, `roll_up_audit` the lists beside them; `quality`
decodes some samples. `report` is what was found, `repair` what is done about it.
"""
