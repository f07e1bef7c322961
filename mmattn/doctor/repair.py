"""The commands that put an environment right."""

import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from mmattn.doctor.environment import INSTALLERS, Environment, Installed
from mmattn.doctor.versions import is_below

# What comes from source archives looks for PyTorch where it is built, and for the rest of this.
BUILD_TOOLS = ("'setuptools>=80,<82'", 'wheel', 'ninja', 'packaging')
STOCK = {
    'mmengine': "'mmengine>=0.10.7,<1'",
    'mmcv': "'mmcv>=2.0.0,<2.2.0'",
    'mmdet': 'mmdet==3.3.0',
    'mmseg': 'mmsegmentation==1.2.2',
    'mmpretrain': 'mmpretrain==1.2.0',
}
# The last first.
_BUILT_ON_EACH_OTHER = ('mmdet', 'mmseg', 'mmpretrain', 'mmengine', 'mmcv')


def pip(*words: str) -> str:
    """Give a command of pip for this environment; words are put in as they are."""
    on_path = shutil.which('pip')
    is_ours = on_path is not None and Path(on_path).parent == Path(sys.executable).parent
    command = 'pip' if is_ours else f'{shlex.quote(sys.executable)} -m pip'
    return ' '.join([command, *words])


def keeps_forks(env: Environment) -> bool | None:
    """Tell whether an environment is one of forks; None if it has neither set, or both.

    What is built upon mmengine and mmcv decides, since it takes only its own.
    """
    for package in _BUILT_ON_EACH_OTHER:
        kinds = {each.is_fork for each in env.find(package)}
        if len(kinds) == 1:
            return kinds.pop()
    return None


def install(env: Environment, packages: Iterable[str]) -> str:
    """Give the command that installs packages of OpenMMLab, of the set that is there already."""
    packages = [*packages]
    forks = keeps_forks(env) is not False and not env.wants_numpy_1
    words = [INSTALLERS[package][-1] if forks else STOCK[package] for package in packages]
    if env.wants_numpy_1:
        # Else opencv would bring numpy 2.
        words += ["'numpy<2'", "'opencv-python<4.12'"]
    if forks or 'mmcv' not in packages:
        return pip('install', *words)
    # Its setup asks for pkg_resources and, for the ops, for PyTorch.
    build = pip('install', *BUILD_TOOLS)
    return f'{build} && {pip("install", "--no-build-isolation", *words)}'


def reinstall(*installed: Installed) -> str:
    """Give the command that lays the files of distributions down anew, and touches no other."""
    words = [each.requirement for each in installed]
    options = ['--force-reinstall', '--no-deps']
    if not any('mmcv' in each.name for each in installed):
        return pip('install', *options, *words)
    # Ops are compiled for the PyTorch that is there, not for that of an older wheel.
    options += ['--no-build-isolation', '--no-cache-dir']
    return f'{pip("install", *BUILD_TOOLS)} && {pip("install", *options, *words)}'


def separate(env: Environment) -> str:
    """Give the command after which every package has one distribution in its folder again.

    Uninstalling the others empties the folders, so the one that is kept is laid down anew.
    """
    kept: list[Installed] = []
    others: list[str] = []
    for package in (*_BUILT_ON_EACH_OTHER, 'mim'):
        sharing = sorted(env.find_sharing(package), key=lambda each: _rank(env, each))
        kept += sharing[:1]
        others += [each.name for each in sharing[1:]]
    return f'{pip("uninstall", "-y", *others)} && {reinstall(*kept)}'


def _rank(env: Environment, installed: Installed) -> tuple:
    """Sort what is kept first: mmcv 2, of the set that the rest is of, with ops."""
    is_old = 'mmcv' in installed.name and is_below(installed.version, '2.0.0rc0')
    is_of_other_set = installed.is_fork != bool(keeps_forks(env))
    return is_old, is_of_other_set, installed.name.endswith('-lite'), installed.name
