"""Names of the files beside a run's plan, shards and manifest, which say again what these say.

Names alone: a command line can have them without loading what writes the files.
"""

FAILURES_NAME = "failures.jsonl"
INPUTS_NAME = "inputs.jsonl.gz"
DUPLICATES_NAME = "duplicates.jsonl"
IDENTICAL_NAME = "identical.jsonl.gz"
ROLL_UPS = (FAILURES_NAME, INPUTS_NAME, DUPLICATES_NAME, IDENTICAL_NAME)
