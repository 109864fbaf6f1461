"""The skeleton of every command that writes shards: plan, resume, shard by shard, manifest.

`run` is the skeleton, `recipe` what a command adds to it. `head_start` begins before a model is
there; `model` is what is known of it, `encoding` where it runs. `shard_worker` does the work of one
process, with `shard_thread` to write; `device_job` takes it to several devices. `failure_budget`
says when it is enough.
"""
