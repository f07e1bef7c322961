"""Do all ranks of a distributed run have the same config and the same code?"""

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import mmcv
import mmengine
import torch
from mmengine.config import Config

from mmattn.errors import InputError


def facts(cfg: Config) -> dict[str, str]:
    """Say what this rank runs, in short strings that the ranks compare."""
    sources = hashlib.sha256()
    folder = Path(__file__).parents[1]
    for path in sorted(folder.rglob('*.py')):
        sources.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return {
        'config': _digest(json.dumps(_flatten(cfg))),
        'mmattn': f'sources {sources.hexdigest()[:8]}',
        'torch': torch.__version__,
        'mmengine': mmengine.__version__,
        'mmcv': mmcv.__version__,
        'Python': sys.version.split()[0],
        'arguments': ' '.join(arg for arg in sys.argv[1:] if not arg.startswith('--local')),
    }


def check(cfg: Config, rank: int, ranks: list[dict], store: Any) -> None:
    """Compare what the ranks run.

    Args:
        cfg: Config of this rank.
        rank: Number of this rank.
        ranks: :func:`facts` of all ranks.
        store: Where the ranks show each other their configs if they differ.

    Raises:
        InputError: If ranks differ from rank 0; it names them and the first difference.
    """
    others = [i for i, other in enumerate(ranks) if other['config'] != ranks[0]['config']]
    if others:
        other = others[0]
        if rank in (0, other):
            store.set(f'config/{rank}', json.dumps(_flatten(cfg)))
        first, second = (json.loads(store.get(f'config/{i}')) for i in (0, other))
        [key, *more] = [key for key in {**first, **second} if first.get(key) != second.get(key)]
        also = f' (and {len(more)} more)' if more else ''
        raise InputError(
            f'{name_ranks(others)} ran another config than rank 0: {key} is {second.get(key)} on '
            f'rank {other}, {first.get(key)} on rank 0{also}; start all with the same'
        )
    for name in ranks[0]:
        others = [i for i, other in enumerate(ranks) if other[name] != ranks[0][name]]
        if others:
            raise InputError(
                f'{name_ranks(others)} ran another {name} than rank 0: {ranks[others[0]][name]!r} '
                f'on rank {others[0]}, {ranks[0][name]!r} on rank 0; start all with the same'
            )


def name_ranks(numbers: list[int]) -> str:
    """Name ranks in a sentence: "rank 1", "ranks 1, 2"."""
    return f'rank{"s" if len(numbers) > 1 else ""} {", ".join(map(str, numbers))}'


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _flatten(cfg: Config) -> dict[str, str]:
    return dict(_leaves(cfg.to_dict(), ''))


def _leaves(node: Any, where: str) -> Iterator[tuple[str, str]]:
    items: Iterable[tuple[Any, Any]]
    items = enumerate(node) if isinstance(node, list | tuple) else ()
    items = node.items() if isinstance(node, dict) else items
    for key, value in items:
        yield from _leaves(value, f'{where}.{key}' if where else str(key))
    if not isinstance(node, dict | list | tuple) or not node:
        # The text of a class or function has its address in it, which no two processes share.
        name = getattr(node, '__qualname__', None)
        yield where, f'{node.__module__}.{name}' if name else repr(node)
