"""Tiny data sets in the layouts of the real ones, drawn here."""
