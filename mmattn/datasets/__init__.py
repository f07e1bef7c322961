"""Data: loading that names the wrong file, checks of a user's copy, generated tiny sets."""
