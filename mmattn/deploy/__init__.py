"""Trained models made ready to run elsewhere, or faster."""
