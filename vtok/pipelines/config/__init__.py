"""What commands were asked to do: frozen records, checked once; every flag is a field of one.

`parts` are what commands share, `commands` what each one takes, `limits` what an image may ask of
the machine, `cut` which scheme the answers come to.
"""
