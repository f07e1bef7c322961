"""The last whole checkpoint of a run, found again."""

import logging
import zipfile
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader

from mmattn.errors import InputError
from mmattn.files.whole_file import write_whole


def note_last(work_dir: Path, checkpoint: str) -> None:
    """Write down which checkpoint is the last one, where :func:`find_last` looks."""
    write_whole(work_dir / 'last_checkpoint', lambda path: path.write_text(checkpoint))


def out_dir_of(cfg: Config) -> Path | None:
    """Give the folder that the checkpoints of a config go to if that is not its work dir."""
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    out_dir = hook.get('out_dir')
    if not out_dir or '://' in out_dir:
        return None
    # As mmengine puts it together.
    return Path(out_dir, Path(cfg.work_dir).name)


def is_in(checkpoint: str | None, *folders: Path | None) -> bool:
    """Tell whether a checkpoint lies in one of some folders, wherever links lead."""
    if checkpoint is None or '://' in str(checkpoint):
        return False
    folder = Path(checkpoint).resolve().parent
    return any(folder == other.resolve() for other in folders if other is not None)


def find_last(work_dir: Path, out_dir: Path | None = None) -> str:
    """Find the last whole checkpoint of a run.

    Args:
        work_dir: Folder of the run.
        out_dir: Folder of its checkpoints if that is another one.

    Returns:
        What ``last_checkpoint`` names, looked for in these two folders only, which may have been
        moved since; if that file is damaged or gone, the one of the most iterations that a training
        can go on from, and there is a warning.

    Raises:
        InputError: If there is none.
    """
    record = work_dir / 'last_checkpoint'
    if not record.is_file():
        raise InputError(
            f'--resume finds nothing to go on from: {record} does not exist; '
            'start without --resume, or name a checkpoint: --resume PATH'
        )
    folders = [folder for folder in (out_dir, work_dir) if folder is not None]
    name, reason = _read_record(record)
    found = f'{record} {reason}'
    if reason is None:
        places = [folder / name for folder in folders]
        last = next((place for place in places if place.exists()), places[0])
        reason = find_damage(last)
        if reason is None:
            return str(last)
        found, reason = f'{last} {reason}', f'names {last}, which {reason}'
    progress = {}
    for path in (path for folder in folders for path in sorted(folder.glob('*.pth'))):
        iteration = _iteration_of(path)
        if iteration is not None:
            progress[path] = iteration
    if progress:
        path = max(progress, key=progress.__getitem__)
        print_log(f'{found}; going on from {path}', 'current', logging.WARNING)
        return str(path)
    raise InputError(
        f'--resume finds nothing to go on from: {record} {reason}, and there is no other whole '
        'checkpoint beside it; name one: --resume PATH'
    )


def _read_record(record: Path) -> tuple[str, str | None]:
    """Give the base name of the file that a record names, and what is wrong with the record."""
    text = record.read_bytes().decode(errors='replace').strip()
    if not text:
        return '', 'is empty'
    if '://' in text:
        return '', f'names the address {_printable(text)}'
    name = Path(text).name
    if not text.isprintable() or '\ufffd' in text or name in ('', '..'):
        return '', f'names no file ({_printable(text)})'
    return name, None


def _printable(text: str) -> str:
    return ascii(text if len(text) <= 80 else f'{text[:80]}...')


def find_damage(path: Path) -> str | None:
    """Look for damage in a checkpoint.

    Args:
        path: Checkpoint file. All of it is read, to compare it with its check sums.

    Returns:
        What is wrong as the end of a sentence, or None if the file is whole.
    """
    if not path.is_file():
        return 'is a folder' if path.is_dir() else 'does not exist'
    try:
        with zipfile.ZipFile(path) as archive:
            return 'is damaged (a check sum does not fit)' if archive.testzip() else None
    # A flipped bit in a name, a size or a flag shows in many ways.
    except Exception as error:
        return f'is damaged ({type(error).__name__}: {error})'


def _iteration_of(path: Path) -> int | None:
    """Give the iteration of a checkpoint, or None if no training can go on from it."""
    if not path.is_file() or find_damage(path) is not None:
        return None
    try:
        checkpoint = CheckpointLoader.load_checkpoint(str(path), 'cpu')
    except Exception:
        # A folder may hold anything.
        return None
    # The best weights are kept without an optimizer.
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get('optimizer'), dict):
        return None
    meta = checkpoint.get('meta')
    iteration = meta.get('iter') if isinstance(meta, dict) else None
    # One that does not tell comes last.
    return iteration if isinstance(iteration, int) else -1
