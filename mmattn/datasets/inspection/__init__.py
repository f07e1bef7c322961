"""Look at every file of a user's copy of a data set, and tell what is wrong with it."""

from mmattn.datasets.inspection.faults import Fault
from mmattn.datasets.inspection.run import KINDS, Report, inspect_dataset

__all__ = ['KINDS', 'Fault', 'Report', 'inspect_dataset']
