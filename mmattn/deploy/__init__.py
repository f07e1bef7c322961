"""Trained models in their form for inference."""

from mmattn.deploy.fold import fold

__all__ = ['fold']
