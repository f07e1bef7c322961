"""Images with one class each, in class folders or in a list: ImageNet and ImageNet-21K."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mmengine.fileio import list_dir_or_file

from mmattn.datasets.audit.faults import Fault, Plan, name_outside
from mmattn.datasets.audit.label_maps import check_image
from mmattn.datasets.lists import read_list
from mmattn.datasets.names import inside
from mmattn.errors import InputError

# Those that ImageNet and CustomDataset of mmpretrain read by default.
EXTENSIONS = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif')
_IMAGENET_CLASSES = 1000
_IMAGENET21K_CLASSES = 21841


def plan_imagenet(root: Path) -> Plan:
    """Plan to look at those splits of ImageNet-1k that are there, by their lists or folders."""
    plan = Plan()
    splits = [split for split in ('train', 'val') if (root / split).is_dir()]
    if not splits:
        raise InputError(
            f'{root} has no folder train or val; expected a copy of ImageNet-1k with train and '
            'val, and lists of images in meta'
        )
    for split in splits:
        folder, names = root / split, root / 'meta' / f'{split}.txt'
        if names.exists():
            found = listed_images(names, folder, _IMAGENET_CLASSES, plan.faults)
        else:
            classes = class_folders(folder, plan.faults)
            plan.faults += check_number_of_classes(folder, classes, _IMAGENET_CLASSES)
            found = images_in_classes(folder, classes, EXTENSIONS, plan.faults)
        plan.tasks += [partial(check_image, image) for image in found]
    return plan


def plan_imagenet21k(root: Path) -> Plan:
    """Plan to look at the images of ImageNet-21K by those lists that are there, or by folders."""
    plan = Plan()
    folder = root / 'train'
    if not folder.is_dir():
        raise InputError(
            f'{root} has no folder train; expected a copy of ImageNet-21K with train, and lists '
            'of its images in meta'
        )
    lists = [
        names for split in ('train', 'val') if (names := root / 'meta' / f'{split}.txt').exists()
    ]
    if lists:
        found = [
            image
            for names in lists
            for image in listed_images(names, folder, _IMAGENET21K_CLASSES, plan.faults)
        ]
    else:
        classes = class_folders(folder, plan.faults)
        plan.faults += check_number_of_classes(folder, classes, _IMAGENET21K_CLASSES)
        found = images_in_classes(folder, classes, EXTENSIONS, plan.faults)
    plan.tasks += [partial(check_image, image) for image in found]
    return plan


def listed_images(
    names: Path, folder: Path, classes: int | None, faults: list[Fault]
) -> list[Path]:
    """Give the images of a list, which has the number of a class behind each name."""
    try:
        lines = read_list(names)
    except (OSError, ValueError) as error:
        faults.append(Fault('unreadable list', f'{names}: {error}'))
        return []
    if not lines:
        faults.append(Fault('empty list', str(names)))
    images = []
    for number, line in enumerate(lines, 1):
        name, _, label = line.strip().rpartition(' ')
        place = f'{names}: line {number}'
        if not name or not label.removeprefix('-').isdecimal():
            faults.append(Fault('line without a class', f'{place}, {line}'))
        elif int(label) < 0 or (classes is not None and int(label) >= classes):
            most = '' if classes is None else f' to {classes - 1}'
            shown = f'{place}, {line}: expected 0{most}'
            faults.append(Fault('label out of range', shown))
        elif image := inside(folder, name):
            images.append(image)
        else:
            faults.append(name_outside(place, name))
    return images


def class_folders(folder: Path, faults: list[Fault]) -> list[str]:
    """List the folders that count as classes, in the order of their labels."""
    names = sorted(list_dir_or_file(folder, list_file=False))
    # mmengine leaves out hidden files, not folders: all labels behind it are one too large.
    faults += [
        Fault('hidden folder that counts as a class', f'{folder / name}: remove it')
        for name in names
        if name.startswith('.')
    ]
    return names


def check_number_of_classes(folder: Path, found: list[str], expected: int) -> list[Fault]:
    """Compare the number of class folders with that of the classes."""
    if len(found) == expected:
        return []
    return [Fault('wrong number of classes', f'{folder}: {len(found)} folders, not {expected}')]


def images_in_classes(
    folder: Path, classes: list[str], extensions: Sequence[str], faults: list[Fault]
) -> list[Path]:
    """Give the images in the folders of classes, and warn of what is not read."""
    images: list[Path] = []
    endings = tuple(extension.lower() for extension in extensions)
    for name in classes:
        files = sorted(list_dir_or_file(folder / name, list_dir=False, recursive=True))
        read = [file for file in files if file.lower().endswith(endings)]
        if not read:
            faults.append(Fault('class without images', str(folder / name), is_warning=True))
        images += [folder / name / file for file in read]
        faults += [
            Fault('file that is not read', f'{folder / name / file}', is_warning=True)
            for file in files
            if not file.lower().endswith(endings)
        ]
    if classes and not images:
        faults.append(Fault('no images', f'{folder}: expected {", ".join(endings)}'))
    return images
