"""Trained models in their form for inference, and written into files that run elsewhere."""

from mmattn.deploy.fold import fold

__all__ = ['fold']
