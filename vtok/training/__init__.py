"""The recipe of the shipped tokenizer, and of a user's own."""
