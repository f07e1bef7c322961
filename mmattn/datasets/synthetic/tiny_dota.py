"""Small drawn scenes in the layout of DOTA with horizontal boxes, as files of COCO."""

import json
import shutil
from pathlib import Path

from mmattn.datasets.synthetic.tiny_coco import make_tiny_coco
from mmattn.files.whole_folder import check_arguments, whole_folder

# The 15 of DOTA-v1.0, in its order.
DOTA_CLASSES = (
    *('plane', 'baseball-diamond', 'bridge', 'ground-track-field', 'small-vehicle'),
    *('large-vehicle', 'ship', 'tennis-court', 'basketball-court', 'storage-tank'),
    *('soccer-ball-field', 'roundabout', 'harbor', 'swimming-pool', 'helicopter'),
)


def make_tiny_dota(
    out: str | Path,
    *,
    train: int = 64,
    val: int = 16,
    seed: int = 0,
    size: tuple[int, int] = (120, 160),
) -> None:
    """Draw a small data set in the layout of DOTA that was cut into tiles and written as COCO.

    The scenes are those of :func:`mmattn.datasets.synthetic.tiny_coco.make_tiny_coco`, seen from
    the side; only their names and classes are those of DOTA.

    Args:
        out: New or empty folder for ``{train,val}/*.jpg`` and for
            ``annotations/instances_{train,val}.json``.
        train: Number of images to train on, at least 1.
        val: Number of images to validate on, at least 1.
        seed: Seed of all images, at least 0.
        size: Mean height and width of an image in pixels, at least 32; each image differs a little.

    Raises:
        InputError: If ``out`` holds something already or cannot be written, or a number is too
            small.
    """
    check_arguments(train, val, seed, size)
    with whole_folder(out) as root:
        coco = root / 'coco'
        make_tiny_coco(coco, train=train, val=val, seed=seed, size=size)
        (root / 'annotations').mkdir()
        for split in ('train', 'val'):
            (coco / f'{split}2017').rename(root / split)
            content = json.loads((coco / f'annotations/instances_{split}2017.json').read_text())
            content['info'] = dict(description='Drawn scenes in the layout of DOTA')
            content['categories'] = [
                dict(id=number, name=name) for number, name in enumerate(DOTA_CLASSES, 1)
            ]
            for box in content['annotations']:
                box['category_id'] = 1 + box['category_id'] % len(DOTA_CLASSES)
            path = root / 'annotations' / f'instances_{split}.json'
            path.write_text(json.dumps(content))
        shutil.rmtree(coco)
