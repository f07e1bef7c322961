"""What every generator of a data set does: check its arguments, and write all or nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from mmattn.errors import InputError


def check_arguments(train: int, val: int, seed: int, size: tuple[int, int]) -> None:
    """Refuse numbers that are too small to draw a data set.

    Raises:
        InputError: If there is an empty split, a seed below 0, or a side below 32 pixels.
    """
    for name, value, least in (
        ('train', train, 1),
        ('val', val, 1),
        ('seed', seed, 0),
        ('height', size[0], 32),
        ('width', size[1], 32),
    ):
        if value < least:
            raise InputError(f'{name} must be at least {least}, got {value}')


@contextmanager
def whole_folder(out: str | Path) -> Iterator[Path]:
    """Give an empty folder that becomes ``out`` at the end, and vanishes if anything goes wrong.

    Args:
        out: New or empty folder.

    Raises:
        InputError: If ``out`` holds something already or cannot be written.
    """
    out = Path(out).expanduser()
    try:
        if out.exists() and not out.is_dir():
            raise InputError(f'{out} is a file; give a new or empty folder')
        if out.exists() and any(out.iterdir()):
            raise InputError(f'{out} is not empty; give a new or empty folder')
        home = out if out.exists() else out.parent
        home.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix='.tiny_dataset_', dir=home) as stage:
            root = Path(stage, 'root')
            root.mkdir()
            yield root
            if home == out:
                # The empty folder stays, since it may be a mount point or someone's current folder.
                for part in sorted(root.iterdir()):
                    part.rename(out / part.name)
            else:
                root.rename(out)
    except OSError as error:
        raise InputError(f'cannot write a data set to {out}: {error}') from error
