"""What of a config has an effect on a training, kept in its checkpoints and compared."""

import reprlib
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

#: The keys of a config that are kept.
KEPT = (
    'default_scope',
    'model',
    'data_preprocessor',
    'train_dataloader',
    'train_cfg',
    'optim_wrapper',
    'param_scheduler',
    'auto_scale_lr',
    'val_dataloader',
    'val_cfg',
    'val_evaluator',
    'default_hooks',
    'custom_hooks',
    'randomness',
)
_NOT_SET = object()

# Key, value in the checkpoint, value in the config.
Difference = tuple[str, str, str]

_printer = reprlib.Repr()
_printer.maxlevel, _printer.maxstring, _printer.maxother, _printer.maxdict = 3, 60, 60, 4


def settings_of(cfg: Config) -> dict[str, Any]:
    """Give what a checkpoint keeps of a config: dicts, lists, text and numbers, nothing to run."""
    return {key: _plain(cfg[key]) for key in KEPT if cfg.get(key) is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if value is None or type(value) in (bool, int, float, str):
        return value
    kind = value if isinstance(value, type) or callable(value) else type(value)
    return f'{kind.__module__}.{getattr(kind, "__qualname__", type(kind).__qualname__)}'


def compare_settings(before: Any, now: Any, key: str = '') -> Iterator[Difference]:
    """Compare the settings of two configs.

    Args:
        before: What a checkpoint has in the place of them, whatever that is.
        now: The present ones.
        key: Where they stand in the config.

    Yields:
        What differs: the whole key, the value before, the value now.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for name in {**now, **before}:
            name_shown = name if isinstance(name, str) else show(name)
            inner = f'{key}.{name_shown}' if key else name_shown
            yield from compare_settings(before.get(name, _NOT_SET), now.get(name, _NOT_SET), inner)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for i, pair in enumerate(zip(before, now, strict=True)):
            yield from compare_settings(*pair, f'{key}.{i}')
    elif not _is_same(before, now):
        yield ascii(key)[1:-1][:200], show(before), show(now)


def show(value: Any) -> str:
    """Give a value of a checkpoint or a config in some words, whatever it is."""
    if value is _NOT_SET:
        return 'not set'
    try:
        return ' '.join(ascii(_printer.repr(value))[1:-1].split())
    except (ValueError, RecursionError):
        return f'a {type(value).__name__}'


def _is_same(before: Any, now: Any) -> bool:
    if isinstance(before, bool) or isinstance(now, bool):
        return before is now
    if isinstance(before, int | float) and isinstance(now, int | float):
        # Neither is a number that is none the same as itself.
        return before == now or (before != before and now != now)
    return type(before) is type(now) and isinstance(before, str | None) and before == now
