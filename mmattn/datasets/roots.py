"""Where the data of a config lie, and how to say that they lie elsewhere."""

from typing import Any

from mmengine.config import Config, ConfigDict

from mmattn.datasets.checks import datasets_in

# What is no data, even where it lies among them.
_NO_DATA = ('work_dir', 'load_from')
# Where one word is a path.
_ROOTS = ('data_root',)
# What a data set with a data_root looks for there, unless the path is absolute.
_JOINED = ('ann_file', 'data_prefix', 'proposal_file')


def data_roots(cfg: Config, loaders: tuple[str, ...]) -> dict[str, str]:
    """Give each ``data_root`` that data loaders of a config read, with the place of the first one.

    Args:
        cfg: The config.
        loaders: Names of data loaders; one that the config does not have is passed over.

    Returns:
        Folder -> key, as in ``{'data/coco/': 'train_dataloader.dataset.data_root'}``. Two
        spellings of a folder are one.
    """
    roots: dict[str, str] = {}
    for name in loaders:
        if cfg.get(name):
            for where, dataset in datasets_in(cfg[name].dataset, f'{name}.dataset'):
                root = dataset.get('data_root')
                if root and not any(_bare(root) == _bare(other) for other in roots):
                    roots[root] = f'{where}.data_root'
    return roots


def move_data(cfg: Config, old_root: str, new_root: str) -> None:
    """Let a config read from another folder.

    Every path at or below the old folder is changed wherever it stands: in data loaders and what
    they wrap, in evaluators, in pipelines for test-time augmentation.

    Args:
        cfg: The config, which is changed.
        old_root: Folder that it names.
        new_root: Folder to take its place.
    """
    for key in set(cfg) - {*_NO_DATA}:
        cfg[key] = _moved(cfg[key], _bare(old_root), new_root.rstrip('/') or '/')


def _moved(node: Any, old_root: str, new_root: str, key: Any = None) -> Any:
    if isinstance(node, str):
        if not f'{_bare(node)}/'.startswith(f'{old_root}/') or not ('/' in node or key in _ROOTS):
            return node
        end = '/' if node.endswith('/') else ''
        return new_root + _bare(node).removeprefix(old_root) + end
    if isinstance(node, dict):
        joined = [key for key in _JOINED if node.get('data_root') and not _is_absolute(node, key)]
        return ConfigDict(
            {k: v if k in joined else _moved(v, old_root, new_root, k) for k, v in node.items()}
        )
    if isinstance(node, list | tuple):
        return type(node)(_moved(v, old_root, new_root) for v in node)
    return node


def _is_absolute(dataset: dict, key: str) -> bool:
    value = dataset.get(key)
    paths = value.values() if isinstance(value, dict) else [value]
    return any(str(path).startswith('/') for path in paths)


def _bare(path: str) -> str:
    return path.removeprefix('./').rstrip('/')
