"""Put attention into a model that was written without it."""

from mmattn.insertion.insert_attention import InsertAttention

__all__ = ['InsertAttention']
