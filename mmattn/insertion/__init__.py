"""Put attention into a model that was written without it."""

from mmattn.insertion.insert_attention import InsertAttention
from mmattn.insertion.inserted_attention import InsertedAttention, inserted_in, is_inserted
from mmattn.insertion.keep_attention_training import KeepAttentionTraining
from mmattn.insertion.possible_sites import PossibleSite, possible_sites

__all__ = [
    'InsertAttention',
    'InsertedAttention',
    'KeepAttentionTraining',
    'PossibleSite',
    'inserted_in',
    'is_inserted',
    'possible_sites',
]
