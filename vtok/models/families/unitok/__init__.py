"""UniTok: a `tokenizer` between two ViTamins (`vitamin`, `vitamin_conv`), its `shape` read."""
