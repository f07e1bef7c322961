"""Look at a user's copy of a data set before a run starts."""

from collections.abc import Iterator
from pathlib import Path

from mmattn.errors import InputError

ADE20K_HINT = (
    'expected the benchmark ADEChallengeData2016 (a folder with images/training, '
    'images/validation, annotations/training and annotations/validation); get '
    'ADEChallengeData2016.zip, or try things out on generated data: '
    'python tools/make_tiny_dataset.py ade20k --out DIR'
)


def check_data(dataset: dict, name: str) -> None:
    """Check that the folders and files that a dataset config names are there.

    Args:
        dataset: Config of a dataset, or of a wrapper around one or several.
        name: Where it stands in the config, for the messages.

    Raises:
        InputError: If a folder or file is missing or empty, a segmentation map is missing, or it
            is another release than the one that is needed.
    """
    for where, cfg in _datasets(dataset, name):
        root = cfg.get('data_root')
        if root is not None and not Path(root).is_dir():
            raise InputError(
                f'{where}.data_root {root} is not a folder; '
                + (ADE20K_HINT if cfg['type'] == 'ADE20KDataset' else 'set it to your copy')
            )
        if cfg['type'] == 'ADE20KDataset':
            _check_ade20k_release(Path(root or '.'), where)
        prefixes = cfg.get('data_prefix') or {}
        folders = {key: Path(root or '.', prefix) for key, prefix in prefixes.items()}
        for key, folder in folders.items():
            if not folder.is_dir():
                raise InputError(f'{where}.data_prefix.{key} {folder} is not a folder')
        ann_file = cfg.get('ann_file')
        if ann_file and not Path(root or '.', ann_file).exists():
            raise InputError(f'{where}.ann_file {Path(root or ".", ann_file)} does not exist')
        if 'img_path' in folders and not ann_file:
            _check_pairs(folders['img_path'], folders.get('seg_map_path'), cfg, where)


def _datasets(cfg: dict, where: str) -> Iterator[tuple[str, dict]]:
    """Walk through wrappers such as RepeatDataset and ConcatDataset."""
    if 'dataset' in cfg:
        yield from _datasets(cfg['dataset'], f'{where}.dataset')
    elif 'datasets' in cfg:
        for i, inner in enumerate(cfg['datasets']):
            yield from _datasets(inner, f'{where}.datasets[{i}]')
    else:
        yield where, cfg


def _check_ade20k_release(root: Path, where: str) -> None:
    full_release = (
        any(root.glob('index_ade20k.*'))
        or (root / 'images' / 'ADE').is_dir()
        or any((root / 'images' / 'training').glob('*/*/*_seg.png'))
        or any((root / 'images' / 'training').glob('*_seg.png'))
    )
    if full_release:
        raise InputError(f'{where}.data_root {root} is the full ADE20K release; {ADE20K_HINT}')
    if not (root / 'annotations').is_dir() or not (root / 'images').is_dir():
        raise InputError(
            f'{where}.data_root {root} has no folders images and annotations; {ADE20K_HINT}'
        )


def _check_pairs(images: Path, maps: Path | None, cfg: dict, where: str) -> None:
    suffix, map_suffix = cfg.get('img_suffix', '.jpg'), cfg.get('seg_map_suffix', '.png')
    names = {path.relative_to(images).as_posix() for path in images.rglob(f'*{suffix}')}
    if not names:
        raise InputError(f'{where}.data_prefix.img_path {images} holds no *{suffix} file')
    if maps is None:
        return
    expected = {name.removesuffix(suffix) + map_suffix for name in names}
    found = {path.relative_to(maps).as_posix() for path in maps.rglob(f'*{map_suffix}')}
    if missing := sorted(expected - found):
        raise InputError(
            f'{len(missing)} of {len(names)} images in {images} have no segmentation map: '
            f'{maps / missing[0]} does not exist; complete the data set'
        )
