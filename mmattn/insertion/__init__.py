"""Attention in models that were written without it."""

from mmattn.insertion.keep_attention_training import KeepAttentionTraining

__all__ = ['KeepAttentionTraining']
