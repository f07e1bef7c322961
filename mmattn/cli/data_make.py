"""Draw a small data set on which a configuration can be tried in minutes."""

import argparse

# What to do with the folder, by kind of data set.
USES = {
    'ade20k': 'give this folder to ADE20KDataset as data_root',
    'cityscapes': 'give this folder to CityscapesDataset as data_root',
    'coco': 'give this folder to CocoDataset or CocoPanopticDataset as data_root, with an ann_file '
    'such as annotations/instances_train2017.json or annotations/panoptic_train2017.json',
    'imagenet': 'give this folder to ImageNet as data_root, with the split train or val',
    'voc': 'give this folder to VOCDataset as data_root, with an ann_file such as '
    'VOC2007/ImageSets/Main/trainval.txt, or its folder VOC2012 to PascalVOCDataset, with an '
    'ann_file such as ImageSets/Segmentation/train.txt',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('kind', choices=USES, help='benchmark whose layout is written')
    parser.add_argument('--out', required=True, metavar='DIR', help='new or empty folder')
    parser.add_argument('--train', type=int, default=64, metavar='N', help='images to train on')
    parser.add_argument('--val', type=int, default=16, metavar='N', help='images to validate on')
    parser.add_argument('--seed', type=int, default=0, metavar='N', help='same seed, same images')
    parser.set_defaults(interrupted='interrupted; nothing was written')


def main(args: argparse.Namespace) -> None:
    """Write the data set and say where it is."""
    from mmattn.datasets.benchmarks import BENCHMARKS

    make = BENCHMARKS[args.kind]
    make(args.out, train=args.train, val=args.val, seed=args.seed)
    print(
        f'wrote {args.train} training and {args.val} validation images to {args.out}; '
        f'{USES[args.kind]}'
    )
