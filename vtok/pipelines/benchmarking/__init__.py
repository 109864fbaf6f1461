"""What `vtok bench` measures and says.

`subject` is what is measured, `report` the figures, `verdict` what bounds a run, in words,
`picture` who was at work when.
"""
