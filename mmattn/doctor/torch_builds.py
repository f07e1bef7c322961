"""PyTorch, torchvision of the same build, and the GPU that they are to run on."""

import os
import re
import subprocess
from dataclasses import replace

from mmattn.doctor.environment import Environment, read_literals
from mmattn.doctor.judgement import judge_import
from mmattn.doctor.repair import pip
from mmattn.doctor.row import Row, State
from mmattn.doctor.versions import is_below

_OLDEST = '2.1'
# Any CUDA of a generation runs with this driver or a newer one:
# https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
_DRIVERS = {'11': '450', '12': '525', '13': '580'}


def check_torch(env: Environment) -> Row:
    """Look whether PyTorch is there, new enough, and can be imported."""
    version = env.version('torch')
    row = Row('torch', 'fine', version, env.where('torch'))
    if env.is_missing('torch'):
        return row.broken(
            'not installed; needed for all of mmattn', pip('install', 'torch', 'torchvision')
        )
    if is_below(version, _OLDEST):
        return row.broken(
            f'mmattn needs torch {_OLDEST} or newer',
            pip('install', '--upgrade', 'torch', 'torchvision'),
        )
    return judge_import(env, row, 'torch', pip('install', '--force-reinstall', *_torch(env)))


def check_torchvision(env: Environment) -> Row:
    """Look whether torchvision is of the same build as PyTorch, and has its ops."""
    version, torch = env.version('torchvision'), env.version('torch')
    row = Row('torchvision', 'fine', version, env.where('torchvision'))
    remedy = _match_torchvision(env)
    if env.is_missing('torchvision'):
        row = Row('torchvision', 'absent', remark='needed for mmdet, mmpretrain and timm')
        return replace(row, remedy=remedy)
    wanted = _torch_wanted(env)
    if torch and wanted and _release(torch)[: len(_release(wanted))] != _release(wanted):
        return row.broken(f'it is built for torch {wanted}, and torch is {torch}', remedy)
    builds = [each.partition('+')[2] for each in (torch or '', version or '')]
    if all(builds) and builds[0] != builds[1]:
        return row.broken(
            f'it is a build for {builds[1]}, and torch is one for {builds[0]}', remedy
        )
    return judge_import(env, row, 'torchvision', remedy)


def _torch_wanted(env: Environment) -> str | None:
    """Give the version of PyTorch that torchvision is built for."""
    for installed in env.find('torchvision')[:1]:
        for requirement in installed.record.requires or ():
            if match := re.match(r'torch\s*\(?\s*==\s*([\d.]+)', requirement):
                return match[1]
    # Where that is not recorded. This held until torch 2.11.
    match = re.match(r'0\.(\d+)\b', env.version('torchvision') or '')
    return f'2.{int(match[1]) - 15}' if match and 15 <= int(match[1]) <= 26 else None


def _release(version: str) -> list[str]:
    return version.partition('+')[0].split('.')


def _match_torchvision(env: Environment) -> str:
    torch, *index = _torch(env)
    install = pip('install', torch, 'torchvision', *index)
    if env.find('torchvision'):
        return f'{pip("uninstall", "-y", "torchvision")} && {install}'
    return install


def _torch(env: Environment) -> list[str]:
    """Give the words by which pip finds the PyTorch that is installed, on PyPI or elsewhere."""
    for installed in env.find('torch')[:1]:
        build = installed.version.partition('+')[2]
        index = [f'--index-url https://download.pytorch.org/whl/{build}'] if build else []
        return [f'torch=={installed.version}', *index]
    return ['torch']


def check_gpu(env: Environment) -> Row:
    """Look whether the driver is new enough for the CUDA that PyTorch is built for."""
    folder = env.locate('torch')
    literals = read_literals(folder / 'version.py') if folder else {}
    cuda = literals.get('cuda')
    built = f'torch is built for CUDA {cuda}' if cuda else 'torch is built without CUDA'
    outcome = env.imports.get('torch')
    is_seen = bool(outcome and (outcome.value or {}).get('cuda'))
    if literals.get('hip'):
        return Row('GPU', 'not known', f'ROCm {literals["hip"]}', remark='only CUDA is looked at')
    gpus = find_gpus()
    if gpus is None:
        answer = 'nvidia-smi does not answer' + (f'; {built}' if folder else '')
        state: State = 'fine' if is_seen else 'absent'
        return Row('GPU', state, remark=answer + (', and sees one' if is_seen else ''))
    driver, names = gpus
    row = Row('GPU', 'fine', f'driver {driver}', ', '.join(names) or None)
    if is_seen:
        return replace(row, remark=built)
    if folder is None:
        return row
    if not cuda:
        return row.warning(
            f'{built}: training runs on the CPU',
            f'{pip("uninstall", "-y", "torch", "torchvision")} && '
            f'{pip("install", "torch", "torchvision")}',
        )
    oldest = _DRIVERS.get(cuda.partition('.')[0])
    if oldest and is_below(driver, oldest):
        usable = [major for major, bound in _DRIVERS.items() if not is_below(driver, bound)]
        index = 'https://download.pytorch.org/whl/cu' + ('126' if '12' in usable else '118')
        return row.broken(
            f'{built}, which needs driver {oldest} or newer; besides a newer driver, an older CUDA '
            'will do',
            f'{pip("uninstall", "-y", "torch", "torchvision")} && '
            f'{pip("install", "torch", "torchvision", f"--index-url {index}")}',
        )
    hidden = os.environ.get('CUDA_VISIBLE_DEVICES')
    if hidden is not None:
        return row.warning(
            f'torch sees none of them: CUDA_VISIBLE_DEVICES is {hidden!r}',
            'unset CUDA_VISIBLE_DEVICES',
        )
    if outcome and outcome.error is None:
        return row.warning(f'{built}, and sees no GPU', 'nvidia-smi')
    return row.not_known(f'{built}; whether it sees the GPU was not tried')


def find_gpus() -> tuple[str, list[str]] | None:
    """Ask the driver of NVIDIA for its version and the names of its GPUs; None without one."""
    command = ['nvidia-smi', '--query-gpu=driver_version,name', '--format=csv,noheader']
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    rows = [line.split(', ', 1) for line in done.stdout.splitlines() if ', ' in line]
    if done.returncode or not rows:
        return None
    return rows[0][0].strip(), [name.strip() for _, name in rows]


def check_nccl(env: Environment) -> Row:
    """Look whether NCCL, by which GPUs talk to each other, is the one that PyTorch asks for."""
    outcome = env.imports.get('torch')
    used = (outcome.value or {}).get('nccl') if outcome else None
    version = '.'.join(map(str, used)) if used else None
    row = Row('NCCL', 'fine', version)
    for torch in env.find('torch')[:1]:
        for requirement in torch.record.requires or ():
            match = re.match(r'(nvidia-nccl-cu\d+)\s*\(?\s*==\s*([\d.]+)', requirement)
            if match is None:
                continue
            for installed in env.find(match[1]):
                row = replace(
                    row, version=version or installed.version, where=str(installed.folder)
                )
                if installed.version != match[2]:
                    return row.warning(
                        f'{torch} asks for {match[2]}, and {installed} is installed',
                        pip('install', '--no-deps', f'{match[1]}=={match[2]}'),
                    )
    if row.version:
        return row
    if outcome is None or outcome.error:
        return row.not_known('torch was not imported')
    return Row('NCCL', 'absent', remark='needed for several GPUs; torch is built without it')
