"""What to do when a process of the data loader is gone."""

import re
import shutil
from pathlib import Path

_SHARED_MEMORY = Path('/dev/shm')


def explain_lost_worker(error: Exception) -> str | None:
    """Say why a process of the data loader may have died.

    Args:
        error: What the data loader raised.

    Returns:
        One line with what to do, or None if the error is another one.
    """
    lost = re.search(r'DataLoader worker \(pid\D*([\d, ]+)\) (.*)', str(error))
    if not isinstance(error, RuntimeError) or lost is None:
        return None
    how = lost[2].strip().rstrip('.')
    if 'Bus error' in how or 'shared memory' in how:
        reason = f'shared memory ran out ({_shared_memory()})'
        remedy = 'enlarge it (docker run --shm-size=8g), or load'
    else:
        reason = f'the usual reason is that the memory ran out (shared memory: {_shared_memory()})'
        remedy = 'ask for more memory, or load'
    return (
        f'process {lost[1]} of the data loader {how}; {reason}: {remedy} with fewer processes: '
        '--cfg-options train_dataloader.num_workers=1; go on with --resume'
    )


def _shared_memory() -> str:
    if not _SHARED_MEMORY.is_dir():
        return 'there is none'
    usage = shutil.disk_usage(_SHARED_MEMORY)
    return f'{usage.free / 1e6:.0f} of {usage.total / 1e6:.0f} MB free'
