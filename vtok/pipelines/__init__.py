"""One file per command: configuration, plan and wiring; the work is done below."""
