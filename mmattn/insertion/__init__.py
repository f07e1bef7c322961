"""Put attention into a model that was written without it."""

from mmattn.insertion.insert_attention import InsertAttention
from mmattn.insertion.inserted_attention import InsertedAttention, inserted_in, is_inserted

__all__ = ['InsertAttention', 'InsertedAttention', 'inserted_in', 'is_inserted']
