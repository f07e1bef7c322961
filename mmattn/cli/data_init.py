"""Look at a folder of your own data, and write a config that trains on it."""

import argparse
import difflib
import shlex
from collections.abc import Iterable
from pathlib import Path

DEFAULTS = {
    'seg': 'upernet_van_b0_ade20k',
    'cls': 'van_b0_in1k',
    'boxes': 'retinanet_van_b0_fpn_1x_coco',
    'outlines': 'mask_rcnn_van_b0_fpn_1x_coco',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        'kind',
        choices=('seg', 'det', 'cls'),
        help='seg: images and label maps; det: boxes in the format of COCO; cls: class folders',
    )
    parser.add_argument(
        '--from', required=True, dest='root', metavar='DIR', help='folder of your data'
    )
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='NAME',
        help='seg: names in the order of the labels; det: categories to keep; cls: names or order '
        'of the class folders',
    )
    parser.add_argument(
        '--void',
        metavar='LABEL',
        help='seg: label, or colour as R,G,B, that means "no label"; default: told from the maps',
    )
    parser.add_argument('--out', metavar='CONFIG.py', help='config; default: DIR_KIND.py here')
    parser.add_argument(
        '--base', metavar='CONFIG', help='shipped config to build on, by its name or path'
    )
    parser.set_defaults(interrupted='interrupted; nothing was written')


def main(args: argparse.Namespace) -> None:
    """Say what was found, and write the config.

    Raises:
        InputError: If the folder holds other data, or the config is there already.
    """
    from mmattn.datasets.names import visible
    from mmattn.datasets.own.cls import find_cls
    from mmattn.datasets.own.config import check_base, write_config
    from mmattn.datasets.own.det import find_det
    from mmattn.datasets.own.seg import find_seg
    from mmattn.engine.config import load_config
    from mmattn.errors import InputError

    root = Path(args.root).expanduser().resolve()
    out = Path(args.out or f'{root.name}_{args.kind}.py').expanduser().absolute()
    if out.suffix != '.py':
        raise InputError(f'--out {visible(out)} has to end in .py')
    if not out.parent.is_dir():
        raise InputError(f'{visible(out.parent)} is not a folder; make it first')
    refuse_existing([out])
    if args.void is not None and args.kind != 'seg':
        raise InputError(f'--void is for label maps; {args.kind} has none')
    if args.classes and len(set(args.classes)) < len(args.classes):
        raise InputError(f'--classes has a name twice: {" ".join(args.classes)}')
    if args.kind == 'seg':
        found = find_seg(root, args.classes, args.void)
    else:
        found = (find_det if args.kind == 'det' else find_cls)(root, args.classes)
    wanted = args.kind if args.kind != 'det' else ('outlines' if found.has_masks else 'boxes')
    base = load_config(str(find_base(args.base or DEFAULTS[wanted])))
    check_base(args.kind, base, found)
    files = {
        out.with_name(f'{out.stem}_{split}{suffix}'): text
        for split, (suffix, text) in found.files.items()
    }
    command = f'mmattn data init {args.kind} --from {root}'
    files[out] = write_config(args.kind, found, base, command, out.stem)
    refuse_existing(files)
    for line in [f'{root}: {args.kind}', *found.describe()]:
        print(visible(line))
    for path, text in files.items():
        try:
            path.write_text(text, encoding='utf-8')
        except OSError as error:
            raise InputError(
                f'{visible(path)} cannot be written ({error.strerror}); give another --out'
            ) from error
        print(f'wrote {visible(path)}')
    train = f'mmattn train {shlex.quote(str(out))}'
    print(f'next: {train} --smoke, then {train} --auto-scale-lr')


def refuse_existing(paths: Iterable[Path]) -> None:
    """Refuse to write over files.

    Raises:
        InputError: If one is there.
    """
    from mmattn.datasets.names import visible
    from mmattn.errors import InputError

    for path in paths:
        if path.exists():
            raise InputError(
                f'{visible(path)} is there already; give the config another name: --out CONFIG.py'
            )


def find_base(name: str) -> Path:
    """Find a shipped config by its name, or any config by its path.

    Raises:
        InputError: If there is none, or this package came without configs.
    """
    from mmattn.engine.shipped_configs import PREFIX, config_path, configs_folder
    from mmattn.errors import InputError

    if name.startswith(PREFIX):
        return Path(config_path(name))
    if Path(name).is_file():
        return Path(name).resolve()
    configs = configs_folder()
    shipped = {path.stem: path for path in sorted(configs.glob('*/*.py'))}
    stem = Path(name).stem
    if stem not in shipped:
        close = difflib.get_close_matches(stem, shipped, n=1)
        meant = f'; did you mean {close[0]}?' if close else ''
        raise InputError(f'--base {name} is neither a file nor a config in {configs}{meant}')
    return shipped[stem]
