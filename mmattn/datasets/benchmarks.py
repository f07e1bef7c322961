"""Which generator draws data for which benchmark, and for which dataset class."""

from mmattn.datasets.synthetic.tiny_ade20k import make_tiny_ade20k
from mmattn.datasets.synthetic.tiny_cityscapes import make_tiny_cityscapes
from mmattn.datasets.synthetic.tiny_coco import make_tiny_coco
from mmattn.datasets.synthetic.tiny_imagenet import make_tiny_imagenet
from mmattn.datasets.synthetic.tiny_voc import make_tiny_voc

BENCHMARKS = {
    'ade20k': make_tiny_ade20k,
    'cityscapes': make_tiny_cityscapes,
    'coco': make_tiny_coco,
    'imagenet': make_tiny_imagenet,
    'voc': make_tiny_voc,
}

GENERATORS = {
    'ADE20KDataset': make_tiny_ade20k,
    'CityscapesDataset': make_tiny_cityscapes,
    'CocoDataset': make_tiny_coco,
    'CocoPanopticDataset': make_tiny_coco,
    'ImageNet': make_tiny_imagenet,
    'PascalVOCDataset': make_tiny_voc,
    'VOCDataset': make_tiny_voc,
}

# Where in the folder that a generator writes the ``data_root`` of a class is, if it is not that
# folder.
DATA_ROOTS = {'PascalVOCDataset': 'VOC2012'}
