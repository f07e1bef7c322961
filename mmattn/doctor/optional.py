"""Packages that not everybody needs."""

from collections.abc import Iterator

from mmattn.doctor.environment import INSTALLERS, Environment
from mmattn.doctor.judgement import judge_import
from mmattn.doctor.repair import pip
from mmattn.doctor.row import Row

_OPTIONAL = {
    'timm': ('TimmAttention and backbones of timm', ('timm',)),
    'safetensors': ('.safetensors files', ('safetensors',)),
    'panopticapi': (
        'panoptic segmentation',
        ('--no-deps', 'panopticapi-lite', 'platformdirs'),
    ),
}


def check_optional(env: Environment) -> Iterator[Row]:
    """Look at each of them."""
    for package, (purpose, words) in _OPTIONAL.items():
        remedy = pip('install', *words)
        found = env.find(package)
        if env.is_missing(package):
            yield Row(package, 'absent', remark=f'needed for {purpose}', remedy=remedy)
            continue
        version = str(found[0]) if package in INSTALLERS and found else env.version(package)
        row = Row(package, 'fine', version, env.where(package))
        yield judge_import(env, row, package, pip('install', '--force-reinstall', *words))
