"""Which generator draws data for which dataset class."""

from mmattn.datasets.tiny_ade20k import make_tiny_ade20k
from mmattn.datasets.tiny_coco import make_tiny_coco

GENERATORS = {
    'ADE20KDataset': make_tiny_ade20k,
    'CocoDataset': make_tiny_coco,
    'CocoPanopticDataset': make_tiny_coco,
}

# Where in the folder that a generator writes the ``data_root`` of the class is.
DATA_ROOTS = {
    'ADE20KDataset': '.',
    'CocoDataset': '.',
    'CocoPanopticDataset': '.',
}
