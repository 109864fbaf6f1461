"""Every flag, once: its name, its meaning and its help, beside the group that it belongs to.

In: values as the command line gives them. Out: the records of `vtok.pipelines`. A command takes
groups whole (`vtok.cli.expand`). A default stands where a flag is used, and is the same wherever
it is. Knows no command.
"""
