"""Executors: where units of work run. A unit is a shard's number; whoever runs it commits it."""
