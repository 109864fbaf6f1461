"""Names to tokenizers and encoders: specifications, safe loading, adapters."""
