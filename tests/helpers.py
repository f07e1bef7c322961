"""What several tests share."""

from mmattn.testing.promises import randomize

__all__ = ['randomize']
