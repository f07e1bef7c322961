"""All configs, each read and built once by a process."""

import copy
import functools
import importlib.util
import re
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from docs.generate.model_zoo import list_configs
from mmattn.probe.build import meta_device

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'
LEAVES = list_configs(CONFIGS)
LISTED = [path for path in LEAVES if path.parent.name != 'demo']
FORMER = list_configs(CONFIGS, former=True)
# What needs no package beyond requirements/.
BUILT = [p for p in LEAVES if p.parent.name != 'pose' or importlib.util.find_spec('mmpose')]
# Of 100 to 230 million parameters: with optimizer and checkpoint up to 5 GB each.
LARGE = [p for p in BUILT if re.search(r'(^|_)van_b[56]_', p.stem)]
# The model of another config in another size, with weights from elsewhere, or with another module
# at the same places.
SIZES = r'_w\d{3}|[-_]r1[26]_|_pre22k|_in22k|(^|_)van_b[134]_|_mscan_[sbl]_|_lsknet_s_|^rtmdet_s'
MODULES = '-(cbam|eca)-insert-neck_'
SIBLINGS = [p for p in BUILT if re.search(f'{SIZES}|{MODULES}', p.stem)]

read = functools.cache(Config.fromfile)
"""Read a config that is not to be changed: all tests of a process share it."""


@functools.cache
def own(path: Path) -> dict:
    """Read what a file itself sets, with a stand-in for what it takes from its bases."""
    values = {}
    exec(re.sub(r'\{\{.*?\}\}', "'inherited'", path.read_text()), values)
    del values['__builtins__']
    return values


def names(folder: str) -> list[str]:
    return [path.stem for path in LEAVES if path.parent.name == folder]


def named(folder: str, name: str) -> Path:
    path = CONFIGS / folder / f'{name}.py'
    assert path in LEAVES, path
    return path


def load(path: Path) -> Config:
    """Copy a config, in its own scope."""
    cfg = copy.deepcopy(read(path))
    init_default_scope(cfg.default_scope)
    return cfg


@functools.cache
def build(path: Path) -> nn.Module:
    """Build the model without memory; all tests of a process share it."""
    return build_part(load(path).model)


def build_part(cfg: ConfigDict) -> nn.Module:
    with meta_device():
        return MODELS.build(cfg)


def datasets(cfg: ConfigDict) -> list[ConfigDict]:
    if 'dataset' in cfg:
        return datasets(cfg.dataset)
    return [d for inner in cfg.datasets for d in datasets(inner)] if 'datasets' in cfg else [cfg]
