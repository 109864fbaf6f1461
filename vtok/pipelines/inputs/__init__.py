"""What a run reads: the list of its items, made beside other work, kept, and compared later.

`items` is the list. `listing` has it made by a process of its own (`lister`). `record` keeps it
beside the plan, `changes` names what is different since, `dedupe` finds identical files in it.
"""
