"""Attention in models that were written without it."""
