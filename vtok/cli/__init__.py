"""The command line: flags in, text or JSON out; no work of its own."""
