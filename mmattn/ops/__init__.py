"""Functions on tensors under the attention modules; they know torch only."""
