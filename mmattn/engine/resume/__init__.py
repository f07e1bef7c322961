"""Going on from a checkpoint as if nothing had happened."""
