"""An encoder otherwise than it is: at another size (`sizing`), or with a projector (`projecting`).

`projector_file` reads and writes projectors.
"""
