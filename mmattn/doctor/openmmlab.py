"""mmengine, mmcv with its ops, and what is built on them."""

import csv
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace

from mmattn.doctor.environment import INSTALLERS, Environment, read_literals
from mmattn.doctor.judgement import judge_import
from mmattn.doctor.repair import BUILD_TOOLS, install, pip, reinstall
from mmattn.doctor.requirements import (
    REQUIRED,
    Fault,
    find_emptied,
    find_old,
    find_sharing,
)
from mmattn.doctor.row import Row, State
from mmattn.doctor.versions import is_below, is_within

_NEEDED_FOR = {
    'mmengine': 'all of mmattn',
    'mmcv': 'all of mmattn',
    'mmdet': 'detection',
    'mmseg': 'segmentation',
    'mmpretrain': 'classification',
}


def check_openmmlab(env: Environment) -> Iterator[Row]:
    """Look at each package of OpenMMLab."""
    for package, purpose in _NEEDED_FOR.items():
        if env.is_missing(package):
            state: State = 'broken' if package in REQUIRED else 'absent'
            yield Row(
                package,
                state,
                None,
                None,
                f'not installed; needed for {purpose}',
                install(env, [package]),
            )
        else:
            yield _check_package(env, package)
        if package == 'mmcv':
            yield _check_ops(env)


def _check_package(env: Environment, package: str) -> Row:
    found, folder = env.find(package), env.locate(package)
    version = str(found[0]) if found else env.version_in_files(package)
    row = Row(package, 'fine', version, env.where(package))
    for find in (
        find_sharing,
        find_old,
        find_emptied,
        find_mixed,
        find_torn,
        find_older_torch,
        find_outside_bounds,
    ):
        if fault := find(env, package):
            return row.broken(*fault)
    remedy = reinstall(found[0]) if found else install(env, [package])
    row = judge_import(env, row, package, remedy)
    has_configs = package in REQUIRED or bool(folder and (folder / '.mim' / 'configs').is_dir())
    if row.state == 'fine' and not has_configs:
        return row.warning(f'has no .mim: configs by {package}::NAME are not found', remedy)
    hidden = [f'{each} in {each.folder}' for each in found if each.folder != found[0].folder]
    if row.state == 'fine' and hidden:
        return replace(row, remark=f'it hides {" and ".join(hidden)}')
    return row


def find_mixed(env: Environment, package: str) -> Fault | None:
    """Look for files of another version than the one that was installed."""
    found, version, folder = env.find(package), env.version_in_files(package), env.locate(package)
    if not found or version is None or folder is None:
        return None
    # A checkout that was installed may have moved on.
    if folder.resolve() != found[0].folder / package:
        return None
    if is_within(version, found[0].version, None) and is_within(found[0].version, version, None):
        return None
    return Fault(
        f'{found[0]} is recorded as installed, but its files say that they are {version}',
        reinstall(found[0]),
    )


def find_torn(env: Environment, package: str) -> Fault | None:
    """Look for files that were installed and are gone."""
    found = env.find(package)
    if not found:
        return None
    record = found[0].record.read_text('RECORD') or ''
    files = [row[0] for row in csv.reader(record.splitlines()) if row]
    code = [f for f in files if f.endswith(('.py', '.so')) and '/.mim/' not in f]
    gone = [file for file in code if not (found[0].folder / file).exists()]
    if not gone:
        return None
    return Fault(
        f'{len(gone)} of the {len(code)} files of {found[0]} are gone, as {gone[0]}',
        reinstall(found[0]),
    )


def find_older_torch(env: Environment, package: str) -> Fault | None:
    """Look for a fork of mmengine beside a PyTorch that is too old for it."""
    found, torch = env.find(package), env.version('torch')
    if package != 'mmengine' or not found or not found[0].is_fork or not is_below(torch, '2.3'):
        return None
    return Fault(
        f'{found[0]} needs torch 2.3 or newer, and torch is {torch}; with this one go the stock '
        'packages',
        f'{pip("uninstall", "-y", found[0].name)} && {install(env, [package])}',
    )


def find_outside_bounds(env: Environment, package: str) -> Fault | None:
    """Look for an mmengine or mmcv that a package refuses: its own lines are read for that."""
    folder = env.locate(package)
    literals = read_literals(folder / '__init__.py') if folder else {}
    for needed in REQUIRED:
        oldest = _bound(literals, needed, 'min')
        newest = _bound(literals, needed, 'max')
        version = env.version(needed)
        if not is_within(version, oldest, newest):
            bounds = [f'>={oldest}'] if oldest else []
            bounds += [f'<{newest}'] if newest else []
            found = env.find(package)
            name = str(found[0]) if found else package
            return Fault(
                f'{name} wants {needed} {" and ".join(bounds)}, and {needed} is {version}',
                _bring_within(env, package, needed, ','.join(bounds)),
            )
    return None


def _bound(literals: dict[str, str | None], package: str, which: str) -> str | None:
    pattern = rf'{package}_{which}(imum)?(_version)?'
    return next((v for k, v in literals.items() if re.fullmatch(pattern, k.lower())), None)


def _bring_within(env: Environment, package: str, needed: str, bounds: str) -> str:
    """Give the command after which a package finds what it wants, of its own set."""
    is_fork = any(each.is_fork for each in env.find(package)[:1])
    if not is_fork and all(each.is_fork for name in REQUIRED for each in env.find(name)[:1]):
        old, new = INSTALLERS[package][0], INSTALLERS[package][-1]
        return f'{pip("uninstall", "-y", old)} && {pip("install", new)}'
    commands = []
    name = INSTALLERS[needed][-1 if is_fork else 0]
    for installed in env.find(needed)[:1]:
        if installed.is_fork == is_fork:
            name = installed.name
        else:
            commands.append(pip('uninstall', '-y', installed.name))
    options = ['--no-deps']
    if needed == 'mmcv':
        commands.append(pip('install', *BUILD_TOOLS))
        options.append('--no-build-isolation')
    commands.append(pip('install', *options, shlex.quote(name + bounds)))
    return ' && '.join(commands)


def _check_ops(env: Environment) -> Row:
    """Look at mmcv's compiled ops: whether they are there, and for this mmcv and this PyTorch."""
    folder, found = env.locate('mmcv'), env.find('mmcv')
    files = sorted(folder.glob('_ext.*')) if folder else []
    if not folder:
        return Row('mmcv._ext', 'not known', remark='mmcv is not there')
    if not files:
        return _judge_missing_ops(env)
    row = Row('mmcv._ext', 'fine', str(found[0]) if found else None, str(folder))
    rebuild = reinstall(found[0]) if found else install(env, ['mmcv'])
    row = judge_import(env, row, 'mmcv._ext', rebuild)
    if row.state == 'broken':
        return replace(row, remark=f'{row.remark}; the ops are those of another mmcv or torch')
    if row.state == 'fine' and _sees_gpu(env) and env.imports['mmcv._ext'].value == 'not available':
        return row.warning(
            'the ops are compiled without CUDA, and there is a GPU: detection runs on the CPU only',
            rebuild.replace(' && ', ' && FORCE_CUDA=1 '),
        )
    return row


def _sees_gpu(env: Environment) -> bool:
    return bool((env.imports['torch'].value or {}).get('cuda'))


def _judge_missing_ops(env: Environment) -> Row:
    """Tell who misses the ops; a fork may be built without, and its mmseg needs none."""
    found = env.find('mmcv')
    row = Row('mmcv._ext', 'absent', remark='the compiled ops of mmcv: needed for detection')
    remedy = reinstall(found[0]) if found else install(env, ['mmcv'])
    if found and found[0].name == 'mmcv-lite':
        whole = replace(found[0], name='mmcv')
        remedy = f'{pip("uninstall", "-y", "mmcv-lite")} && {reinstall(whole)}'
    row = replace(row, remedy=remedy)
    stock = [p for p in ('mmdet', 'mmseg') for each in env.find(p)[:1] if not each.is_fork]
    if found and found[0].name == 'mmcv':
        return replace(row, state='broken', remark=f'the compiled ops of {found[0]} are missing')
    if stock:
        those = ' and '.join(stock)
        return replace(row, state='broken', remark=f'{those} cannot do without the ops of mmcv')
    if env.find('mmdet'):
        return replace(row, state='warning', remark='mmdet cannot do without the ops of mmcv')
    return row
