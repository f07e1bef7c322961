"""One category of COCO: the images that show it, and the masks that label maps are drawn from."""

from functools import partial
from pathlib import Path

from mmattn.datasets.audit.coco import (
    Described,
    Description,
    Use,
    describe,
    incomplete,
    is_crowd_flag,
    is_id,
    load,
)
from mmattn.datasets.audit.faults import Fault, Plan
from mmattn.datasets.audit.masks import check_mask
from mmattn.datasets.audit.pixels import CHECKED, Decoder, check_sizes, read_image
from mmattn.errors import InputError

_LISTS = ('images', 'annotations', 'categories')


def plan_coco_category(root: Path, category: str) -> Plan:
    """Plan to look at the images of COCO that show a category, in those splits that are there."""
    paths = sorted((root / 'annotations').glob('instances_*.json'))
    if not paths:
        raise InputError(
            f'{root} has no annotations/instances_*.json; expected a copy of COCO with train2017 '
            'or val2017, and annotations'
        )
    plan = Plan()
    for path in paths:
        folder = root / path.stem.removeprefix('instances_')
        if not folder.is_dir():
            plan.notes.append(f'{path} is left out: there is no folder {folder}')
            continue
        described = describe_category(path, folder, category, plan.faults)
        plan.tasks += [partial(check_category, image, about) for image, about in described.items()]
    return plan


def describe_category(
    path: Path, folder: Path, category: str, faults: list[Fault], is_own: bool = False
) -> Described:
    """Sort the instances of a category by image.

    Args:
        path: Annotation file of instances.
        folder: Where its images are.
        category: Name of the category.
        faults: What is wrong; more is added.
        is_own: Whether names may lead out of the folder, as they may in a training.

    Returns:
        What is said about each image that shows it. All else in the file is passed over.
    """
    described: Described = {}
    content = load(path, faults)
    if content is None:
        return described
    lists = {key: [x for x in content[key] if isinstance(x, dict)] for key in _LISTS}
    categories = [c for c in lists['categories'] if c.get('name') == category]
    if not categories:
        faults.append(Fault('no category is read', f'{path}: there is no {category}'))
        return described
    ids = [c.get('id') for c in categories]
    annotations = [a for a in lists['annotations'] if a.get('category_id') in ids]
    if not annotations:
        faults.append(Fault('category that is not shown', f'{path}: no image has a {category}'))
    shown = {a['image_id'] for a in annotations if is_id(a.get('image_id'))}
    images = [i for i in lists['images'] if is_id(i.get('id')) and i['id'] in shown]
    chosen = dict(images=images, annotations=annotations, categories=categories)
    use = Use(classes=(category,))
    describe(path, chosen, folder, use, described, faults, is_own=is_own)
    return described


def check_category(
    path: Path, descriptions: list[Description], decoder: Decoder = CHECKED
) -> list[Fault]:
    """Check an image, and the masks on it."""
    size, faults = read_image(path, decoder)
    for about in descriptions:
        if size is not None:
            faults += check_sizes(path, size, about.size, f'in {about.source}')
    return faults + check_masks(path, descriptions)


def check_masks(path: Path, descriptions: list[Description]) -> list[Fault]:
    """Check the masks on an image."""
    faults = []
    for about in descriptions:
        for annotation in about.annotations:
            place = f'{about.source}: annotation {annotation["id"]} of {path.name}'
            crowd = annotation.get('iscrowd', 0)
            if not is_crowd_flag(crowd):
                faults.append(incomplete(place, 'iscrowd', crowd))
            faults += check_mask(place, annotation, about.size, poly2mask=True)
    return faults
