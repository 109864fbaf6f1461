"""Pipelines: one file per command, wiring only, around one skeleton.

`config` says what was asked for, `inputs` and `outputs` where from and where to, `cut` with which
scheme. `head_start` lists the inputs (`listing`) and starts workers before a model is loaded. `run`
is the skeleton of every command that writes shards: plan, resume, shard by shard, manifest, report;
a command adds a preparation and what makes samples of what is prepared.
"""
